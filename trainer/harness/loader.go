package harness

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// loader draws training windows from the training split. Window i is a
// function of seed and i alone, so the position in the data is one number, and
// a resumed run sees the windows that it would have seen.
type loader struct {
	*data.Split
	seed uint64
	row  []int32 // scratch of batch
}

func openLoader(dir string, seed uint64) (*loader, error) {
	split, err := data.OpenSplit(filepath.Join(dir, filepath.Base(data.TrainFile)))
	if err != nil {
		return nil, fmt.Errorf("opening the training data: %w; --data must name a directory with train.bin", err)
	}
	return &loader{Split: split, seed: seed}, nil
}

// batch fills x and y, both [B, T] row by row, with windows first to
// first+B-1. y is x one token later.
func (l *loader) batch(first int64, T int, x, y []int32) error {
	if l.Len() <= T {
		return fmt.Errorf("the training data have %d tokens, too few for a context of %d", l.Len(), T)
	}
	places := uint64(l.Len() - T)
	l.row = slices.Grow(l.row[:0], T+1)[:T+1]
	for row := range len(x) / T {
		start := mix(l.seed, uint64(first)+uint64(row)) % places
		l.Read(l.row, int(start))
		copy(x[row*T:(row+1)*T], l.row)
		copy(y[row*T:(row+1)*T], l.row[1:])
	}
	return nil
}

// mix hashes a seed and a number to 64 evenly spread bits (SplitMix64's
// finalizer, run over both).
func mix(seed, i uint64) uint64 {
	z := seed*0xd1342543de82ef95 + 1
	for _, v := range [2]uint64{i, 0x9e3779b97f4a7c15} {
		z += v
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
	}
	return z
}

// prompt returns what a sample of the model's text begins with: the first n
// bytes or a little more of some document, the same one for a seed. Go files
// all begin with a licence, so there it is the word that begins a function.
func (l *loader) prompt(n int) (ids []int32) {
	head := make([]int32, min(l.Len(), 1<<14))
	l.Read(head, 0)
	if text := l.Vocab().Decode(head); bytes.Contains(text, []byte("\npackage ")) && bytes.Contains(text, []byte("\nfunc ")) {
		for _, id := range bpe.NewEncoder(l.Vocab()).Append(nil, []byte("func")) {
			ids = append(ids, int32(id))
		}
		return ids
	}
	at := int(mix(l.seed, 0) % uint64(l.Len()))
	for back := 0; at > 0 && l.At(at-1) != 0 && back < len(head); back++ {
		at--
	}
	for ; n > 0 && at < l.Len() && l.At(at) != 0; at++ {
		ids = append(ids, l.At(at))
		n -= l.Bytes(at, at+1)
	}
	return ids
}
