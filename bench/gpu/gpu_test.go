package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// The model is train.py's: it counts 239.1 MFLOP a token and 524,288 tokens a step.
func TestSizesAreThoseOfTrainPy(t *testing.T) {
	source, err := os.ReadFile("../../" + race.TrainFile)
	if err != nil {
		t.Fatal(err)
	}
	p, err := race.NewProgram(string(source), sizes)
	if err != nil {
		t.Fatal(err)
	}
	m := sizesOf(p.Constants)
	if m.tokens != 1<<19 || math.Abs(m.flops-239.1e6) > 0.1e6 {
		t.Errorf("%d tokens a step, %.1f MFLOP a token", m.tokens, m.flops/1e6)
	}
	if p.Constants["Dim"] != int64(512) || p.Constants["Heads"] != int64(4) {
		t.Errorf("C is %v, NH %v", p.Constants["Dim"], p.Constants["Heads"])
	}
}

// step.py reads no constant that train.go does not have.
func TestConstantsOfTheTwin(t *testing.T) {
	source, err := os.ReadFile("../../" + race.TrainFile)
	if err != nil {
		t.Fatal(err)
	}
	constants, err := race.Evaluate(string(source))
	if err != nil {
		t.Fatal(err)
	}
	twin, err := scripts.ReadFile("step.py")
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, part := range strings.Split(string(twin), `c["`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := constants[name]; !ok {
			t.Errorf("step.py reads the constant %s, which train.go does not have", name)
		}
		used++
	}
	if used < 5 {
		t.Errorf("found %d uses of constants in step.py", used)
	}
}

func TestTable(t *testing.T) {
	at := func(name string, seconds ...int) *race.Peer {
		p := &race.Peer{Name: name}
		for _, s := range seconds {
			p.Blocks = append(p.Blocks, race.Block{Tokens: 1e6, Wall: time.Duration(s) * time.Second})
		}
		return p
	}
	text := options{rounds: 2, steps: 1}.table(sizing{flops: 239.1e6, tokens: 1 << 19}, []*race.Peer{at("ours", 2, 4), at("flex", 1, 4)}, []time.Duration{3 * time.Second, time.Minute})
	for _, want := range []string{"| ours | 375.0 (250.0..500.0) | 9.1 % | 1.00 (1.00 1.00) | 3.0 |", "| flex | 625.0 (250.0..1000.0) | 15.1 % | 0.75 (0.50 1.00) | 60.0 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"build"}, {"run"}, {"time", "-rounds", "0"}, {"time", "x"}, {"time", "-device", "tpu"}, {"build", "a", "b"}} {
		if err := run(t.Context(), args); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%v gave %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"time", "-dir", t.TempDir()}); err == nil || !strings.Contains(err.Error(), "go run ./bench/gpu build") {
		t.Errorf("an empty directory gave %v", err)
	}
}
