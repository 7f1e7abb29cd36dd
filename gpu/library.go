package gpu

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Library is one of NVIDIA's libraries on this machine.
type Library struct {
	Name    string `json:"name"`              // "libnvrtc"
	What    string `json:"what"`              // what it is for
	Path    string `json:"path,omitempty"`    // of the file; empty where there is none
	Version string `json:"version,omitempty"` // "12.9"
	Problem string `json:"problem,omitempty"` // why it cannot be used, and what to do
}

// The directories that NVIDIA's toolkits and Python packages install into, in the
// order of preference. A user's own come first.
var libraryPlaces = []string{
	"$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib",
	"$CONDA_PREFIX/lib",
	"$CUDA_HOME/lib64",
	"$HOME/.local/lib/python3*/site-packages/nvidia/*/lib",
	"/usr/local/lib/python3*/*-packages/nvidia/*/lib",
	"/usr/lib/python3*/*-packages/nvidia/*/lib",
	"/usr/local/cuda/lib64",
	"/usr/local/cuda-*/lib64",
	"/usr/local/cuda*/targets/*/lib",
	"/opt/cuda/lib64",
	"$HOME/.cache/autoresearch/cuda-tools/nvidia/*/lib", // of make cuda-tools
}

// candidates are what to try, in order, to load a library by any of its names:
// the directories that the user names, the system's loader, the usual places.
func candidates(names ...string) []string {
	var list []string
	add := func(dir string) {
		for _, name := range names {
			if p := filepath.Join(dir, name); fileExists(p) && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv(LibrariesVariable)) {
		if dir != "" {
			add(dir)
		}
	}
	list = append(list, names...)
	for _, place := range libraryPlaces {
		if unset(place) {
			continue
		}
		dirs, _ := filepath.Glob(os.ExpandEnv(place)) // the pattern is well formed
		slices.Sort(dirs)
		slices.Reverse(dirs) // the newest first
		for _, dir := range dirs {
			add(dir)
		}
	}
	return list
}

// unset says that a place begins with a variable that is not set.
func unset(place string) bool {
	name, ok := strings.CutPrefix(strings.SplitN(place, "/", 2)[0], "$")
	return ok && os.Getenv(name) == ""
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// versions are the file names of a library of CUDA 12 and 13, the better ones
// for a driver first: a library of a newer CUDA than the driver's does not work,
// an older one does. driver is as in cuDriverGetVersion, 0 where it is unknown.
func versions(name string, driver int) []string {
	switch {
	case driver >= 13000:
		return []string{name + ".so.13", name + ".so.12"}
	case driver > 0:
		return []string{name + ".so.12"}
	}
	return []string{name + ".so.12", name + ".so.13"}
}

// LibraryDirs are the directories of libraries: what a sandbox has to let
// through, and what a process that cannot look for them gets in the environment
// variable [LibrariesVariable].
func LibraryDirs(libraries []Library) []string {
	var dirs []string
	for _, l := range libraries {
		if l.Path == "" {
			continue
		}
		for _, p := range []string{l.Path, resolved(l.Path)} {
			if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

func resolved(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return path
}
