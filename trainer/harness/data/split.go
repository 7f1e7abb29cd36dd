package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"syscall"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
)

// Split is one split of a corpus, opened for reading: a long row of tokens, in
// documents that token 0 ends.
type Split struct {
	raw   []byte // mapped
	width int    // bytes of a token, 1 or 2
	vocab *bpe.Vocabulary
}

// OpenSplit opens the split whose tokens are in the file at path, such as
// train/train.bin. Without a tokens.json beside it, tokens are bytes. All ids
// are checked against the vocabulary, which takes about 0.1 ns for each.
func OpenSplit(path string) (*Split, error) {
	s := &Split{width: 1, vocab: bpe.ByteVocabulary()}
	tokens := filepath.Join(filepath.Dir(path), TokensFile)
	text, err := os.ReadFile(tokens)
	if err == nil {
		s.vocab, err = bpe.Parse(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening %s: %w", tokens, err)
	}
	if s.vocab.Size() > bpe.Bytes {
		s.width = 2
	}
	if s.raw, err = mapFile(path); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := s.check(); err != nil {
		s.Close()
		return nil, fmt.Errorf("the data in %s are damaged: %w; prepare the data set again", path, err)
	}
	return s, nil
}

// Vocab returns what the ids stand for.
func (s *Split) Vocab() *bpe.Vocabulary { return s.vocab }

// Len returns the number of tokens.
func (s *Split) Len() int { return len(s.raw) / s.width }

// At returns token i.
func (s *Split) At(i int) int32 {
	if s.width == 1 {
		return int32(s.raw[i])
	}
	return int32(binary.LittleEndian.Uint16(s.raw[2*i:]))
}

// Read fills ids with the tokens from at on; there must be as many.
func (s *Split) Read(ids []int32, at int) {
	if s.width == 1 {
		raw := s.raw[at : at+len(ids)]
		for i := range ids {
			ids[i] = int32(raw[i])
		}
		return
	}
	raw := s.raw[2*at : 2*(at+len(ids))]
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint16(raw[2*i:]))
	}
}

// Documents returns where each document ends: after its zero token, or where
// the text ends.
func (s *Split) Documents() (ends []int) {
	for at := 0; at < s.Len(); at = ends[len(ends)-1] {
		ends = append(ends, min(s.zero(at)+1, s.Len()))
	}
	return ends
}

// zero returns the place of the first zero token from at on, or Len.
func (s *Split) zero(at int) int {
	if s.width == 1 {
		if i := bytes.IndexByte(s.raw[at:], 0); i >= 0 {
			return at + i
		}
		return s.Len()
	}
	// Four tokens at a time: subtracting 1 borrows into the top bit of those
	// that are zero, and of none below them.
	const ones = 0x0001_0001_0001_0001
	raw := s.raw[2*at:]
	for ; len(raw) >= 8; raw = raw[8:] {
		four := binary.LittleEndian.Uint64(raw)
		if found := (four - ones) &^ four & (ones << 15); found != 0 {
			return s.Len() - len(raw)/2 + bits.TrailingZeros64(found)/16
		}
	}
	at = s.Len() - len(raw)/2
	for at < s.Len() && s.At(at) != 0 {
		at++
	}
	return at
}

// Bytes returns how many bytes of text the tokens from at to end-1 stand for.
func (s *Split) Bytes(at, end int) int {
	if s.width == 1 {
		return end - at
	}
	n := 0
	for i := at; i < end; i++ {
		n += len(s.vocab.Token(int(s.At(i))))
	}
	return n
}

// Close unmaps the file.
func (s *Split) Close() { _ = syscall.Munmap(s.raw) }

// check looks for ids that the vocabulary lacks.
func (s *Split) check() error {
	if len(s.raw)%s.width != 0 {
		return fmt.Errorf("%d bytes are no whole number of tokens", len(s.raw))
	}
	V := s.vocab.Size()
	if s.width == 1 || V == bpe.MaxVocab || s.all()>>bits.Len(uint(V-1)) == 0 && V&(V-1) == 0 {
		return nil // ids have no bit that the largest one lacks
	}
	for i := range s.Len() {
		if id := s.At(i); int(id) >= V {
			return fmt.Errorf("token %d has the id %d, and the vocabulary ends at %d", i, id, V-1)
		}
	}
	return nil
}

// all returns the bits that any of the ids has.
func (s *Split) all() uint16 {
	raw, sum := s.raw, uint64(0)
	for ; len(raw) >= 32; raw = raw[32:] {
		sum |= binary.LittleEndian.Uint64(raw) | binary.LittleEndian.Uint64(raw[8:]) |
			binary.LittleEndian.Uint64(raw[16:]) | binary.LittleEndian.Uint64(raw[24:])
	}
	for ; len(raw) >= 2; raw = raw[2:] {
		sum |= uint64(binary.LittleEndian.Uint16(raw))
	}
	return uint16(sum | sum>>16 | sum>>32 | sum>>48)
}

func mmap(f *os.File, size int) ([]byte, error) {
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err == nil {
		readAhead(b)
	}
	return b, err
}
