package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// There are two build caches. The evaluator's is written by builds of trusted
// sources alone: what a build finds in its cache it links without another look,
// so a compiler that was led astray by a candidate could put its own code into
// the program that scores it. Candidates have another, below it, which begins as
// a copy, so that the standard library is compiled once.

// candidatesCache is where it lies. The go command looks at directories with
// names of two hexadecimal digits only.
const candidatesCache = "candidates"

// copiedCache is the largest cache that is copied: one that holds more has been
// in use by others, and compiling anew is cheaper.
const copiedCache = 512 << 20

// cacheOf makes the cache for builds of a role.
func (g *GoGPT) cacheOf(role Role) (string, error) {
	cache, err := filepath.Abs(g.goCache)
	if err == nil {
		err = os.MkdirAll(cache, 0o755)
	}
	if err == nil && role.ofCandidate() {
		own := filepath.Join(cache, candidatesCache)
		if _, statErr := os.Stat(own); statErr != nil {
			err = copyCache(own, cache)
		}
		cache = own
	}
	if err != nil {
		return "", fmt.Errorf("making the Go build cache %s: %w", g.goCache, err)
	}
	return cache, nil
}

// copyCache makes the cache to of what is in from. It appears at once; where
// another is faster, its copy serves.
func copyCache(to, from string) error {
	tmp, err := os.MkdirTemp(from, "."+candidatesCache+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for _, dir := range entryDirs(from) {
		if err := os.CopyFS(filepath.Join(tmp, filepath.Base(dir)), os.DirFS(dir)); err != nil {
			break // somebody cleans it: what is there will do
		}
	}
	if err := os.Rename(tmp, to); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// entryDirs lists the directories of a cache's entries, if they are few enough
// to be copied.
func entryDirs(cache string) []string {
	dirs, _ := filepath.Glob(filepath.Join(cache, "[0-9a-f][0-9a-f]"))
	var size int64
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
		}
		if size > copiedCache {
			return nil
		}
	}
	return dirs
}
