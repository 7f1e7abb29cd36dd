package target

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A bundle is what a command target exports: a tar with the model, and the
// program that reads it, below program/. It is written and read by us alone; the
// candidate's processes are gone when it is made.

// writeBundle packs a program's tree and a model.
func writeBundle(name, program, model string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	t := tar.NewWriter(f)
	err = packFile(t, commandModel, model)
	if err == nil {
		err = filepath.WalkDir(program, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(program, path)
			if err != nil {
				return err
			}
			return packFile(t, "program/"+filepath.ToSlash(rel), path)
		})
	}
	return errors.Join(err, t.Close(), f.Close())
}

// packFile adds a file without its times and owner, so that equal contents give
// equal bundles.
func packFile(t *tar.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm() & 0o755), Size: info.Size(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// readBundle unpacks a bundle into dir.
func readBundle(dir, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	t := tar.NewReader(f)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(h.Name) || h.Typeflag != tar.TypeReg || h.Name != commandModel && !strings.HasPrefix(h.Name, "program/") {
			return fmt.Errorf("%s has an entry %q, which is none of ours", filepath.Base(name), h.Name)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(h.Mode)&0o755|0o400)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, t)
		if err := errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}
