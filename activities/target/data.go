package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target/filelock"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Data implements Target. The corpus of "go" is the Go standard library's
// source code; any other is made of documents, see package dataset. The
// evaluator makes both. What a corpus was made of, and with, is written down, so
// that the next one who wants it has it at once.
func (g *GoGPT) Data(ctx context.Context, s DataSpec) (Corpus, error) {
	s.Vocab = max(s.Vocab, experiment.DefaultVocab)
	if s.Report == nil {
		s.Report = func(string) {}
	}
	if err := absolute(&s.Evaluator, &s.Dir, &s.Downloads); err != nil {
		return Corpus{}, err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return Corpus{}, fmt.Errorf("making the data directory: %w", err)
	}
	kind := s.Dataset.Name
	if kind == "" {
		kind = "path"
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(s.Dir, ".lock-"+kind))
	if err != nil {
		return Corpus{}, fmt.Errorf("waiting for another process that prepares the data: %w", err)
	}
	defer unlock()
	program, err := fileDigest(s.Evaluator)
	if err != nil {
		return Corpus{}, fmt.Errorf("reading the evaluator: %w", err)
	}
	m := maker{GoGPT: g, DataSpec: s, kind: kind, program: program[:16]}
	if s.Dataset.Name == experiment.GoSource {
		return m.fromGo(ctx)
	}
	return m.fromDocuments(ctx)
}

// maker makes one corpus.
type maker struct {
	*GoGPT
	DataSpec
	kind    string
	program string   // digest of the evaluator
	reads   []string // what the corpus is made of, unless it lies in the temporary directory
}

// fromGo makes the corpus of the Go installation, which its version tells.
func (m *maker) fromGo(ctx context.Context) (Corpus, error) {
	installed, err := toolchain()
	if err != nil {
		return Corpus{}, err
	}
	source, version, err := installed.sources()
	if err != nil {
		return Corpus{}, err
	}
	m.reads = []string{source}
	if c, ok := m.known(version); ok {
		return c, nil
	}
	tmp, err := m.temporary()
	if err != nil {
		return Corpus{}, err
	}
	defer os.RemoveAll(tmp)
	c, err := m.build(ctx, tmp, version, dataset.Count{}, "--source", source)
	return c, wrap("preparing the data from "+source, err)
}

// fromDocuments makes the corpus of a data set. Downloads have a key before
// they are read, files of the user's own are what they hold.
func (m *maker) fromDocuments(ctx context.Context) (Corpus, error) {
	source, err := dataset.Find(m.Dataset, dataset.Options{
		Cache: m.Downloads, Fetch: m.Fetch, Report: func(p dataset.Progress) { m.Report(p.String()) },
	})
	if err != nil {
		return Corpus{}, err
	}
	if key, ok := source.Key(); ok {
		if c, ok := m.known(key); ok {
			return c, nil
		}
	}
	tmp, err := m.temporary()
	if err != nil {
		return Corpus{}, err
	}
	defer os.RemoveAll(tmp)
	docs, err := source.Write(ctx, tmp)
	if err != nil {
		return Corpus{}, err
	}
	key, ok := source.Key()
	if !ok {
		key = docs.Digest
	}
	if c, ok := m.known(key); ok {
		c.Read = docs.Count // what is left out may be other than it was
		return c, nil
	}
	args := []string{"--docs", docs.Train, "--val-docs", docs.Val, "--name", docs.Name}
	if docs.Audit != "" {
		args = append(args, "--audit-docs", docs.Audit)
	}
	c, err := m.build(ctx, tmp, key, docs.Count, args...)
	return c, wrap("preparing the data set "+m.Dataset.String(), err)
}

// temporary makes a directory for what lies about until the corpus is made. A
// process that was killed has left its own, which may be large.
func (m *maker) temporary() (string, error) {
	old, _ := filepath.Glob(filepath.Join(m.Dir, ".tmp-"+m.kind+"-*"))
	for _, dir := range old { // whose maker had the lock that we have
		_ = os.RemoveAll(dir)
	}
	return os.MkdirTemp(m.Dir, ".tmp-"+m.kind+"-")
}

// note is the file that says what was made of key.
func (m *maker) note(key string) string {
	return filepath.Join(m.Dir, fmt.Sprintf(".from-%.40s-%d-by-%s", key, m.Vocab, m.program))
}

// known finds the corpus that was made of key.
func (m *maker) known(key string) (Corpus, bool) {
	text, err := os.ReadFile(m.note(key))
	var c Corpus
	if err != nil || json.Unmarshal(text, &c) != nil || !whole(m.Dir, c.Fingerprint) {
		return Corpus{}, false
	}
	return c, true
}

// build has the evaluator make a corpus in tmp, since its name is not known
// before.
func (m *maker) build(ctx context.Context, tmp, key string, read dataset.Count, args ...string) (Corpus, error) {
	args = append([]string{"data", "--out", filepath.Join(tmp, "corpus")}, args...)
	if m.Vocab != experiment.DefaultVocab { // evaluators of earlier versions know bytes alone
		args = append(args, "--vocab", strconv.Itoa(m.Vocab))
	}
	defer m.saying(fmt.Sprintf("making the corpus of %s, vocabulary %d", m.Dataset, m.Vocab))()
	o, out, err := m.withKnown(args, []string{"audit-docs"}, func(args []string, out io.Writer) (sandbox.Outcome, error) {
		return m.run(ctx, m.limits.data, sandbox.Spec{Path: m.Evaluator, Args: args, Dir: tmp, ReadOnly: m.reads, Stdout: out, Log: m.Log})
	})
	if err != nil {
		return Corpus{}, err
	}
	var built struct {
		Corpus
		Files int `json:"files"` // documents, of any data set
	}
	if err := evaluatorResult(o, out, &built); err != nil {
		return Corpus{}, m.refused(o, tmp, err)
	}
	c := built.Corpus
	if len(c.Fingerprint) < 16 || !filepath.IsLocal(c.Fingerprint) || strings.ContainsAny(c.Fingerprint, "/.") {
		return Corpus{}, fmt.Errorf("the evaluator calls the data set %q, which is no fingerprint", c.Fingerprint)
	}
	c.Vocab, c.Documents, c.Read = m.Vocab, built.Files, read
	if !whole(m.Dir, c.Fingerprint) {
		final := filepath.Join(m.Dir, c.Fingerprint)
		_ = os.RemoveAll(final) // damaged, or absent
		if err := os.Rename(filepath.Join(tmp, "corpus"), final); err != nil && !whole(m.Dir, c.Fingerprint) {
			return Corpus{}, err
		}
	}
	if text, err := json.Marshal(c); err == nil {
		_ = os.WriteFile(m.note(key), text, 0o644) // costs time only if it fails
	}
	return c, nil
}

// refused tells a data set that the evaluator refuses from trouble of its
// process. Its last words are for people, who do not know our temporary files.
func (m *maker) refused(o sandbox.Outcome, tmp string, err error) error {
	if o.ExitCode != 1 || o.Stopped != nil || diskFull(o.Tail) != nil || len(o.Tail) == 0 {
		return err
	}
	words := strings.TrimPrefix(o.Tail[len(o.Tail)-1], "evaluate: ")
	for _, name := range []string{"train.docs", "val.docs", "audit.docs"} {
		words = strings.ReplaceAll(words, filepath.Join(tmp, name), m.Dataset.String())
	}
	return dataset.Refuse("choose another data set or another vocabulary", "%s", words)
}

// saying reports what takes a while, with the time that it has taken.
func (m *maker) saying(what string) (stop func()) {
	began, done := time.Now(), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			m.Report(fmt.Sprintf("%s: %v", what, time.Since(began).Round(time.Second)))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}

// whole reports whether dir/fingerprint holds its splits in full length.
func whole(dir, fingerprint string) bool {
	root := filepath.Join(dir, fingerprint)
	text, err := os.ReadFile(filepath.Join(root, "corpus.json"))
	var c Corpus
	if err != nil || fingerprint == "" || json.Unmarshal(text, &c) != nil || c.Fingerprint != fingerprint {
		return false
	}
	train, val, audit := c.TrainBytes, c.ValBytes, c.AuditBytes
	if c.Vocab > experiment.DefaultVocab {
		train, val, audit = 2*c.TrainTokens, 2*c.ValTokens, 2*c.AuditTokens
	}
	for file, size := range map[string]int64{"train/train.bin": train, "val/val.bin": val, "audit/audit.bin": audit} {
		if file == "audit/audit.bin" && size == 0 {
			continue
		}
		if info, err := os.Stat(filepath.Join(root, file)); err != nil || info.Size() != size {
			return false
		}
	}
	return true
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
