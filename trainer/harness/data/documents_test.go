package data

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// story is n short documents with characters of several bytes, U+FFFD and
// bytes that are no UTF-8.
func story(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "Once upon a time there were %d bears in the woods. One said: “größer \ufffd\xff”.\n\x00", i*i%1009)
	}
	return b.Bytes()
}

// file writes a file to a temporary directory.
func tempFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docs")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func openTest(t *testing.T, path string) *Split {
	t.Helper()
	s, err := OpenSplit(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// text is what the tokens of a split stand for.
func (s *Split) text() []byte {
	ids := make([]int32, s.Len())
	s.Read(ids, 0)
	return s.Vocab().Decode(ids)
}

// Whatever the vocabulary, a corpus of documents stands for their bytes.
func TestDocuments(t *testing.T) {
	train, val, audit := story(2000), story(77), story(55)
	o := Options{Docs: tempFile(t, train), ValDocs: tempFile(t, val), Name: "bears"}
	seen := map[string]int{}
	withAudit := o
	withAudit.AuditDocs, withAudit.Vocab, withAudit.Out = tempFile(t, audit), 300, filepath.Join(t.TempDir(), "c")
	c, err := Build(withAudit)
	if err != nil {
		t.Fatal(err)
	}
	ofAudit := openTest(t, filepath.Join(withAudit.Out, AuditFile))
	if !bytes.Equal(ofAudit.text(), audit) || c.AuditBytes != len(audit) || c.AuditTokens != ofAudit.Len() || c.Files != 2132 {
		t.Errorf("with audit documents: %+v", c)
	}
	seen[c.Fingerprint]++
	for _, vocab := range []int{256, 257, 300, 512} {
		o.Vocab, o.Out = vocab, filepath.Join(t.TempDir(), "c")
		c, err := Build(o)
		if err != nil {
			t.Fatal(err)
		}
		ofTrain, ofVal := openTest(t, filepath.Join(o.Out, TrainFile)), openTest(t, filepath.Join(o.Out, ValFile))
		if !bytes.Equal(ofTrain.text(), train) || !bytes.Equal(ofVal.text(), val) {
			t.Errorf("vocabulary %d: the splits are not the documents", vocab)
		}
		want := Corpus{Name: "bears", Source: o.Docs, Fingerprint: c.Fingerprint, Vocab: vocab, TrainBytes: len(train), ValBytes: len(val), TrainTokens: ofTrain.Len(), ValTokens: ofVal.Len(), Files: 2077}
		if c != want || ofTrain.Bytes(0, ofTrain.Len()) != len(train) || ofVal.Vocab().Size() != vocab {
			t.Errorf("vocabulary %d: got %+v, want %+v", vocab, c, want)
		}
		if n := len(ofTrain.Documents()); n != 2000 {
			t.Errorf("vocabulary %d: %d training documents, want 2000", vocab, n)
		}
		if seen[c.Fingerprint]++; seen[c.Fingerprint] > 1 {
			t.Errorf("vocabulary %d has the fingerprint of another", vocab)
		}
	}
}

// The vocabulary comes from the training split alone, and twice the same.
func TestVocabularyIsLearnedFromTraining(t *testing.T) {
	build := func(val []byte) (Corpus, *Split) {
		out := filepath.Join(t.TempDir(), "c")
		c, err := Build(Options{Docs: tempFile(t, story(2000)), ValDocs: tempFile(t, val), Vocab: 400, Out: out})
		if err != nil {
			t.Fatal(err)
		}
		return c, openTest(t, filepath.Join(out, ValFile))
	}
	a, of := build(story(50))
	b, ofOther := build([]byte(strings.Repeat("zzqzzq", 900) + "\x00"))
	if !bytes.Equal(of.Vocab().Marshal(), ofOther.Vocab().Marshal()) {
		t.Error("another validation split gave another vocabulary")
	}
	if again, _ := build(story(50)); again.Fingerprint != a.Fingerprint || again.Fingerprint == b.Fingerprint {
		t.Errorf("fingerprints: %s, the same again %s, with another validation split %s", a.Fingerprint, again.Fingerprint, b.Fingerprint)
	}
}

func TestBadDocuments(t *testing.T) {
	good := story(2000)
	goodFile := tempFile(t, good)
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no validation":       {Options{Docs: goodFile}, "--val-docs"},
		"audit alone":         {Options{Source: "/x", AuditDocs: goodFile}, "--val-docs"},
		"empty audit":         {Options{Docs: goodFile, ValDocs: goodFile, AuditDocs: tempFile(t, nil)}, "the file is empty"},
		"both kinds":          {Options{Docs: goodFile, ValDocs: goodFile, Source: "/x"}, "not both"},
		"absent":              {Options{Docs: "/nowhere/at/all", ValDocs: goodFile}, "/nowhere/at/all"},
		"a directory":         {Options{Docs: t.TempDir(), ValDocs: goodFile}, "not a regular file"},
		"empty":               {Options{Docs: tempFile(t, nil), ValDocs: goodFile}, "the file is empty"},
		"empty validation":    {Options{Docs: goodFile, ValDocs: tempFile(t, nil)}, "the file is empty"},
		"too small":           {Options{Docs: tempFile(t, story(9)), ValDocs: goodFile}, "too few to train on"},
		"a zero byte":         {Options{Docs: tempFile(t, append([]byte("a\x00\x00b\x00"), good...)), ValDocs: goodFile}, "empty document at byte 2"},
		"a zero byte first":   {Options{Docs: tempFile(t, append([]byte("\x00"), good...)), ValDocs: goodFile}, "empty document at byte 0"},
		"cut short":           {Options{Docs: tempFile(t, good[:len(good)-1]), ValDocs: goodFile}, "cut short"},
		"small vocabulary":    {Options{Docs: goodFile, ValDocs: goodFile, Vocab: 100}, "not possible"},
		"large vocabulary":    {Options{Docs: goodFile, ValDocs: goodFile, Vocab: 1 << 17}, "not possible"},
		"too much vocabulary": {Options{Docs: goodFile, ValDocs: goodFile, Vocab: 60_000}, "ask for a smaller vocabulary"},
	} {
		c.o.Out = filepath.Join(t.TempDir(), "c")
		if _, err := Build(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a word on %q", name, err, c.want)
		}
		if entries, _ := os.ReadDir(filepath.Dir(c.o.Out)); len(entries) > 0 {
			t.Errorf("%s: %v is left", name, entries)
		}
	}
}

// A disk that fills up, or a directory that is not ours, leaves nothing.
func TestNoRoom(t *testing.T) {
	docs := tempFile(t, story(2000))
	for _, vocab := range []int{256, 300} {
		parent := t.TempDir()
		o := Options{Docs: docs, ValDocs: docs, Vocab: vocab, Out: filepath.Join(parent, "c")}
		limitFiles(t, 100_000, func() {
			if _, err := Build(o); !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), o.Out) {
				t.Errorf("vocabulary %d, no room: %v", vocab, err)
			}
		})
		if entries, _ := os.ReadDir(parent); len(entries) > 0 {
			t.Errorf("vocabulary %d: %v is left", vocab, entries)
		}
	}
	// As root every directory can be written, so a file is in the way.
	o := Options{Docs: docs, ValDocs: docs, Out: filepath.Join(docs, "c")}
	if _, err := Build(o); err == nil || !strings.Contains(err.Error(), o.Out) {
		t.Errorf("below a file: %v", err)
	}
}

// Builders at the same time all end up with one corpus.
func TestBuildersAtTheSameTime(t *testing.T) {
	docs := tempFile(t, story(2000))
	o := Options{Docs: docs, ValDocs: docs, Vocab: 300, Out: filepath.Join(t.TempDir(), "c")}
	var wait sync.WaitGroup
	var built [4]Corpus
	var failed [4]error
	for i := range built {
		wait.Go(func() { built[i], failed[i] = Build(o) })
	}
	wait.Wait()
	for i := range built {
		if failed[i] != nil || built[i] != built[0] {
			t.Errorf("builder %d: %+v, %v", i, built[i], failed[i])
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(o.Out)); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

func TestAnotherVocabularyNeedsAnotherPlace(t *testing.T) {
	docs := tempFile(t, story(2000))
	o := Options{Docs: docs, ValDocs: docs, Vocab: 300, Out: filepath.Join(t.TempDir(), "c")}
	if _, err := Build(o); err != nil {
		t.Fatal(err)
	}
	o.Vocab = 301
	if _, err := Build(o); err == nil || !strings.Contains(err.Error(), "has a vocabulary of 300, not 301") {
		t.Errorf("got %v", err)
	}
}

// Damage to either file of tokens shows, also if it is the same in both, and so
// does a lost one.
func TestDamagedVocabulary(t *testing.T) {
	docs := tempFile(t, story(2000))
	change := func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, append(text, ' '), 0o644)
	}
	for name, damage := range map[string]func(train, val string) error{
		"lost in training":      func(train, _ string) error { return os.Remove(train) },
		"lost in validation":    func(_, val string) error { return os.Remove(val) },
		"changed in training":   func(train, _ string) error { return change(train) },
		"changed in validation": func(_, val string) error { return change(val) },
		"changed in both":       func(train, val string) error { return errors.Join(change(train), change(val)) },
	} {
		out := filepath.Join(t.TempDir(), "c")
		if _, err := Build(Options{Docs: docs, ValDocs: docs, Vocab: 300, Out: out}); err != nil {
			t.Fatal(err)
		}
		beside := func(split string) string { return filepath.Join(out, filepath.Dir(split), TokensFile) }
		if err := damage(beside(TrainFile), beside(ValFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(out); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was built before corpora had vocabularies is a corpus of bytes, and what
// was built before there were audit splits has none. Fingerprints are as ever.
func TestOldCorpus(t *testing.T) {
	const fingerprint = "4da4291e877486ff2c3bb6d8cf9ba59de70ec9b79ab72bd10db421a903eec4cd" // sha256 of "6 4\ntrain\x00val\x00"
	want := Corpus{Name: "old", Fingerprint: fingerprint, Vocab: 256, TrainBytes: 6, ValBytes: 4, TrainTokens: 6, ValTokens: 4, Files: 2}
	for _, fields := range []string{"", `, "vocab": 256, "train_tokens": 6, "val_tokens": 4`} {
		out := t.TempDir()
		for name, text := range map[string]string{
			TrainFile: "train\x00", ValFile: "val\x00",
			infoFile: `{"name": "old", "fingerprint": "` + fingerprint + `", "train_bytes": 6, "val_bytes": 4, "files": 2` + fields + `}`,
		} {
			path := filepath.Join(out, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if c, err := Open(out); err != nil || c != want {
			t.Errorf("with the fields %q: got %+v (%v), want %+v", fields, c, err, want)
		}
	}
}
