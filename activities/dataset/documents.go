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
	// is measured on all of it. As much again is kept for the audit.
	valBytes = 512 << 10
	// minTrainBytes is the least that a corpus can be made of: the evaluator
	// refuses less, in words that a user of this package need not know.
	minTrainBytes = 64 << 10
)

// Documents are what a corpus is made of: files of documents, each of which ends
// with a zero byte.
type Documents struct {
	Name       string // of the data set
	Train, Val string // paths
	Audit      string // another path; empty if there are too few documents for it
	Digest     string // SHA-256 over the files
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

// thresholds are the highest hashes of the documents that are for validation
// and for the audit. There is always one left to train on. If less than half of
// the text would be left, there is no audit: both are the same.
func (p *pool) thresholds() (val, audit uint64, ok bool) {
	want := min(p.count.Bytes/10, valBytes)
	size := int64(0)
	sorted := p.sorted()
	for _, d := range sorted[:max(0, len(sorted)-1)] {
		size += int64(d.length)
		if !ok && size >= want {
			val, audit, ok, size = d.hash, d.hash, true, 0
			want = max(want, 1)
			continue
		}
		if ok && size >= want {
			if p.bytesUpTo(d.hash) <= p.count.Bytes/2 {
				audit = d.hash
			}
			break
		}
	}
	return val, audit, ok
}

// bytesUpTo adds up the documents whose hash is at most last.
func (p *pool) bytesUpTo(last uint64) (n int64) {
	for _, d := range p.docs {
		if d.hash <= last {
			n += int64(d.length)
		}
	}
	return n
}

// sorted lists the documents by their hashes.
func (p *pool) sorted() []pooled {
	return slices.SortedFunc(slices.Values(p.docs), func(a, b pooled) int { return cmp.Compare(a.hash, b.hash) })
}

// split divides the documents into the files. Those for validation and for the
// audit stand in the order of their hashes, so that any part of them is a fair
// sample.
func (p *pool) split(out files) error {
	if err := p.out.close(); err != nil {
		return err
	}
	val, last, ok := p.thresholds()
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
		} else if err := out.train.add(doc); err != nil {
			return err
		}
	}
	for _, d := range p.sorted() {
		if d.hash > last {
			break
		}
		into := out.val
		if d.hash > val {
			into = out.audit
		}
		if err := into.add(held[d.hash]); err != nil {
			return err
		}
	}
	return nil
}

// files are the files of documents while they are written.
type files struct{ train, val, audit *writer }

func newFiles(dir string) (f files, err error) {
	for _, w := range []struct {
		name string
		to   **writer
	}{{"train.docs", &f.train}, {"val.docs", &f.val}, {"audit.docs", &f.audit}} {
		if *w.to, err = newWriter(filepath.Join(dir, w.name)); err != nil {
			return files{}, err
		}
	}
	return f, nil
}

// done closes the files and says what they are.
func (f files) done(name string, c Count) (Documents, error) {
	if err := errors.Join(f.train.close(), f.val.close(), f.audit.close()); err != nil {
		return Documents{}, err
	}
	all := sha256.New()
	for _, w := range []*writer{f.train, f.val, f.audit} {
		all.Write(w.sum.Sum(nil))
	}
	d := Documents{Name: name, Train: f.train.path, Val: f.val.path, Audit: f.audit.path, Digest: hex.EncodeToString(all.Sum(nil)), Count: c}
	if info, err := os.Stat(d.Audit); err == nil && info.Size() == 0 {
		d.Audit = ""
	}
	return d, nil
}
