package data

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// readDocuments reads files of documents, each ended by a zero byte. Those of
// the audit split may be missing.
func readDocuments(trainPath, valPath, auditPath string) (t texts, err error) {
	for _, s := range []struct {
		path string
		text *[]byte
	}{{trainPath, &t.train}, {valPath, &t.val}, {auditPath, &t.audit}} {
		if s.path == "" {
			continue
		}
		if *s.text, err = mapFile(s.path); errors.Is(err, errEmpty) || errors.Is(err, fs.ErrNotExist) {
			return t, fmt.Errorf("reading the documents %s: %w; a corpus needs documents for training and for validation", s.path, err)
		} else if err != nil {
			return t, fmt.Errorf("reading the documents %s: %w", s.path, err)
		}
		n, err := countDocuments(*s.text)
		if err != nil {
			return t, fmt.Errorf("reading the documents %s: %w", s.path, err)
		}
		t.documents += n
	}
	if len(t.train) < minTrainBytes {
		return t, fmt.Errorf("the training documents %s have %d bytes, too few to train on; at least %d are needed", trainPath, len(t.train), minTrainBytes)
	}
	return t, nil
}

// countDocuments checks that text is documents that zero bytes end. Two in a
// row tell of an empty document, or of one that contained a zero byte.
func countDocuments(text []byte) (int, error) {
	n := bytes.Count(text, []byte{separator})
	if i := bytes.Index(text, []byte{separator, separator}); i >= 0 || text[0] == separator {
		return 0, fmt.Errorf("there is an empty document at byte %d; a document must have text and no zero byte in it, as zero bytes end documents", i+1)
	}
	if text[len(text)-1] != separator {
		return 0, errors.New("the last document has no zero byte at its end; is the file cut short?")
	}
	return n, nil
}

var errEmpty = errors.New("the file is empty")

// mapFile maps a file for reading: a large corpus costs no memory and no
// start-up time, and runs on one machine share it.
func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() == 0:
		return nil, errEmpty
	case info.Size() != int64(int(info.Size())):
		return nil, fmt.Errorf("its size, %d bytes, cannot be mapped", info.Size())
	}
	return mmap(f, int(info.Size()))
}
