package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

func shipped(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../" + race.TrainFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every size can be made of train.go as it stands, with the constants that
// model.py reads.
func TestSizesFitTheTrainer(t *testing.T) {
	for name, s := range sizes {
		p, err := race.NewProgram(shipped(t), s.constants)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p, err := plainAdamW(p); err != nil || strings.Contains(p.Source, "o.muon(group)") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "default" {
			continue
		}
		dim := map[string]float64{"depth4": 256, "depth8": 512}[name]
		if race.Number(p.Constants["Dim"]) != dim {
			t.Errorf("%s: Dim is %v, want %v", name, p.Constants["Dim"], dim)
		}
	}
}

// model.py names the constants of train.go; one that is renamed there must be here.
func TestConstantsOfTheModel(t *testing.T) {
	p, err := race.NewProgram(shipped(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile("model.py")
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, part := range strings.Split(string(model), `c["`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := p.Constants[name]; !ok {
			t.Errorf("model.py reads the constant %s, which train.go does not have", name)
		}
		used++
	}
	if used < 20 {
		t.Errorf("found %d uses of constants in model.py", used)
	}
}

func TestVerdict(t *testing.T) {
	fast := &race.Peer{Name: "ours", Peak: 5 << 20, Blocks: []race.Block{{Tokens: 100, Wall: time.Second, CPU: time.Second}}}
	slow := &race.Peer{Name: "eager", Peak: 9 << 20, Blocks: []race.Block{{Tokens: 60, Wall: time.Second, CPU: time.Second, Others: 1}}}
	text := bench{size: sizes["default"]}.verdict([]*race.Peer{fast, slow})
	for _, want := range []string{"eager: 1.67, floor 2.0: DOES NOT HOLD", "5 of 9 MiB: holds", "not quiet"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
