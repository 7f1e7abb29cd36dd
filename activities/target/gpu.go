package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/gpu"
)

// What a process on a GPU may touch, beside what one on the CPU may:
//
//	devices     those of its GPU and the driver's own; nothing that configures
//	            GPUs, resets them, or divides them anew
//	libraries   the directories of NVIDIA's, to read
//	cache       of compiled kernels: an evaluator's own to change; a candidate gets
//	            a copy in its run directory, and what it adds goes with that
//
// The driver keeps the memory of processes apart, as it does for users, and hands
// memory out cleared. docs/sandbox.md says what is left.

// emulatedGPUs names the file that says what GPUs are emulated, in tests; it is
// set and empty where there is an emulation without one.
const emulatedGPUs = "AUTORESEARCH_EMULATED_GPUS"

// gpuCache is the name of a run's own cache. Hidden files are no strays.
const gpuCache = ".kernels"

// give lets a process use the GPU, and returns the arguments that say so.
func (u *GPU) give(s *sandbox.Spec, trusted bool) (args []string, err error) {
	if u == nil {
		return nil, nil
	}
	s.Devices = append(s.Devices, gpuDevices("/", u.UUID)...)
	s.Env = append(s.Env, "CUDA_VISIBLE_DEVICES="+u.UUID)
	libraries := u.Libraries
	if libraries == nil {
		libraries = installedLibraries()
	}
	// Inside, nobody can look for them: there is nothing but what is named.
	libraries = slices.Concat(filepath.SplitList(os.Getenv(gpu.LibrariesVariable)), libraries)
	s.Env = append(s.Env, gpu.LibrariesVariable+"="+strings.Join(libraries, ":"))
	if path := os.Getenv(loaderPath); path != "" {
		s.Env = append(s.Env, loaderPath+"="+path)
		libraries = append(libraries, filepath.SplitList(path)...)
	}
	for _, dir := range libraries {
		if _, err := os.Stat(dir); err == nil && filepath.IsAbs(dir) && !slices.Contains(s.ReadOnly, dir) {
			s.ReadOnly = append(s.ReadOnly, dir)
		}
	}
	emulate(s)
	args = []string{"--device", "cuda:" + u.UUID}
	if u.Cache == "" {
		return args, nil
	}
	cache, err := u.cache(s, trusted || u.Trusted)
	return append(args, "--cache", cache), err
}

// installedLibraries looks for NVIDIA's libraries once for each place that the user
// names: to find them is to load them.
func installedLibraries() []string {
	place := os.Getenv(gpu.LibrariesVariable)
	look, _ := libraryDirs.LoadOrStore(place, sync.OnceValue(func() []string { return gpu.LibraryDirs(gpu.Libraries()) }))
	return look.(func() []string)()
}

var libraryDirs sync.Map

// loaderPath is where the system's loader looks first.
const loaderPath = "LD_LIBRARY_PATH"

// emulate lets an emulation of GPUs work, where a test has one: it is told what to
// emulate, notes beside that what went wrong, and compiles kernels with the
// system's compiler.
func emulate(s *sandbox.Spec) {
	script, there := os.LookupEnv(emulatedGPUs)
	if !there {
		return
	}
	for _, name := range []string{emulatedGPUs, "AUTORESEARCH_EMULATED_ORDER"} {
		s.Env = append(s.Env, name+"="+os.Getenv(name))
	}
	s.ReadOnly = append(s.ReadOnly, systemPaths()...)
	if script != "" {
		s.Writable = append(s.Writable, filepath.Dir(script))
	}
}

// cache is the directory of compiled kernels that a process gets.
func (u *GPU) cache(s *sandbox.Spec, trusted bool) (string, error) {
	shared, err := filepath.Abs(u.Cache)
	if err == nil {
		err = os.MkdirAll(shared, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("making the cache of kernels: %w", err)
	}
	if trusted {
		s.Writable = append(s.Writable, shared)
		return shared, nil
	}
	own := filepath.Join(s.Dir, gpuCache)
	if err := errors.Join(os.RemoveAll(own), os.MkdirAll(own, 0o755), copyWhole(own, shared)); err != nil {
		return "", fmt.Errorf("copying the cache of kernels: %w", err)
	}
	return own, nil
}

// copyWhole copies what is whole; half-written files are hidden. One that goes
// away meanwhile is compiled again.
func copyWhole(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		err := copyFile(filepath.Join(to, e.Name()), filepath.Join(from, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// gpuDevices lists the device files that a process on a GPU needs, those that are
// there: the driver's own, the GPU's, and of a MIG device the right to use it. All
// GPUs' are listed where it cannot be told which is which: CUDA_VISIBLE_DEVICES
// still leaves the library the one.
func gpuDevices(root, uuid string) []string {
	paths := []string{"dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia-uvm-tools"}
	minor, known := minorOf(root, uuid)
	gpus, _ := filepath.Glob(filepath.Join(root, "dev/nvidia[0-9]*"))
	for _, path := range gpus {
		if !known || filepath.Base(path) == "nvidia"+minor {
			paths = append(paths, "dev/"+filepath.Base(path))
		}
	}
	if strings.HasPrefix(uuid, "MIG-") {
		for _, minor := range migCapabilities(root) {
			paths = append(paths, "dev/nvidia-caps/nvidia-cap"+minor)
		}
	}
	var there []string
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(root, path)); err == nil {
			there = append(there, filepath.Join(root, path))
		}
	}
	return there
}

// minorOf finds the number of a GPU's device file, as the driver tells it.
func minorOf(root, uuid string) (minor string, known bool) {
	files, _ := filepath.Glob(filepath.Join(root, "proc/driver/nvidia/gpus/*/information"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if field(text, "GPU UUID") == uuid {
			minor := field(text, "Device Minor")
			return minor, minor != ""
		}
	}
	return "", false
}

// migCapabilities lists the numbers of the files that give the right to use MIG
// devices. Those that let a process make and watch them (mig/config, mig/monitor)
// are not among them.
func migCapabilities(root string) (minors []string) {
	_ = filepath.WalkDir(filepath.Join(root, "proc/driver/nvidia/capabilities"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "access" || !strings.Contains(path, "/mig/gi") {
			return nil
		}
		if text, err := os.ReadFile(path); err == nil {
			if minor := field(text, "DeviceFileMinor"); minor != "" {
				minors = append(minors, minor)
			}
		}
		return nil
	})
	return minors
}

// field is the value of a line "name: value" of one of the driver's files.
func field(text []byte, name string) string {
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
