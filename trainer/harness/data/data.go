// Package data builds the default corpus: the source code of the Go standard
// library, which every machine with a Go toolchain already has.
//
// Build reads a source tree and writes two splits below a directory:
//
//	OUT/train/train.bin   what candidates train on; the only part they ever see
//	OUT/val/val.bin       exactly ValBytes bytes that only the evaluator reads
//	OUT/corpus.json       the Corpus record: where it came from, and its fingerprint
//
// The splits are directories of their own so that a sandbox can show a
// candidate one of them and nothing else.
//
// # What goes in
//
// Files ending in .go, whatever their build tags, tests included. Left out are
// vendored trees, testdata, directories the go tool ignores, generated files,
// files above maxFileBytes (they are tables, not prose) and exact copies of
// another file. Files are separated by one zero byte, which no Go file contains.
//
// Validation files are those whose path hashes lowest. The choice depends on
// nothing else in the tree, so another Go release moves few files between the
// splits; results of different fingerprints are never compared all the same.
//
// # How it fails
//
// A corpus appears whole or not at all: it is written to a temporary directory
// and renamed. A directory that already holds a corpus is verified and kept
// as it is, even when the source has changed since: a campaign's data is
// pinned. Errors say what to install, pass or delete.
package data

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ValBytes is the size of the validation split: 2^18 predicted bytes and one
// that comes first and is predicted by nothing.
const ValBytes = 1<<18 + 1

// TrainFile and ValFile are the splits' places below a corpus directory.
const (
	TrainFile = "train/train.bin"
	ValFile   = "val/val.bin"
	infoFile  = "corpus.json"
)

// Options says what to build and where.
type Options struct {
	Source   string // directory to read, normally $(go env GOROOT)/src
	Out      string // directory to create
	ValBytes int    // size of the validation split in bytes; 0 means ValBytes
}

// Corpus describes a built corpus; it is what corpus.json holds.
type Corpus struct {
	Name        string `json:"name"`
	Source      string `json:"source"`
	GoVersion   string `json:"go_version"`
	Fingerprint string `json:"fingerprint"` // SHA-256 over both splits, hex
	TrainBytes  int    `json:"train_bytes"`
	ValBytes    int    `json:"val_bytes"`
	Files       int    `json:"files"` // files in both splits together
}

// Build makes the corpus that o describes, or verifies and returns the one
// that already stands at o.Out.
func Build(o Options) (Corpus, error) {
	if o.ValBytes == 0 {
		o.ValBytes = ValBytes
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return Corpus{}, fmt.Errorf("finding the corpus directory %s: %w", o.Out, err)
	}
	if c, err := Open(out); !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	files, err := collect(o.Source)
	if err != nil {
		return Corpus{}, err
	}
	train, val, err := split(files, o.ValBytes)
	if err != nil {
		return Corpus{}, fmt.Errorf("splitting the corpus at %s: %w", o.Source, err)
	}
	c := Corpus{
		Name:        "go-source",
		Source:      o.Source,
		GoVersion:   goVersion(o.Source),
		Fingerprint: fingerprint(train, val),
		TrainBytes:  len(train),
		ValBytes:    len(val),
		Files:       len(files),
	}
	if err := publish(out, c, train, val); err != nil {
		return Corpus{}, fmt.Errorf("writing the corpus to %s: %w", out, err)
	}
	// Read back what stands there now: a builder that ran at the same time
	// may have been first, and its corpus is then the pinned one.
	return Open(out)
}

// Open reads the corpus at dir and checks its splits against the fingerprint.
// The error wraps fs.ErrNotExist when there is no corpus.
func Open(dir string) (Corpus, error) {
	text, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil {
		return Corpus{}, fmt.Errorf("opening the corpus at %s: %w", dir, err)
	}
	var c Corpus
	if err := json.Unmarshal(text, &c); err != nil {
		return Corpus{}, fmt.Errorf("reading %s: %w; delete %s to build the corpus again", infoFile, err, dir)
	}
	var splits [2][]byte
	for i, name := range []string{TrainFile, ValFile} {
		// Not wrapped: a corpus that lost a split is damaged, not absent.
		if splits[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return Corpus{}, fmt.Errorf("the corpus at %s is damaged: %v; delete it to build it again", dir, err)
		}
	}
	if fingerprint(splits[0], splits[1]) != c.Fingerprint {
		return Corpus{}, fmt.Errorf("the corpus at %s is damaged: its bytes do not match the fingerprint in %s; delete it to build it again", dir, infoFile)
	}
	return c, nil
}

// fingerprint identifies a corpus by the bytes of its splits. Their lengths
// are hashed too, so that moving a byte from one to the other shows.
func fingerprint(train, val []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", len(train), len(val))
	h.Write(train)
	h.Write(val)
	return hex.EncodeToString(h.Sum(nil))
}

// publish makes the corpus appear at out in one step.
func publish(out string, c Corpus, train, val []byte) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	info, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{TrainFile, train}, {ValFile, val}, {infoFile, append(info, '\n')}} {
		if err := writeSynced(filepath.Join(tmp, f.name), f.data); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	err = os.Rename(tmp, out)
	if _, openErr := Open(out); err != nil && openErr == nil {
		return nil // another builder was first
	}
	if err != nil {
		return fmt.Errorf("%w (is the directory in use? it must be empty or absent)", err)
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// goVersion reads the release that a GOROOT's VERSION file names.
func goVersion(source string) string {
	text, err := os.ReadFile(filepath.Join(source, "..", "VERSION"))
	if err != nil {
		return runtime.Version()
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(first)
}
