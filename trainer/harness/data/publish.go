package data

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
)

// fingerprint identifies the corpus c at dir by the bytes of its splits and of
// its vocabulary. The sizes are hashed too, so that moving a byte from one
// split to the other shows. Without an audit split it is what it was before
// there was such a thing.
func fingerprint(dir string, c Corpus) (string, error) {
	h := sha256.New()
	var sizes []any
	for _, name := range c.splits() {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		sizes = append(sizes, info.Size())
	}
	if c.Vocab != bpe.Bytes {
		tokens, err := c.tokens(dir)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "vocab %d %d\n%s", c.Vocab, len(tokens), tokens)
	}
	fmt.Fprintln(h, sizes...)
	for _, name := range c.splits() {
		if err := copyFile(h, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// tokens reads tokens.json, which must be the same in all splits.
func (c Corpus) tokens(dir string) (text []byte, err error) {
	for i, name := range c.splits() {
		again, err := os.ReadFile(filepath.Join(dir, filepath.Dir(name), TokensFile))
		if err != nil {
			return nil, err
		}
		if i > 0 && !bytes.Equal(text, again) {
			return nil, fmt.Errorf("the splits have different %s files", TokensFile)
		}
		text = again
	}
	return text, nil
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, 1<<18))
	return err
}

// publish makes the corpus appear at out in one step.
func publish(out string, c Corpus, t texts, v *bpe.Vocabulary) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := c.write(tmp, t, v); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, out); err != nil {
		if _, openErr := Open(out); openErr == nil {
			return nil // another builder was first
		}
		return fmt.Errorf("%w (is the directory in use? it must be empty or absent)", err)
	}
	return nil
}

// write writes the files of a corpus below dir.
func (c Corpus) write(dir string, t texts, v *bpe.Vocabulary) (err error) {
	text := [][]byte{t.train, t.val, t.audit}
	count := []*int{&c.TrainTokens, &c.ValTokens, &c.AuditTokens}
	for i, name := range c.splits() {
		path := filepath.Join(dir, name)
		if v.Size() > bpe.Bytes {
			tokens := func(w io.Writer) error { _, err := w.Write(v.Marshal()); return err }
			if err := writeSynced(filepath.Join(filepath.Dir(path), TokensFile), tokens); err != nil {
				return err
			}
		}
		err := writeSynced(path, func(w io.Writer) error {
			*count[i], err = writeTokens(w, text[i], v)
			return err
		})
		if err != nil {
			return err
		}
	}
	if c.Fingerprint, err = fingerprint(dir, c); err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, infoFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(c)
	})
}

// writeTokens writes the tokens of text and returns how many they are.
func writeTokens(w io.Writer, text []byte, v *bpe.Vocabulary) (tokens int, err error) {
	if v.Size() == bpe.Bytes {
		_, err := w.Write(text)
		return len(text), err
	}
	// A window of blocks is encoded at a time, on all cores, and written in order.
	blocks, cores := bpe.Blocks(text, 1<<20), runtime.NumCPU()
	encoded, done := make([]chan []byte, len(blocks)), make(chan struct{})
	defer close(done)
	for i := range encoded {
		encoded[i] = make(chan []byte, 1)
	}
	room := make(chan struct{}, 4*cores)
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range blocks {
			select {
			case room <- struct{}{}:
				next <- i
			case <-done:
				return
			}
		}
	}()
	for range cores {
		go func() {
			e, ids := bpe.NewEncoder(v), []uint16(nil)
			for i := range next {
				ids = e.Append(ids[:0], blocks[i])
				encoded[i] <- littleEndian(ids)
			}
		}()
	}
	for _, c := range encoded {
		b := <-c
		<-room
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
		tokens += len(b) / 2
	}
	return tokens, nil
}

func littleEndian(ids []uint16) []byte {
	b := make([]byte, 0, 2*len(ids))
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint16(b, id)
	}
	return b
}

// writeSynced creates a file with what write writes.
func writeSynced(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<18)
	return errors.Join(write(w), w.Flush(), f.Sync(), f.Close())
}
