package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/target/filelock"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// A pinned data set in the artifact store: its files below _data/<fingerprint>/,
// and last of all a manifest, which says that they are complete.
type dataManifest struct {
	Files []dataFile `json:"files"`
}

type dataFile struct {
	Path   string `json:"path"` // slash path below the data set
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func dataKey(fingerprint, path string) string { return "_data/" + fingerprint + "/" + path }

const manifestFile = "manifest.json"

func checkFingerprint(fingerprint string) error {
	if strings.Contains(fingerprint, "/") || artifact.CheckKey(fingerprint) != nil {
		return fmt.Errorf("%q is no fingerprint of a data set", fingerprint)
	}
	return nil
}

// pinData copies a data set of this host into the artifact store, once.
func pinData(ctx context.Context, home experiment.Home, store artifact.Store, fingerprint string) error {
	if err := checkFingerprint(fingerprint); err != nil {
		return err
	}
	var m dataManifest
	if found, err := readJSON(ctx, store, dataKey(fingerprint, manifestFile), &m); found || err != nil {
		return err
	}
	root := home.Data(fingerprint)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file, err := pinFile(ctx, store, path, dataKey(fingerprint, filepath.ToSlash(rel)))
		file.Path = filepath.ToSlash(rel)
		m.Files = append(m.Files, file)
		return err
	})
	if err != nil {
		return fmt.Errorf("pinning the data set %s: %w", fingerprint, err)
	}
	return putOnceJSON(ctx, store, dataKey(fingerprint, manifestFile), &m)
}

func pinFile(ctx context.Context, store artifact.Store, path, key string) (dataFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return dataFile{}, err
	}
	defer f.Close()
	sum := sha256.New()
	if err := store.Put(ctx, key, io.TeeReader(f, sum)); err != nil {
		return dataFile{}, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	return dataFile{Bytes: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

// fetchData returns the directory of a data set on this host, fetched from the
// artifact store and verified if it is not there.
func fetchData(ctx context.Context, home experiment.Home, store artifact.Store, fingerprint string) (string, error) {
	if err := checkFingerprint(fingerprint); err != nil {
		return "", err
	}
	dir := home.Data(fingerprint)
	if isDir(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("making the data directory: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(filepath.Dir(dir), ".fetch-lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if isDir(dir) {
		return dir, nil
	}
	var m dataManifest
	found, err := readJSON(ctx, store, dataKey(fingerprint, manifestFile), &m)
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", artifact.ErrNotFound, dataKey(fingerprint, manifestFile))
	}
	if err == nil {
		err = makeDir(dir, func(tmp string) error { return fetchFiles(ctx, store, fingerprint, m, tmp) })
	}
	if err != nil {
		return "", fmt.Errorf("fetching the data set %s: %w", fingerprint, err)
	}
	return dir, nil
}

func fetchFiles(ctx context.Context, store artifact.Store, fingerprint string, m dataManifest, dir string) error {
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Path) {
			return fmt.Errorf("the manifest names %q", f.Path)
		}
		if err := fetchFile(ctx, store, dataKey(fingerprint, f.Path), filepath.Join(dir, filepath.FromSlash(f.Path)), f.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func fetchFile(ctx context.Context, store artifact.Store, key, path, want string) error {
	r, err := store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("artifact %s is damaged: its sha256 is %s, not %s; restore it from a copy", key, short(got), short(want))
	}
	return nil
}
