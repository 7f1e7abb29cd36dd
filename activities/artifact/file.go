package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// File is a [Store] in a directory: the key is the path. It is our own and not
// a blob library's because PutOnce has to be exclusive between processes and
// survive a power cut, which those leave open.
//
// A value is written to a temporary file in the same directory, flushed, and
// moved into place; then the directory is flushed. Names that start with a dot
// are the store's own; what a killed process leaves is harmless and unlisted.
type File struct{ root string }

var _ Store = (*File)(nil)

// NewFile returns the store in a directory, which is made when first written to.
func NewFile(root string) *File { return &File{root} }

// path turns a key into a file name.
func (s *File) path(key string) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// Put implements [Store].
func (s *File) Put(ctx context.Context, key string, r io.Reader) error {
	name, err := s.path(key)
	if err != nil {
		return err
	}
	tmp, err := s.temp(ctx, name, r)
	if err != nil {
		return writeError(key, name, err)
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, name); err != nil {
		return writeError(key, name, err)
	}
	if err := syncDir(filepath.Dir(name)); err != nil {
		return writeError(key, name, err)
	}
	return nil
}

// PutOnce implements [Store].
func (s *File) PutOnce(ctx context.Context, key string, data []byte) ([]byte, error) {
	name, err := s.path(key)
	if err != nil {
		return nil, err
	}
	tmp, err := s.temp(ctx, name, bytes.NewReader(data))
	if err != nil {
		return nil, writeError(key, name, err)
	}
	defer os.Remove(tmp)
	switch err := place(tmp, name); {
	case err == nil:
		return data, s.settle(key, name)
	case !errors.Is(err, fs.ErrExist):
		return nil, writeError(key, name, err)
	}
	stored, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading artifact %s in %s: %w", key, name, err)
	}
	// The first writer may have died before its directory was flushed, and our
	// caller is about to rely on what it wrote.
	return stored, s.settle(key, name)
}

func (s *File) settle(key, name string) error {
	if err := syncDir(filepath.Dir(name)); err != nil {
		return writeError(key, name, err)
	}
	return nil
}

// place moves tmp to name unless something is there already.
func place(tmp, name string) error {
	err := os.Link(tmp, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EMLINK) {
		return err
	}
	return placeLocked(tmp, name)
}

// placeLocked is place for file systems without hard links (exFAT, some
// network and FUSE mounts): a lock makes "look, then rename" exclusive. Unlike
// creating the file exclusively and then writing it, a kill leaves no half value.
func placeLocked(tmp, name string) error {
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(name), ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("this file system has neither hard links nor locks: %w", err)
	}
	if _, err := os.Lstat(name); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, name)
}

// temp writes r to a flushed temporary file beside name.
func (s *File) temp(ctx context.Context, name string, r io.Reader) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := mkdirSync(filepath.Dir(name)); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-")
	if err != nil {
		return "", err
	}
	err = fill(ctx, f, r)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func fill(ctx context.Context, f *os.File, r io.Reader) error {
	if err := f.Chmod(0o644); err != nil { // people read these files
		return err
	}
	if _, err := io.Copy(f, contextReader{ctx, r}); err != nil {
		return err
	}
	return f.Sync()
}

// Open implements [Store].
func (s *File) Open(_ context.Context, key string) (io.ReadCloser, error) {
	name, err := s.path(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, notFound(key)
	}
	if err != nil {
		return nil, fmt.Errorf("opening artifact %s: %w", key, err)
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		f.Close()
		return nil, notFound(key)
	}
	return f, nil
}

// List implements [Store].
func (s *File) List(ctx context.Context, prefix string) ([]string, error) {
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		if err := CheckKey(prefix[:i]); err != nil {
			return nil, err
		}
		start = prefix[:i]
	}
	var keys []string
	err := fs.WalkDir(os.DirFS(s.root), start, func(key string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil // never written, or a temporary file that has just gone
		case err != nil:
			return err
		case key != "." && strings.HasPrefix(path.Base(key), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular() && strings.HasPrefix(key, prefix):
			keys = append(keys, key)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing artifacts %s* in %s: %w", prefix, s.root, err)
	}
	sort.Strings(keys)
	return keys, nil
}
