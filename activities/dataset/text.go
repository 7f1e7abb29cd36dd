package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// maxDocument is where a document is cut: far above every context that is
// trained here, and small enough that a few of them make a validation text.
const maxDocument = 64 << 10

// endOfText separates documents within one file, as in TinyStories.
const endOfText = "<|endoftext|>"

// eachText calls emit for the documents of a text. What emit gets is its only
// until it returns.
func eachText(r io.Reader, emit func([]byte) error) error {
	in := bufio.NewReaderSize(r, 2*maxDocument)
	marked := false // this document follows a separator
	for first := true; ; first = false {
		// Enough to see a separator that begins where a document is cut.
		head, err := in.Peek(maxDocument + len(endOfText))
		if len(head) == 0 && first && err == io.EOF {
			return emit(nil) // it counts as an empty document
		}
		if len(head) == 0 {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		doc, used := head, len(head)
		i := bytes.Index(head, []byte(endOfText))
		switch {
		case i >= 0:
			doc, used = head[:i], i+len(endOfText)
		case len(head) > maxDocument:
			used = cutAt(head[:maxDocument])
			doc = head[:used]
		}
		if i >= 0 || marked {
			doc = bytes.Trim(doc, "\r\n")
		}
		marked = i >= 0
		if err := emit(doc); err != nil {
			return err
		}
		if _, err := in.Discard(used); err != nil {
			return err
		}
	}
}

// cutAt says where to cut a text that is too long: after its last blank line,
// or its last line, or its last whole character; in its second half.
func cutAt(text []byte) int {
	half := len(text) / 2
	for _, end := range []string{"\n\n", "\n", " "} {
		if i := bytes.LastIndex(text[half:], []byte(end)); i >= 0 {
			return half + i + len(end)
		}
	}
	n := len(text)
	for n > half && !utf8.RuneStart(text[n-1]) {
		n--
	}
	if n > half+1 && !utf8.FullRune(text[n-1:]) {
		return n - 1 // before the character that is not whole
	}
	return len(text)
}

// eachPiece cuts a document that is too long.
func eachPiece(doc []byte, emit func([]byte) error) error {
	for len(doc) > maxDocument {
		n := cutAt(doc[:maxDocument])
		if err := emit(doc[:n]); err != nil {
			return err
		}
		doc = doc[n:]
	}
	return emit(doc)
}

// sampleBytes is how much of a file is looked at to tell whether it is text.
const sampleBytes = 16 << 10

// isText reports whether the beginning of a file looks like text: no zero byte,
// and hardly anything that is neither UTF-8 nor printable. Text in another
// encoding of single bytes passes.
func isText(sample []byte) bool {
	if bytes.IndexByte(sample, 0) >= 0 {
		return false
	}
	strange := 0
	for rest := sample; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1b", r) || r == utf8.RuneError && n == 1 && len(rest) >= utf8.UTFMax {
			strange++
		}
		rest = rest[n:]
	}
	return strange <= len(sample)/10
}

// sample reads the beginning of a file.
func sample(f *os.File) ([]byte, error) {
	b := make([]byte, sampleBytes)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b[:n], err
}

// eachJSONL calls emit for the text of each line, which is an object with a
// field "text", or with one field that is a string.
func eachJSONL(path string, r io.Reader, emit func([]byte) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		last := err == io.EOF
		if line = bytes.TrimSpace(line); len(line) > 0 {
			text, err := textOfObject(line)
			if err != nil {
				return bad("each line must be an object such as {\"text\":\"once upon a time\"}", "%s, line %d: %w", path, n, err)
			}
			if err := eachPiece([]byte(text), emit); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func textOfObject(line []byte) (string, error) {
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		return "", err
	}
	names, strange := []string{}, []string{}
	for name, value := range fields {
		if _, ok := value.(string); ok {
			names = append(names, name)
		} else {
			strange = append(strange, name)
		}
	}
	name, err := textColumn(names, strange)
	if err != nil {
		return "", err
	}
	return fields[name].(string), nil
}
