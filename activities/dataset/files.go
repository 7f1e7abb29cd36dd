package dataset

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// format is how a file holds its documents.
type format int

const (
	noText format = iota
	plainText
	jsonLines
	parquetFile
)

// formatOf looks at the name and the beginning of a file.
func formatOf(path string) (format, error) {
	f, err := os.Open(path)
	if err != nil {
		return noText, reading(path, err)
	}
	defer f.Close()
	head, err := sample(f)
	if err != nil {
		return noText, reading(path, err)
	}
	name := strings.ToLower(path)
	switch {
	case strings.HasSuffix(name, ".parquet"), strings.HasPrefix(string(head), parquetMagic):
		return parquetFile, nil
	case !isText(head):
		return noText, nil
	case strings.HasSuffix(name, ".jsonl"):
		return jsonLines, nil
	}
	return plainText, nil
}

// eachDocument calls emit for the documents of a file.
func eachDocument(path string, as format, emit func([]byte) error) error {
	if as == parquetFile {
		return eachParquet(path, emit)
	}
	f, err := os.Open(path)
	if err != nil {
		return reading(path, err)
	}
	defer f.Close()
	var in io.Reader = readFrom{f}
	if as == jsonLines {
		err = eachJSONL(path, in, emit)
	} else {
		err = eachText(in, emit)
	}
	if r, ok := err.(*readError); ok {
		return reading(path, r.error)
	}
	return err
}

// readFrom marks the errors of a file, which are not those of its reader.
type readFrom struct{ f *os.File }

type readError struct{ error }

func (r readFrom) Read(b []byte) (int, error) {
	n, err := r.f.Read(b)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// found is a file that holds documents.
type found struct {
	path  string
	as    format
	bytes int64
}

// walk lists the files of a data set at path, in the order of their names, and
// counts those that are left out.
func walk(ctx context.Context, path string, out *LeftOut) ([]found, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reading(path, err)
	}
	if !info.IsDir() {
		as, err := formatOf(path)
		switch {
		case err != nil:
			return nil, err
		case info.Size() == 0:
			return nil, bad(wantHint, "%s is empty", path)
		case as == noText:
			return nil, bad("text must be UTF-8 or another encoding without zero bytes; unpack archives first", "%s is not a text", path)
		}
		return []found{{path, as, info.Size()}}, nil
	}
	var files []found
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		switch hidden := at != path && strings.HasPrefix(d.Name(), "."); {
		case err != nil:
			return reading(at, err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case d.IsDir() && hidden:
			out.Hidden++
			return fs.SkipDir
		case d.IsDir():
			return nil
		case hidden:
			out.Hidden++
			return nil
		case !d.Type().IsRegular():
			out.Links++
			return nil
		}
		as, err := formatOf(at)
		if err == nil && as == noText {
			out.NoText++
			return nil
		}
		size := int64(0)
		if info, err := d.Info(); err == nil {
			size = info.Size()
		}
		files = append(files, found{at, as, size})
		return err
	})
	if err == nil && len(files) == 0 {
		err = bad(wantHint, "%s has no file of text, .jsonl or .parquet (%s)", path, out)
	}
	return files, err
}

const wantHint = "name a file or a directory with some text: training takes at least a few hundred kilobytes"
