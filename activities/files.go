package activities

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
)

// errNotBuilt makes makeDir drop what a failed build left; it goes no further.
var errNotBuilt = errors.New("not built")

// maxArchive bounds what an archive may unpack to: the sources of a target,
// not its data.
const maxArchive = 256 << 20

// digestPattern is what a sha256 looks like: it becomes part of file names.
var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func checkDigest(digest string) error {
	if !digestPattern.MatchString(digest) {
		return fmt.Errorf("%q is no sha256 digest", digest)
	}
	return nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// short is the form of a digest that people read.
func short(digest string) string { return digest[:min(12, len(digest))] }

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// makeDir makes a directory that appears whole or not at all: fill works in a
// neighbour that is renamed at the end. The caller holds a lock on dir.
func makeDir(dir string, fill func(tmp string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".tmp-")
	if err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // a sandbox may run as someone else
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	return nil
}

// unpack writes the files of a tar archive below dir. It takes regular files
// with local names only, whoever made the archive.
func unpack(dir string, archive []byte) error {
	r := tar.NewReader(bytes.NewReader(archive))
	for left := int64(maxArchive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpacking the sources: %w", err)
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) {
			return fmt.Errorf("unpacking the sources: %q is not a regular file with a local name", h.Name)
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("unpacking the sources: more than %d MiB", maxArchive>>20)
		}
		if err := unpackFile(filepath.Join(dir, h.Name), r, h.FileInfo().Mode().Perm()); err != nil {
			return fmt.Errorf("unpacking the sources: %w", err)
		}
	}
}

func unpackFile(path string, r io.Reader, perm os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// readArtifact reads a whole value. Logs and sources are small; models are not
// read this way.
func readArtifact(ctx context.Context, store artifact.Store, key string) ([]byte, error) {
	r, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading artifact %s: %w", key, err)
	}
	return b, nil
}

// readJSON reads a stored value; found is false when there is none.
func readJSON(ctx context.Context, store artifact.Store, key string, v any) (found bool, err error) {
	b, err := readArtifact(ctx, store, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("artifact %s is not readable: %w", key, err)
	}
	return true, nil
}

// putOnceJSON stores v unless the key holds something, and reads into v what
// it holds afterwards.
func putOnceJSON(ctx context.Context, store artifact.Store, key string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding artifact %s: %w", key, err)
	}
	stored, err := store.PutOnce(ctx, key, append(b, '\n'))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(stored, v); err != nil {
		return fmt.Errorf("artifact %s is not readable: %w", key, err)
	}
	return nil
}

// inMillis drops the digits of a time that mean nothing: they would travel
// through every history, several times per run.
func inMillis(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// putText stores a text that people read.
func putText(ctx context.Context, store artifact.Store, key string, text []byte) error {
	return store.Put(ctx, key, bytes.NewReader(text))
}
