package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// manifest says what the downloads of a data set are. Each file is written down
// when it is whole for the first time, and has to be the same ever after.
type manifest struct {
	Files map[string]fileSum `json:"files"`
}

type fileSum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Proved bool   `json:"proved"` // the server named the same sum; else it is that of the first download
	URL    string `json:"url"`
}

const manifestName = "manifest.json"

func readManifest(dir string) (manifest, error) {
	m := manifest{Files: map[string]fileSum{}}
	path := filepath.Join(dir, manifestName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, reading(path, err)
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Files == nil {
		return m, bad("delete it: the files are then downloaded again", "%s is damaged: %w", path, errors.Join(err))
	}
	return m, nil
}

func (m manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, manifestName), append(text, '\n'))
}

// writeWhole writes a file in one step.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-")
	if err != nil {
		return writing(path, err)
	}
	defer os.Remove(f.Name()) // unless it has its name by then
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return writing(path, err)
}

// sumOf reads a file to its end.
func sumOf(path string) (fileSum, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileSum{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return fileSum{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// differs says how a file is not the one that it has to be; "" if it is.
func (want fileSum) differs(got fileSum) string {
	switch {
	case want.Bytes > 0 && got.Bytes != want.Bytes:
		return fmt.Sprintf("it has %d bytes, not %d", got.Bytes, want.Bytes)
	case want.SHA256 != "" && got.SHA256 != want.SHA256:
		return fmt.Sprintf("its sha256 is %.12s, not %.12s", got.SHA256, want.SHA256)
	}
	return ""
}
