package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// The splits that models are scored on.
const (
	dev = "dev" // cut out of the training documents
	val = "val" // the pinned validation files
)

// cut makes a development split: the documents of from/train.bin whose hash is
// lowest, as many bytes of them as the validation split has, go to scored/val.bin
// and the others to train/train.bin, in their order. So a document is on one side
// whole, but for the last one of the split, whose rest is on neither.
func cut(from, train, scored string) error {
	text, err := os.ReadFile(filepath.Join(from, "train.bin"))
	if err != nil {
		return fmt.Errorf("cutting a development split: %w", err)
	}
	documents := bytes.SplitAfter(text, []byte{0})
	in := chosen(documents, data.ValBytes)
	var left, right []byte
	for i, d := range documents {
		if in[i] {
			right = append(right, d...)
		} else {
			left = append(left, d...)
		}
	}
	if len(right) < data.ValBytes || len(left) < len(right) {
		return fmt.Errorf("cutting a development split of %d bytes out of %s: it has %d bytes only", data.ValBytes, from, len(text))
	}
	for path, content := range map[string][]byte{
		filepath.Join(train, "train.bin"): left,
		filepath.Join(scored, "val.bin"):  right[:data.ValBytes],
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// chosen says which documents are the first of all, ordered by their hashes, that
// have the given number of bytes together.
func chosen(documents [][]byte, size int) []bool {
	type place struct {
		hash  [sha256.Size]byte
		index int
	}
	var order []place
	for i, d := range documents {
		if len(d) > 0 {
			order = append(order, place{sha256.Sum256(d), i})
		}
	}
	slices.SortFunc(order, func(a, b place) int {
		return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.index, b.index))
	})
	in := make([]bool, len(documents))
	for _, p := range order {
		if size <= 0 {
			break
		}
		in[p.index] = true
		size -= len(documents[p.index])
	}
	return in
}
