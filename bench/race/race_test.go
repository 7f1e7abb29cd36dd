package race

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// A round in which the machine was slow for both changes no ratio.
func TestRatioIsByRound(t *testing.T) {
	at := func(seconds ...int) *Peer {
		p := &Peer{}
		for _, s := range seconds {
			p.Blocks = append(p.Blocks, Block{Tokens: 100, Wall: time.Duration(s) * time.Second, CPU: time.Second})
		}
		return p
	}
	if r := Ratio(at(1, 10, 1), at(2, 20, 9), Block.Speed); r != 2 {
		t.Errorf("the ratio is %v, want 2", r)
	}
}

func TestMedian(t *testing.T) {
	for want, v := range map[float64][]float64{0: nil, 2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := Median(v); got != want {
			t.Errorf("median(%v) = %v, want %v", v, got, want)
		}
	}
}

// The harness takes the corpora that the benchmark makes up.
func TestCorpus(t *testing.T) {
	for _, vocab := range []int{256, 4096, 8192} {
		dir := t.TempDir()
		if err := Corpus(dir, vocab); err != nil {
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

func TestProgramRefuses(t *testing.T) {
	if _, err := NewProgram("package main\n", map[string]string{"Width": "3"}); err == nil || !strings.Contains(err.Error(), "Width") {
		t.Errorf("a constant that is not there: %v", err)
	}
	shipped, err := os.ReadFile("../../" + TrainFile)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := (Program{Source: string(shipped)}).gated(); err != nil || !strings.Contains(text, gatedLoop) {
		t.Errorf("train.go as it stands: %v", err)
	}
	if _, err := (Program{Source: "for {"}).gated(); err == nil {
		t.Error("a program without the loop passes")
	}
}
