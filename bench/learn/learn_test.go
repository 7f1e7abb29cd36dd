package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// Every document is on one side, whatever the order in the file.
func TestCut(t *testing.T) {
	var documents []string
	for i := range 3000 {
		documents = append(documents, fmt.Sprintf("document %d %s\x00", i, strings.Repeat("x", i%700)))
	}
	splits := func(documents []string) (train, scored []byte) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		if err := os.WriteFile(at("train.bin"), []byte(strings.Join(documents, "")), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := cut(dir, at("a"), at("b")); err != nil {
			t.Fatal(err)
		}
		train, err := os.ReadFile(at("a/train.bin"))
		if err != nil {
			t.Fatal(err)
		}
		scored, err = os.ReadFile(at("b/val.bin"))
		if err != nil {
			t.Fatal(err)
		}
		return train, scored
	}
	train, scored := splits(documents)
	if len(scored) != data.ValBytes {
		t.Errorf("%d bytes are scored, want %d", len(scored), data.ValBytes)
	}
	both := 0
	for _, d := range documents {
		in := 0
		for _, split := range [][]byte{train, scored} {
			if bytes.Contains(split, []byte(d)) {
				in++
			}
		}
		if in == 2 {
			t.Errorf("%.20q is in both", d)
		}
		both += in
	}
	if both < len(documents)-5 { // the last of the split are cut off
		t.Errorf("%d of %d documents are in a split", both, len(documents))
	}
	half := len(documents) / 2
	if moved, _ := splits(append(append([]string{}, documents[half:]...), documents[:half]...)); len(moved) != len(train) {
		t.Errorf("in another order %d bytes are left, want %d", len(moved), len(train))
	}
	if err := cut(t.TempDir(), t.TempDir(), t.TempDir()); err == nil {
		t.Error("nothing was cut")
	}
	small := t.TempDir()
	if err := os.WriteFile(filepath.Join(small, "train.bin"), scored, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := cut(small, t.TempDir(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "it has 262145 bytes only") {
		t.Errorf("a small corpus gave %v", err)
	}
}

func TestMoments(t *testing.T) {
	mean, sd := moments([]float64{2, 4, 4, 4, 5, 5, 7, 9})
	if mean != 5 || math.Abs(sd-math.Sqrt(32.0/7)) > 1e-12 {
		t.Errorf("mean %v and deviation %v", mean, sd)
	}
}

func TestRead(t *testing.T) {
	r, err := read([]byte(`{"steps": 3, "tokens": 6144, "charged_seconds": 2}`), []byte(`{"val_bpb": 1.5, "tokens": 262144}`))
	if err != nil || r.Steps != 3 || r.Tokens != 6144 || r.ValBpb != 1.5 || r.speed() != 3072 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := read([]byte(`{}`), []byte(`{`)); err == nil {
		t.Error("half a result was read")
	}
}
