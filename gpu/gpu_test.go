package gpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArch(t *testing.T) {
	for want, info := range map[string]Info{
		"sm_80": {Major: 8}, "sm_89": {Major: 8, Minor: 9}, "sm_90a": {Major: 9}, "sm_100a": {Major: 10},
	} {
		if got := info.Arch(); got != want {
			t.Errorf("%d.%d is %s, want %s", info.Major, info.Minor, got, want)
		}
	}
}

func TestBlame(t *testing.T) {
	tests := map[Fault][]int{
		ByProgram: {1, 400, 500, 700, 701, 710, 714, 715, 716, 717, 718, 719},
		ByMemory:  {2},
		ByMachine: {46, 101, 205, 214, 220, 802, 999, 12345},
		BySetup:   {3, 100, 200, 209, 302, 304, 803},
	}
	for fault, codes := range tests {
		for _, code := range codes {
			if e := blame("launch k", code); e.Fault != fault || e.Code != code {
				t.Errorf("code %d blames %s, want %s", code, e.Fault, fault)
			}
		}
	}
	if got := blame("launch k", 700).Error(); !strings.HasPrefix(got, "gpu: launch k: CUDA_ERROR_ILLEGAL_ADDRESS (700): ") {
		t.Errorf("got %q", got)
	}
}

func TestOccupied(t *testing.T) {
	if e := occupied(blame("open the GPU", 2)); e.Fault != ByMachine || !strings.Contains(e.Error(), "other processes") {
		t.Errorf("%s: %v", e.Fault, e)
	}
	if e := occupied(blame("open the GPU", 304)); e.Fault != BySetup {
		t.Errorf("%s: %v", e.Fault, e)
	}
}

func TestFaultOf(t *testing.T) {
	wrapped := fmt.Errorf("step 7: %w", blame("launch k", 214))
	if fault, ok := FaultOf(wrapped); fault != ByMachine || !ok {
		t.Errorf("got %s, %t", fault, ok)
	}
	for _, other := range []any{nil, "text", errors.New("else"), 7} {
		if fault, ok := FaultOf(other); ok {
			t.Errorf("%v blames %s", other, fault)
		}
	}
}

func TestCandidates(t *testing.T) {
	home, mine := t.TempDir(), t.TempDir()
	clear := []string{"VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME"}
	for _, name := range clear {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	t.Setenv(LibrariesVariable, "/nowhere::"+mine)
	touch := func(path ...string) string {
		p := filepath.Join(path...)
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, nil, 0o644)
		return p
	}
	named := touch(mine, "libx.so.12")
	older := touch(home, ".local/lib/python3.11/site-packages/nvidia/x/lib/libx.so.12")
	newer := touch(home, ".local/lib/python3.12/site-packages/nvidia/x/lib/libx.so.13")
	want := []string{named, "libx.so.13", "libx.so.12", newer, older}
	if got := candidates(versions("libx", 13000)...); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// A driver of CUDA 12 cannot use what is made for 13.
	if got := candidates(versions("libx", 12040)...); !slices.Equal(got, []string{named, "libx.so.12", older}) {
		t.Errorf("got %q", got)
	}
}

func TestLibraryDirs(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real", "libx.so.12.9")
	os.Mkdir(filepath.Dir(real), 0o755)
	os.WriteFile(real, nil, 0o644)
	os.Mkdir(filepath.Join(dir, "link"), 0o755)
	link := filepath.Join(dir, "link", "libx.so.12")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	got := LibraryDirs([]Library{{Name: "missing"}, {Path: link}, {Path: link}})
	if want := []string{filepath.Dir(link), filepath.Dir(resolved(real))}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCubinCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cubin")
	key := cubinKey("source", []string{"-a", "b"}, "NVRTC 12.9")
	for _, other := range [][32]byte{
		cubinKey("sourc", []string{"e", "-a", "b"}, "NVRTC 12.9"),
		cubinKey("source", []string{"-a", "c"}, "NVRTC 12.9"),
		cubinKey("source", []string{"-a", "b"}, "NVRTC 13.0"),
	} {
		if other == key {
			t.Error("two different compilations have one key")
		}
	}
	if readCubin(dir, key) != nil {
		t.Error("a cache that is not there has something")
	}
	writeCubin(dir, key, []byte("image"))
	if got := readCubin(dir, key); string(got) != "image" {
		t.Errorf("got %q", got)
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"a flipped bit": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut off":       func(b []byte) []byte { return b[:len(b)-1] },
		"empty":         func(b []byte) []byte { return nil },
	} {
		b, err := os.ReadFile(cubinPath(dir, key))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(cubinPath(dir, key), damage(b), 0o644)
		if got := readCubin(dir, key); got != nil {
			t.Errorf("%s: got %q", name, got)
		}
		writeCubin(dir, key, []byte("image"))
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left, one was written", len(files))
	}
	writeCubin("", key, []byte("image"))
	if readCubin("", key) != nil {
		t.Error("no directory keeps nothing")
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o644)
	writeCubin(filepath.Join(file, "sub"), key, nil) // cannot be made, which is no error
}
