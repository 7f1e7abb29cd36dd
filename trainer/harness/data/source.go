package data

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxFileBytes leaves out the largest hand-written files along with the data
// tables they are mixed with; together they are under a tenth of the tree.
const maxFileBytes = 256 << 10

// maxValFileBytes keeps one long file from making up much of the validation
// split: at 32 KiB it holds dozens of files from all over the tree.
const maxValFileBytes = 32 << 10

// minTrainBytes is the least a training split may hold: the longest context
// that anyone would train on here, with room to draw windows from.
const minTrainBytes = 64 << 10

// separator ends every file. Go source cannot contain it.
const separator = 0

// generated matches the line that marks generated code, in any comment style.
var generated = regexp.MustCompile(`(?im)^\s*(//|/\*|\*)?\s*code generated .*do not edit`)

// file is one source file of the corpus.
type file struct {
	path string // slash-separated, relative to the source directory
	text []byte
}

// collect reads the files of the corpus in the order of their paths.
func collect(source string) ([]file, error) {
	if info, err := os.Stat(source); source == "" || err != nil || !info.IsDir() {
		return nil, fmt.Errorf("reading the corpus source %q: no such directory; install the Go source package (golang-src in most distributions) or pass --source \"$(go env GOROOT)/src\" of a complete Go installation", source)
	}
	var files []file
	seen := map[[sha256.Size]byte]bool{}
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != source && skipDir(entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !wanted(text) {
			return err
		}
		if digest := sha256.Sum256(text); !seen[digest] {
			seen[digest] = true
			rel, _ := filepath.Rel(source, path)
			files = append(files, file{filepath.ToSlash(rel), text})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the corpus source %s: %w", source, err)
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return files, nil
}

func skipDir(name string) bool {
	return name == "vendor" || name == "testdata" || name[0] == '_' || name[0] == '.'
}

func wanted(text []byte) bool {
	head := text[:min(len(text), 4096)]
	return len(text) > 0 && len(text) <= maxFileBytes &&
		bytes.IndexByte(text, separator) < 0 && !generated.Match(head)
}

// split divides files into the training text and exactly valBytes bytes each of
// validation and audit text. The file that is cut short at the end of such a
// text stays out of the others as a whole.
func split(files []file, valBytes int) (train, val, audit []byte, err error) {
	held := map[string]bool{}
	for _, f := range byHash(files) {
		into := &val
		if len(val) >= valBytes {
			into = &audit
		}
		if len(*into) >= valBytes {
			break
		}
		if len(f.text) <= maxValFileBytes {
			held[f.path] = true
			*into = append(append(*into, f.text...), separator)
		}
	}
	for _, f := range files {
		if !held[f.path] {
			train = append(append(train, f.text...), separator)
		}
	}
	if len(audit) < valBytes || len(train) < minTrainBytes {
		return nil, nil, nil, errors.New("too little Go source for a training, a validation and an audit split; pass --source with a complete Go source tree")
	}
	return train, val[:valBytes], audit[:valBytes], nil
}

// byHash orders files by the SHA-256 of their paths.
func byHash(files []file) []file {
	key := make(map[string][sha256.Size]byte, len(files))
	for _, f := range files {
		key[f.path] = sha256.Sum256([]byte(f.path))
	}
	return slices.SortedFunc(slices.Values(files), func(a, b file) int {
		ka, kb := key[a.path], key[b.path]
		return bytes.Compare(ka[:], kb[:])
	})
}
