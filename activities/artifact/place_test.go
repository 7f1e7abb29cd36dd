package artifact

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestPlaceLocked drives the way for file systems without hard links.
func TestPlaceLocked(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "result.json")
	var wg sync.WaitGroup
	placed := make(chan string, 8)
	for i := range 8 {
		tmp := filepath.Join(dir, ".tmp-"+string(rune('a'+i)))
		if err := os.WriteFile(tmp, []byte(tmp), 0o644); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			switch err := placeLocked(tmp, name); {
			case err == nil:
				placed <- tmp
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(placed)
	winner := <-placed
	if _, more := <-placed; more {
		t.Error("two writers were told that they came first")
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != winner {
		t.Errorf("the file holds %q, %v; the winner wrote %q", b, err, winner)
	}
}

func TestWriteErrorSaysWhatToDo(t *testing.T) {
	for cause, hint := range map[error]string{
		syscall.ENOSPC: "free some disk space",
		syscall.EDQUOT: "free some disk space",
		syscall.EROFS:  "--home",
		syscall.EACCES: "--home",
		syscall.EISDIR: "move it away",
	} {
		err := writeError("mar5/log", "/home/artifacts/mar5/log", &fs.PathError{Op: "write", Path: "x", Err: cause})
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), "/home/artifacts/mar5/log") {
			t.Errorf("%v: %v", cause, err)
		}
	}
}
