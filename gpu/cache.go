package gpu

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// Compiled kernels are kept in files that are named by all that they depend on.
// Processes share the directory: a file appears whole, by a rename, and begins
// with the digest of the rest, so that a damaged one counts as none.

// cubinKey names a compiled source.
func cubinKey(source string, options []string, compiler string) [32]byte {
	h := sha256.New()
	for _, part := range append([]string{compiler, source}, options...) {
		fmt.Fprintf(h, "%d\n%s\n", len(part), part)
	}
	return [32]byte(h.Sum(nil))
}

func cubinPath(dir string, key [32]byte) string {
	return filepath.Join(dir, fmt.Sprintf("%x.cubin", key))
}

// readCubin is nil where there is no sound file.
func readCubin(dir string, key [32]byte) []byte {
	if dir == "" {
		return nil
	}
	return readDigested(cubinPath(dir, key))
}

// readDigested is a file's content behind its digest, nil if it is not sound.
func readDigested(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil || len(data) < sha256.Size {
		return nil
	}
	sum := sha256.Sum256(data[sha256.Size:])
	if !bytes.Equal(sum[:], data[:sha256.Size]) {
		return nil
	}
	return data[sha256.Size:]
}

// writeCubin keeps a compiled source. What fails is done again by the next
// process: a full disk is no reason not to train.
func writeCubin(dir string, key [32]byte, image []byte) {
	if dir != "" {
		writeDigested(cubinPath(dir, key), image)
	}
}

func writeDigested(path string, data []byte) {
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	sum := sha256.Sum256(data)
	_, err = f.Write(append(sum[:], data...))
	if f.Close() == nil && err == nil && os.Chmod(f.Name(), 0o644) == nil {
		os.Rename(f.Name(), path)
	}
}
