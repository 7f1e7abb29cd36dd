package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mount makes a disk of its own of some KiB, where the test may do so.
func mount(t *testing.T, kib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// A real disk that is too small for a third checkpoint beside two: the run goes
// on with those it has. When the model does not fit, it fails, and goes on from
// there once there is space. (A checkpoint takes 36 KiB, the model 20.)
func TestSmallDisk(t *testing.T) {
	data := textDir(t)
	want := start(t, "plain", t.TempDir(), data, "--steps", "60").wait(ExitOK).file("model.safetensors")
	const space = "no space left on device"

	disk := mount(t, 124)
	r := start(t, "plain", filepath.Join(disk, "run"), data, "--steps", "60").wait(ExitOK)
	if !strings.Contains(r.out.String(), space) || !bytes.Equal(r.file("model.safetensors"), want) {
		t.Errorf("with room for two checkpoints and the model: %s", &r.out)
	}

	disk = mount(t, 96)
	r = start(t, "plain", filepath.Join(disk, "run"), data, "--steps", "60").wait(ExitError)
	if said := r.errOut.String(); !strings.Contains(said, "exporting the model") || !strings.Contains(said, space) {
		t.Errorf("without room for the model: %s", said)
	}
	if len(r.checkpoints()) == 0 {
		t.Error("no checkpoint has survived")
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=300k"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(resumed(t, r.dir, data), want) {
		t.Error("with space again the run gave another model")
	}
}

// A directory that cannot be written is refused before anything is computed.
func TestNoPermission(t *testing.T) {
	data := textDir(t)
	disk := mount(t, 64)
	if err := os.Mkdir(filepath.Join(disk, "made"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(disk, "made"), filepath.Join(disk, "new", "run")} {
		r := start(t, "plain", dir, data, "--steps", "60").wait(ExitError)
		if said := r.errOut.String(); !strings.Contains(said, "making the run directory") || !strings.Contains(said, dir) ||
			!strings.Contains(said, "read-only file system; the trainer needs permission to write there") {
			t.Errorf("it says: %s", said)
		}
	}
}
