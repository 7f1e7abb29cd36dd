package emulated

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLibraries(t *testing.T) {
	dir := Libraries(t)
	for _, l := range libraries {
		if _, err := os.Stat(filepath.Join(dir, l.file)); err != nil {
			t.Error(err)
		}
	}
}
