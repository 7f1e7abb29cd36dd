package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// parquetMagic begins and ends every parquet file.
const parquetMagic = "PAR1"

// textColumn chooses among columns of text, and names them all if it cannot.
func textColumn(text, others []string) (string, error) {
	slices.Sort(text)
	slices.Sort(others)
	switch {
	case slices.Contains(text, "text"):
		return "text", nil
	case len(text) == 1:
		return text[0], nil
	case len(text) == 0 && len(others) == 0:
		return "", errors.New("there is no column")
	case len(text) == 0:
		return "", fmt.Errorf("no column is text; the columns are %s", strings.Join(others, ", "))
	}
	return "", fmt.Errorf("none of the columns %s is called text", strings.Join(text, ", "))
}

// damaged is a parquet file that is cut off or damaged.
func damaged(path string, err error) error {
	return bad("it is cut off or damaged: copy or download it again", "%s is no whole parquet file: %w", path, err)
}

// withParquet calls use for a parquet file and its column of text.
func withParquet(path string, use func(p *parquet.File, column int) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return reading(path, err)
	}
	defer f.Close()
	defer func() { // damage that the library does not expect
		if p := recover(); p != nil {
			err = damaged(path, fmt.Errorf("%v", p))
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return reading(path, err)
	}
	p, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return damaged(path, err)
	}
	column, err := columnOf(p)
	if err != nil {
		return bad("rename the column that holds the documents to text", "%s: %w", path, err)
	}
	return use(p, column)
}

// lookAtParquet reads the end of a parquet file, which lists its contents.
func lookAtParquet(path string) error {
	return withParquet(path, func(*parquet.File, int) error { return nil })
}

// eachParquet calls emit for the texts of a parquet file. What emit gets is its
// only until it returns.
func eachParquet(path string, emit func([]byte) error) error {
	return withParquet(path, func(p *parquet.File, column int) error { return eachRow(path, p, column, emit) })
}

// eachRow calls emit for the texts in a column.
func eachRow(path string, p *parquet.File, column int, emit func([]byte) error) error {
	var stop *emitError
	for _, group := range p.RowGroups() {
		err := eachValue(group.ColumnChunks()[column], func(text []byte) error {
			if err := eachPiece(text, emit); err != nil {
				return &emitError{err}
			}
			return nil
		})
		if errors.As(err, &stop) {
			return stop.error
		}
		if err != nil {
			return damaged(path, err)
		}
	}
	return nil
}

// emitError is a failure of the reader of the documents, not of the file.
type emitError struct{ error }

// columnOf finds the column that holds the text.
func columnOf(p *parquet.File) (int, error) {
	var text, others []string
	index := map[string]int{}
	for _, c := range p.Root().Columns() {
		if c.Leaf() && !c.Repeated() && c.Type().Kind() == parquet.ByteArray {
			text = append(text, c.Name())
			index[c.Name()] = c.Index()
		} else {
			others = append(others, c.Name())
		}
	}
	name, err := textColumn(text, others)
	return index[name], err
}

// eachValue reads a column of one row group, page by page.
func eachValue(chunk parquet.ColumnChunk, emit func([]byte) error) error {
	pages := chunk.Pages()
	defer pages.Close()
	var values [256]parquet.Value
	for {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for in := page.Values(); err == nil; {
			var n int
			n, err = in.ReadValues(values[:])
			for _, v := range values[:n] {
				if v.IsNull() {
					continue
				}
				if err := emit(v.ByteArray()); err != nil {
					return err
				}
			}
		}
		parquet.Release(page)
		if err != io.EOF {
			return err
		}
	}
}
