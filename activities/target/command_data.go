package target

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/activities/scorer"
	"github.com/autoresearch-go/autoresearch/activities/target/filelock"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// dataDir is where the evaluator of a command target has the manifest's data.
func dataDir(outDir string) string { return filepath.Join(outDir, "data") }

// Data implements Target: the manifest's token files. A campaign that asks for
// another data set or vocabulary is refused.
func (c *Command) Data(ctx context.Context, s DataSpec) (Corpus, error) {
	if err := absolute(&s.Evaluator, &s.Dir); err != nil {
		return Corpus{}, err
	}
	m, err := manifestAt(s.Evaluator)
	if err != nil {
		return Corpus{}, err
	}
	if s.Dataset.String() != experiment.GoSource || s.Vocab > experiment.DefaultVocab {
		return Corpus{}, dataset.Refuse("leave dataset and vocab out", "the manifest of %s names its own data, so it takes neither the dataset %s nor a vocab", m.Name, s.Dataset)
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return Corpus{}, fmt.Errorf("making the data directory: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(s.Dir, ".lock-command"))
	if err != nil {
		return Corpus{}, fmt.Errorf("waiting for another process that prepares the data: %w", err)
	}
	defer unlock()
	tmp, err := os.MkdirTemp(s.Dir, ".tmp-command-")
	if err != nil {
		return Corpus{}, fmt.Errorf("making the data: %w", err)
	}
	defer os.RemoveAll(tmp)
	corpus, err := takeData(filepath.Join(tmp, "corpus"), filepath.Dir(s.Evaluator), m)
	if err != nil || whole(s.Dir, corpus.Fingerprint) {
		return corpus, err
	}
	final := filepath.Join(s.Dir, corpus.Fingerprint)
	_ = os.RemoveAll(final) // damaged, or absent
	return corpus, wrap("making the data", os.Rename(filepath.Join(tmp, "corpus"), final))
}

// takeData copies the splits that lie with the evaluator into dir, checks that
// they can be scored, and says what they are.
func takeData(dir, evaluator string, m Manifest) (Corpus, error) {
	c, h := Corpus{Vocab: m.Data.Vocab}, sha256.New()
	for _, split := range []struct {
		name, from    string
		tokens, bytes *int64
	}{{"train", m.Data.Train, &c.TrainTokens, &c.TrainBytes}, {"val", m.Data.Val, &c.ValTokens, &c.ValBytes}} {
		to := filepath.Join(dir, split.name, split.name+".bin")
		from := filepath.Join(dataDir(evaluator), filepath.FromSlash(split.from))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyFile(to, from)); err != nil {
			return c, fmt.Errorf("taking the data: %w", err)
		}
		digest, err := fileDigest(to)
		if err != nil {
			return c, err
		}
		fmt.Fprintf(h, "%s %s %d\n", split.name, digest, c.Vocab)
		tokens, err := readTokens(to, c.Vocab)
		if err != nil {
			return c, dataset.Refuse("see docs/scorer.md for the format", "%v", err)
		}
		*split.tokens, *split.bytes = int64(len(tokens)), int64(len(tokens))*tokenWidth(c.Vocab)
	}
	lengths, err := readTokenBytes(evaluator, m.Data)
	if err == nil {
		fmt.Fprintln(h, lengths)
		err = enough(filepath.Join(dir, "val"), evaluator, m)
	}
	if err != nil {
		return c, dataset.Refuse("see docs/scorer.md", "%v", err)
	}
	c.Fingerprint = "command-" + hex.EncodeToString(h.Sum(nil))[:32]
	note, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "corpus.json"), note, 0o644)
	}
	return c, err
}

// enough refuses a validation text that is too short for cuts to show anything.
func enough(val, evaluator string, m Manifest) error {
	text, err := readText(val, evaluator, m)
	if err != nil {
		return err
	}
	d, err := m.design(text)
	if err != nil {
		return err
	}
	_, err = d.Passes()
	return err
}

func tokenWidth(vocab int) int64 {
	if vocab > experiment.DefaultVocab {
		return 2
	}
	return 1
}

// readTokens reads a token file.
func readTokens(name string, vocab int) ([]int32, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	width := int(tokenWidth(vocab))
	tokens := make([]int32, len(raw)/width)
	for i := range tokens {
		if tokens[i] = int32(raw[i*width]); width == 2 {
			tokens[i] = int32(binary.LittleEndian.Uint16(raw[2*i:]))
		}
		if int(tokens[i]) >= vocab {
			return nil, fmt.Errorf("token %d of %s is %d, and the vocabulary ends at %d", i, filepath.Base(name), tokens[i], vocab-1)
		}
	}
	return tokens, nil
}

// readText reads a validation split as windows. Tokens after the last whole
// window are not scored.
func readText(dir, evaluator string, m Manifest) (scorer.Text, error) {
	t := scorer.Text{Positions: m.Window, Vocab: m.Data.Vocab}
	tokens, err := readTokens(filepath.Join(dir, filepath.Base(dir)+".bin"), t.Vocab)
	if err != nil {
		return t, fmt.Errorf("reading the text: %w", err)
	}
	n := len(tokens) / (t.Positions + 1)
	if m.Windows > 0 {
		n = min(n, m.Windows)
	}
	if n == 0 {
		return t, fmt.Errorf("reading the text: %d tokens are not one window of %d", len(tokens), t.Positions+1)
	}
	t.Tokens = tokens[:n*(t.Positions+1)]
	lengths, err := readTokenBytes(evaluator, m.Data)
	if err != nil {
		return t, fmt.Errorf("reading the text: %w", err)
	}
	for i, token := range t.Tokens {
		if i%(t.Positions+1) > 0 {
			t.Bytes += int64(lengths[token])
		}
	}
	return t, nil
}

// readTokenBytes returns how many bytes each token stands for. Such a list lies
// with the evaluator.
func readTokenBytes(evaluator string, d ManifestData) ([]int, error) {
	if d.TokenBytes == "" {
		ones := make([]int, d.Vocab)
		for i := range ones {
			ones[i] = 1
		}
		return ones, nil
	}
	text, err := os.ReadFile(filepath.Join(dataDir(evaluator), filepath.FromSlash(d.TokenBytes)))
	var lengths []int
	if err == nil {
		err = json.Unmarshal(text, &lengths)
	}
	if err == nil && len(lengths) != d.Vocab {
		err = fmt.Errorf("%s has %d numbers for a vocabulary of %d", d.TokenBytes, len(lengths), d.Vocab)
	}
	for i, n := range lengths {
		if err == nil && n < 0 {
			err = fmt.Errorf("%s says that token %d stands for %d bytes", d.TokenBytes, i, n)
		}
	}
	return lengths, err
}

// manifestAt reads the manifest that stands for a built program.
func manifestAt(program string) (Manifest, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading the built manifest: %w", err)
	}
	m, err := parseManifest(text)
	return m, wrap("reading "+program, err)
}

// lookPath finds a program of the machine, such as python3.
func lookPath(name string) (string, error) {
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("finding %s, which the manifest's command starts: %w; install it, and put it on the PATH of the worker", name, err)
	}
	return filepath.Abs(found)
}
