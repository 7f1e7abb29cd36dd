package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// loader draws training windows from train.bin, a file of bytes. Window i is a
// function of seed and i alone, so the position in the data is one number, and
// a resumed run sees the windows that it would have seen.
//
// The file is mapped, not read: a large corpus costs no memory and no start-up
// time, runs on one machine share it, and the kernel reads ahead, so that a
// step does not wait for data.
type loader struct {
	text []byte
	seed uint64
}

func openLoader(dir string, seed uint64) (*loader, error) {
	path := filepath.Join(dir, "train.bin")
	text, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening the training data %s: %w; --data must name a directory with train.bin", path, err)
	}
	return &loader{text: text, seed: seed}, nil
}

func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 || info.Size() != int64(int(info.Size())) {
		return nil, fmt.Errorf("its size, %d bytes, cannot be mapped", info.Size())
	}
	text, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	readAhead(text)
	return text, nil
}

func (l *loader) close() { _ = syscall.Munmap(l.text) }

// batch fills x and y, both [B, T] row by row, with windows first to
// first+B-1. y is x one byte later.
func (l *loader) batch(first int64, T int, x, y []int32) error {
	if len(l.text) <= T {
		return fmt.Errorf("the training data has %d bytes, too few for a context of %d", len(l.text), T)
	}
	places := uint64(len(l.text) - T)
	for row := range len(x) / T {
		start := mix(l.seed, uint64(first)+uint64(row)) % places
		window := l.text[start : start+uint64(T)+1]
		for t := range T {
			x[row*T+t] = int32(window[t])
			y[row*T+t] = int32(window[t+1])
		}
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
