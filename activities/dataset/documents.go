package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// valBytes is how much text is kept for validation at most: every candidate
	// is measured on all of it.
	valBytes = 512 << 10
	// minTrainBytes is the least that a corpus can be made of: the evaluator
	// refuses less, in words that a user of this package need not know.
	minTrainBytes = 64 << 10
)

// Documents are what a corpus is made of: two files of documents, each of which
// ends with a zero byte.
type Documents struct {
	Name       string // of the data set
	Train, Val string // paths
	Digest     string // SHA-256 over both files
	Count
}

// Count says what was read. Bytes are of text, without the zeros.
type Count struct {
	Files     int     `json:"files"`
	Documents int     `json:"documents"`
	Bytes     int64   `json:"bytes"`
	LeftOut   LeftOut `json:"left_out"`
}

// LeftOut counts what is no part of a data set.
type LeftOut struct {
	Empty  int `json:"empty,omitempty"`      // documents of nothing but white space
	Zero   int `json:"with_zero,omitempty"`  // documents with a zero byte
	Copies int `json:"copies,omitempty"`     // documents that were there before
	NoText int `json:"not_text,omitempty"`   // files
	Hidden int `json:"hidden,omitempty"`     // files and directories
	Links  int `json:"not_a_file,omitempty"` // symbolic links, devices
}

// String lists what there is, for people.
func (l LeftOut) String() string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{
		{l.Empty, "empty document", "empty documents"}, {l.Zero, "document with a zero byte", "documents with a zero byte"},
		{l.Copies, "copy", "copies"}, {l.NoText, "file without text", "files without text"},
		{l.Hidden, "hidden file", "hidden files"}, {l.Links, "link", "links"},
	} {
		if p.n > 0 {
			parts = append(parts, counted(p.n, p.one, p.many))
		}
	}
	if len(parts) == 0 {
		return "nothing left out"
	}
	return "left out: " + strings.Join(parts, ", ")
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// writer writes documents one after the other.
type writer struct {
	path string
	f    *os.File
	buf  *bufio.Writer
	sum  hash.Hash
	err  error
}

func newWriter(path string) (*writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, writing(path, err)
	}
	w := &writer{path: path, f: f, sum: sha256.New()}
	w.buf = bufio.NewWriterSize(io.MultiWriter(f, w.sum), 1<<20)
	return w, nil
}

func (w *writer) add(doc []byte) error {
	w.buf.Write(doc)
	if err := w.buf.WriteByte(0); err != nil { // a bufio.Writer keeps its first error
		return writing(w.path, err)
	}
	return nil
}

func (w *writer) close() error {
	return writing(w.path, errors.Join(w.buf.Flush(), w.f.Close()))
}

// usable says whether a document is one, and counts it either way.
func (c *Count) usable(doc []byte) bool {
	switch {
	case len(bytes.TrimSpace(doc)) == 0:
		c.LeftOut.Empty++
	case bytes.IndexByte(doc, 0) >= 0:
		c.LeftOut.Zero++
	default:
		c.Documents++
		c.Bytes += int64(len(doc))
		return true
	}
	return false
}

// pool collects documents that have yet to be split. They wait in a file; in
// memory there are their hashes and lengths.
type pool struct {
	out   *writer
	count *Count
	docs  []pooled
	seen  map[uint64]bool
}

type pooled struct {
	hash   uint64
	length int
}

func newPool(path string, count *Count) (*pool, error) {
	out, err := newWriter(path)
	return &pool{out: out, count: count, seen: map[uint64]bool{}}, err
}

func (p *pool) add(doc []byte) error {
	sum := sha256.Sum256(doc)
	key := binary.BigEndian.Uint64(sum[:])
	if len(doc) > 0 && p.seen[key] {
		p.count.LeftOut.Copies++
		return nil
	}
	if !p.count.usable(doc) {
		return nil
	}
	p.seen[key] = true
	p.docs = append(p.docs, pooled{key, len(doc)})
	return p.out.add(doc)
}

// threshold is the highest hash of the documents that are for validation. There
// is always one left to train on.
func (p *pool) threshold() (uint64, bool) {
	want := min(p.count.Bytes/10, valBytes)
	byHash := slices.SortedFunc(slices.Values(p.docs), func(a, b pooled) int { return cmp.Compare(a.hash, b.hash) })
	size := int64(0)
	for i, d := range byHash {
		if i == len(byHash)-1 {
			break
		}
		if size += int64(d.length); size >= want {
			return d.hash, true
		}
	}
	return 0, false
}

// split divides the documents into the two files. Those for validation stand in
// the order of their hashes, so that any part of them is a fair sample.
func (p *pool) split(train, val *writer) error {
	if err := p.out.close(); err != nil {
		return err
	}
	last, ok := p.threshold()
	if !ok {
		return bad(wantHint, "there is too little to train and to validate on: %s, %d bytes of text",
			counted(p.count.Documents, "document", "documents"), p.count.Bytes)
	}
	f, err := os.Open(p.out.path)
	if err != nil {
		return reading(p.out.path, err)
	}
	defer f.Close()
	in, buffer := bufio.NewReaderSize(f, 1<<20), []byte(nil)
	held := map[uint64][]byte{}
	for _, d := range p.docs {
		buffer = slices.Grow(buffer[:0], d.length+1)[:d.length+1]
		if _, err := io.ReadFull(in, buffer); err != nil {
			return reading(p.out.path, err)
		}
		doc := buffer[:d.length]
		if d.hash <= last {
			held[d.hash] = bytes.Clone(doc)
		} else if err := train.add(doc); err != nil {
			return err
		}
	}
	for _, d := range slices.SortedFunc(slices.Values(p.docs), func(a, b pooled) int { return cmp.Compare(a.hash, b.hash) }) {
		if d.hash > last {
			break
		}
		if err := val.add(held[d.hash]); err != nil {
			return err
		}
	}
	return nil
}

// files are the two files of documents while they are written.
type files struct{ train, val *writer }

func newFiles(dir string) (files, error) {
	train, err := newWriter(filepath.Join(dir, "train.docs"))
	if err != nil {
		return files{}, err
	}
	val, err := newWriter(filepath.Join(dir, "val.docs"))
	return files{train, val}, err
}

// done closes the files and says what they are.
func (f files) done(name string, c Count) (Documents, error) {
	if err := errors.Join(f.train.close(), f.val.close()); err != nil {
		return Documents{}, err
	}
	both := sha256.Sum256(append(f.train.sum.Sum(nil), f.val.sum.Sum(nil)...))
	return Documents{Name: name, Train: f.train.path, Val: f.val.path, Digest: hex.EncodeToString(both[:]), Count: c}, nil
}
