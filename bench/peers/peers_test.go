package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

func shipped(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../" + trainFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every size can be made of train.go as it stands, with the constants that
// model.py reads.
func TestSizesFitTheTrainer(t *testing.T) {
	for name, s := range sizes {
		p, err := s.program(shipped(t))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text, err := p.gated(); err != nil || !strings.Contains(text, gatedLoop) {
			t.Errorf("%s: %v", name, err)
		}
		if p, err := p.plainAdamW(); err != nil || strings.Contains(p.source, "o.muon(b.") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "default" {
			continue
		}
		dim := map[string]float64{"depth4": 256, "depth8": 512}[name]
		if number(p.constants["Dim"]) != dim {
			t.Errorf("%s: Dim is %v, want %v", name, p.constants["Dim"], dim)
		}
	}
}

// model.py names the constants of train.go; one that is renamed there must be here.
func TestConstantsOfTheModel(t *testing.T) {
	p, err := sizes["default"].program(shipped(t))
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
		if _, ok := p.constants[name]; !ok {
			t.Errorf("model.py reads the constant %s, which train.go does not have", name)
		}
		used++
	}
	if used < 20 {
		t.Errorf("found %d uses of constants in model.py", used)
	}
}

func TestProgramRefuses(t *testing.T) {
	s := size{constants: map[string]string{"Width": "3"}}
	if _, err := s.program("package main\n"); err == nil || !strings.Contains(err.Error(), "Width") {
		t.Errorf("a constant that is not there: %v", err)
	}
	if _, err := (program{source: "for {"}).gated(); err == nil {
		t.Error("a program without the loop passes")
	}
}

// A round in which the machine was slow for both changes no ratio.
func TestRatioIsByRound(t *testing.T) {
	at := func(seconds ...int) *peer {
		p := &peer{}
		for _, s := range seconds {
			p.blocks = append(p.blocks, block{tokens: 100, wall: time.Duration(s) * time.Second, cpu: time.Second})
		}
		return p
	}
	if r := ratio(at(1, 10, 1), at(2, 20, 9), block.speed); r != 2 {
		t.Errorf("the ratio is %v, want 2", r)
	}
}

func TestVerdict(t *testing.T) {
	fast := &peer{name: "ours", peak: 5 << 20, blocks: []block{{tokens: 100, wall: time.Second, cpu: time.Second}}}
	slow := &peer{name: "eager", peak: 9 << 20, blocks: []block{{tokens: 60, wall: time.Second, cpu: time.Second, others: 1}}}
	text := bench{size: sizes["default"]}.verdict([]*peer{fast, slow})
	for _, want := range []string{"eager: 1.67, floor 2.0: DOES NOT HOLD", "5 of 9 MiB: holds", "not quiet"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, v := range map[float64][]float64{0: nil, 2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := median(v); got != want {
			t.Errorf("median(%v) = %v, want %v", v, got, want)
		}
	}
}

// The harness takes the corpora that the benchmark makes up.
func TestCorpus(t *testing.T) {
	for _, vocab := range []int{256, 4096, 8192} {
		dir := t.TempDir()
		if err := corpus(dir, vocab); err != nil {
			t.Fatal(err)
		}
		split, err := data.OpenSplit(filepath.Join(dir, filepath.Base(data.TrainFile)))
		if err != nil {
			t.Fatalf("V = %d: %v", vocab, err)
		}
		defer split.Close()
		if split.Vocab().Size() != vocab || split.Len() != 1<<19 {
			t.Errorf("V = %d: the harness sees %d tokens of %d", vocab, split.Len(), split.Vocab().Size())
		}
	}
}
