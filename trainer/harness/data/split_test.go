package data

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
)

// vocabulary returns one of V tokens, the same for the same V.
func vocabulary(t *testing.T, V int) *bpe.Vocabulary {
	t.Helper()
	if v, ok := vocabularies[V]; ok {
		return v
	}
	// 26*26 different pairs, three times each, are enough for the sizes here.
	var text strings.Builder
	for i := range 3 * 26 * 26 {
		text.WriteString(string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), '.', ' '}))
	}
	v, err := bpe.Train([]byte(text.String()), V, 1)
	if err != nil {
		t.Fatal(err)
	}
	vocabularies[V] = v
	return v
}

var vocabularies = map[int]*bpe.Vocabulary{}

// wide writes a split of two-byte tokens with a vocabulary of V.
func wide(t *testing.T, V int, ids []uint16) string {
	t.Helper()
	v := vocabulary(t, V)
	dir := t.TempDir()
	var raw []byte
	for _, id := range ids {
		raw = binary.LittleEndian.AppendUint16(raw, id)
	}
	path := filepath.Join(dir, "train.bin")
	if err := os.WriteFile(filepath.Join(dir, TokensFile), v.Marshal(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Documents of two-byte tokens end where a plain search says, also where low
// bytes are zero and at every place in a word of eight bytes.
func TestWideDocuments(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 200; n++ {
		ids, want := make([]uint16, n), []int(nil)
		for i := range ids {
			if ids[i] = []uint16{0, 1, 255, 256, 257, 511}[rng.IntN(6)]; ids[i] == 0 || i == n-1 {
				want = append(want, i+1)
			}
		}
		if got := openTest(t, wide(t, 512, ids)).Documents(); !slices.Equal(got, want) {
			t.Fatalf("%v: documents end at %v, want %v", ids, got, want)
		}
	}
}

// The search for zeros takes no large id for one.
func TestZeroAmongLargeIDs(t *testing.T) {
	for _, id := range []uint16{1, 0x7fff, 0x8000, 0x8001, 0xffff} {
		for at := range 9 {
			raw := slices.Repeat([]byte{byte(id), byte(id >> 8)}, 9)
			raw[2*at], raw[2*at+1] = 0, 0
			s := &Split{raw: raw, width: 2}
			if got := s.zero(0); got != at {
				t.Errorf("the zero among ids of %#x is at %d, found at %d", id, at, got)
			}
			if got := s.zero(at + 1); got != 9 {
				t.Errorf("no zero among ids of %#x after %d, found one at %d", id, at, got)
			}
		}
	}
}

// An id that the vocabulary lacks is found wherever it is, whether or not the
// vocabulary is a power of two.
func TestForeignIDs(t *testing.T) {
	for _, V := range []int{257, 300, 512} {
		for _, n := range []int{1, 3, 16, 37} {
			ids := slices.Repeat([]uint16{uint16(V - 1)}, n)
			if s := openTest(t, wide(t, V, ids)); s.Len() != n || s.At(n-1) != int32(V-1) {
				t.Errorf("%d good tokens of %d became %d", n, V, s.Len())
			}
			for i := range ids {
				bad := slices.Clone(ids)
				bad[i] = uint16(V)
				if _, err := OpenSplit(wide(t, V, bad)); err == nil || !strings.Contains(err.Error(), "prepare the data set again") {
					t.Errorf("vocabulary %d, bad id at %d of %d: %v", V, i, n, err)
				}
			}
		}
	}
}

func TestRead(t *testing.T) {
	ids := []uint16{3, 500, 0, 256, 65}
	s := openTest(t, wide(t, 512, ids))
	got := make([]int32, 3)
	s.Read(got, 1)
	if !slices.Equal(got, []int32{500, 0, 256}) {
		t.Errorf("read %v", got)
	}
	if n := s.Bytes(1, 4); n != len(s.Vocab().Token(500))+1+2 {
		t.Errorf("the tokens 500, 0 and 256 stand for %d bytes", n)
	}
}
