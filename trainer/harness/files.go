package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// temporary begins the names of files that are being written.
const temporary = ".tmp-"

// system holds the calls in which a full disk or a kill can hit a write; tests
// replace them.
var system = struct {
	write  func(*os.File, []byte) (int, error)
	sync   func(*os.File) error
	rename func(from, to string) error
	remove func(path string) error
}{(*os.File).Write, (*os.File).Sync, os.Rename, os.Remove}

// bufferSize is how much is collected for one call; what is larger goes past
// the buffer.
const bufferSize = 64 << 10

// writeFile makes path appear with what write writes, whole or not at all, also
// when the machine loses power: a temporary file is synced and then renamed.
// The directory must exist: one that is gone was removed by somebody, and must
// not come back with one file in it.
func writeFile(path string, write func(io.Writer) error) error {
	if err := replaceFile(path, write); err != nil {
		return fmt.Errorf("writing %s: %w%s", path, cause(err), advice(err))
	}
	return nil
}

// cause takes an error of the operating system out of its frame, which names
// the temporary file.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return fmt.Errorf("%s: %w", link.Op, link.Err)
	}
	return err
}

func replaceFile(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temporary+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(writer{f}, bufferSize)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o644), system.sync(f))
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = system.rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // not system.remove: what is half written is in nobody's way
		return err
	}
	return syncDir(dir)
}

type writer struct{ f *os.File }

func (w writer) Write(b []byte) (int, error) { return system.write(w.f, b) }

// removeTemporary removes what a killed process left half written in dir.
func removeTemporary(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, temporary+"*"))
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(system.sync(d), d.Close())
}

func writeJSON(path string, v any) error {
	return writeFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}
