// Package data builds corpora and reads them. The default corpus is the source
// code of the Go standard library, which every machine with a Go toolchain
// already has; any other comes as a file of documents.
//
// # The format
//
//	OUT/train/train.bin    what candidates train on; the only part they ever see
//	OUT/train/tokens.json  what the token ids stand for; absent when they are bytes
//	OUT/val/val.bin        what only the evaluator reads
//	OUT/val/tokens.json    the same again
//	OUT/audit/audit.bin    what only the evaluator reads, and nothing is selected by
//	OUT/audit/tokens.json  the same again
//	OUT/corpus.json        the Corpus record: where it came from, and its fingerprint
//
// The splits are directories of their own so that a sandbox can show a
// candidate one of them and nothing else. A corpus may lack the audit split:
// those made before there was one do, and documents that bring none.
//
// Text is one document after the other, each ended by one zero byte, which no
// document contains. With a vocabulary of 256 a token is a byte of text and a
// split is the text itself; with a larger one it is the text's tokens (see
// package bpe), two bytes each, little-endian. The zero byte is token 0 and
// there are no other special tokens, so a split stands for the same bytes
// whatever its vocabulary, and bits per byte can be compared. A vocabulary is
// learned from the training split alone.
//
// # What goes into the default corpus
//
// Files ending in .go, whatever their build tags, tests included. Left out are
// vendored trees, testdata, directories the go tool ignores, generated files,
// files above maxFileBytes (they are tables, not prose), files with a zero byte
// and exact copies of another file.
//
// Validation files are those whose path hashes lowest, up to ValBytes; audit
// files are those that come next, as many bytes again. The choice depends on
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
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
)

// ValBytes is the size of the default corpus' validation split: 2^18 predicted
// bytes and one that comes first and is predicted by nothing.
const ValBytes = 1<<18 + 1

// The splits' places below a corpus directory, and the name of what stands
// beside each when tokens are not bytes.
const (
	TrainFile  = "train/train.bin"
	ValFile    = "val/val.bin"
	AuditFile  = "audit/audit.bin"
	TokensFile = "tokens.json"
	infoFile   = "corpus.json"
)

// Options says what to build and where: from Source, or from Docs and ValDocs.
type Options struct {
	Source    string // directory of Go source, normally $(go env GOROOT)/src
	Docs      string // file of training documents, each ended by a zero byte
	ValDocs   string // file of validation documents
	AuditDocs string // file of audit documents; may be left out
	Name      string // of a corpus of documents; by default the file's
	Vocab     int    // number of token ids; 0 means 256, bytes
	Out       string // directory to create
	ValBytes  int    // size of the validation split of Source, and of its audit split; 0 means ValBytes
}

// Corpus describes a built corpus; it is what corpus.json holds.
type Corpus struct {
	Name        string `json:"name"`
	Source      string `json:"source"`
	GoVersion   string `json:"go_version,omitempty"`
	Fingerprint string `json:"fingerprint"` // SHA-256 over the splits and the vocabulary, hex
	Vocab       int    `json:"vocab"`
	TrainBytes  int    `json:"train_bytes"` // of text
	ValBytes    int    `json:"val_bytes"`
	AuditBytes  int    `json:"audit_bytes,omitempty"` // 0: there is no audit split
	TrainTokens int    `json:"train_tokens"`          // train.bin has one byte for each, or two if Vocab is above 256
	ValTokens   int    `json:"val_tokens"`
	AuditTokens int    `json:"audit_tokens,omitempty"`
	Files       int    `json:"files"` // documents in all splits together
}

// texts is what a corpus is made from.
type texts struct {
	train, val, audit []byte
	documents         int
}

// Build makes the corpus that o describes, or verifies and returns the one
// that already stands at o.Out.
func Build(o Options) (Corpus, error) {
	if err := o.setDefaults(); err != nil {
		return Corpus{}, err
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return Corpus{}, fmt.Errorf("finding the corpus directory %s: %w", o.Out, err)
	}
	if c, err := Open(out); !errors.Is(err, fs.ErrNotExist) {
		if err == nil && c.Vocab != o.Vocab {
			err = fmt.Errorf("the corpus at %s has a vocabulary of %d, not %d; pass another --out", out, c.Vocab, o.Vocab)
		}
		return c, err
	}
	text, err := o.read()
	if err != nil {
		return Corpus{}, err
	}
	c := Corpus{
		Name: o.Name, Source: o.Source, Vocab: o.Vocab,
		TrainBytes: len(text.train), ValBytes: len(text.val), AuditBytes: len(text.audit), Files: text.documents,
	}
	if o.Docs != "" {
		c.Source = o.Docs
	} else {
		c.GoVersion = goVersion(o.Source)
	}
	vocabulary := bpe.ByteVocabulary()
	if o.Vocab > bpe.Bytes {
		if vocabulary, err = bpe.Train(text.train, o.Vocab, runtime.NumCPU()); err != nil {
			return Corpus{}, fmt.Errorf("learning a vocabulary of %d tokens from %s: %w", o.Vocab, c.Source, err)
		}
	}
	if err := publish(out, c, text, vocabulary); err != nil {
		return Corpus{}, fmt.Errorf("writing the corpus to %s: %w", out, err)
	}
	// Read back what stands there now: a builder that ran at the same time
	// may have been first, and its corpus is then the pinned one.
	return Open(out)
}

func (o *Options) setDefaults() error {
	if o.ValBytes == 0 {
		o.ValBytes = ValBytes
	}
	if o.Vocab == 0 {
		o.Vocab = bpe.Bytes
	}
	switch {
	case (o.Docs == "") != (o.ValDocs == ""):
		return errors.New("documents come in two files, one for training and one for validation: pass both --docs and --val-docs")
	case o.AuditDocs != "" && o.Docs == "":
		return errors.New("audit documents stand beside training and validation documents: pass --docs and --val-docs too")
	case o.Docs != "" && o.Source != "":
		return errors.New("a corpus is made from Go source or from documents: pass --source or --docs, not both")
	case o.Name == "" && o.Docs != "":
		o.Name = strings.TrimSuffix(filepath.Base(o.Docs), filepath.Ext(o.Docs))
	case o.Name == "":
		o.Name = "go-source"
	}
	return bpe.CheckSize(o.Vocab)
}

// read reads the text of all splits.
func (o *Options) read() (t texts, err error) {
	if o.Docs != "" {
		return readDocuments(o.Docs, o.ValDocs, o.AuditDocs)
	}
	files, err := collect(o.Source)
	if err != nil {
		return t, err
	}
	t.documents = len(files)
	if t.train, t.val, t.audit, err = split(files, o.ValBytes); err != nil {
		return t, fmt.Errorf("splitting the corpus at %s: %w", o.Source, err)
	}
	return t, nil
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
	if c.Vocab == 0 { // written when every corpus was of bytes
		c.Vocab, c.TrainTokens, c.ValTokens = bpe.Bytes, c.TrainBytes, c.ValBytes
	}
	found, err := fingerprint(dir, c)
	if err != nil {
		// Not wrapped: a corpus that lost a split is damaged, not absent.
		return Corpus{}, fmt.Errorf("the corpus at %s is damaged: %v; delete it to build it again", dir, err)
	}
	if found != c.Fingerprint {
		return Corpus{}, fmt.Errorf("the corpus at %s is damaged: its bytes do not match the fingerprint in %s; delete it to build it again", dir, infoFile)
	}
	return c, nil
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

// splits names the files of the splits that c has.
func (c Corpus) splits() []string {
	if c.AuditBytes == 0 {
		return []string{TrainFile, ValFile}
	}
	return []string{TrainFile, ValFile, AuditFile}
}
