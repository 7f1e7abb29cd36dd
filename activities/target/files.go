package target

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// OpenRegular opens a file that a candidate's process may have put there. It is
// a regular file or an error: a symbolic link would have us read what the
// candidate may not, and a pipe would have us wait for ever.
func OpenRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is no regular file, but %v", info.Mode())}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadRegular reads at most limit bytes of such a file.
func ReadRegular(path string, limit int64) ([]byte, error) {
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// readSmallJSON reads a file that the candidate's process has written; it says
// whether there was one that could be read.
func readSmallJSON(path string, v any) bool {
	const most = 1 << 20
	text, err := ReadRegular(path, most+1)
	return err == nil && len(text) <= most && json.Unmarshal(text, v) == nil
}

// clearResults removes what an earlier process of the run may have left, so that
// what is there afterwards is this one's.
func clearResults(dir string) error {
	for _, name := range []string{modelFile, doneFile, failureFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("clearing the run directory: %w", err)
		}
	}
	return nil
}

// strays looks at what a run that went well has left: the trainer's own files,
// which only Go code of ours writes, as regular files under one name. A hidden
// entry may be of the sandbox's or of a driver's.
func strays(dir string) *experiment.Failure {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // gone; what is needed of it is missed elsewhere
	}
	for _, e := range entries {
		name := e.Name()
		switch name {
		case metricsFile, modelFile, doneFile:
			info, err := e.Info()
			if err == nil && !info.Mode().IsRegular() {
				return tampered("the run left %s as no regular file, but %v", name, info.Mode())
			}
			if err == nil && names(info) > 1 {
				return tampered("the run left %s as a second name of another file", name)
			}
		case checkpointsDir:
			if !e.IsDir() {
				return tampered("the run left %s as no directory", name)
			}
		default:
			if !strings.HasPrefix(name, ".") {
				return tampered("the run left %.80q, which no trainer writes", name)
			}
		}
	}
	return nil
}

// names is how many hard links a file has.
func names(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}
