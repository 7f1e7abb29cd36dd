package target

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// installation is a Go installation.
type installation struct {
	command string   // the go command itself, not a script that finds it
	files   []string // all that a build reads of it
	root    string
	version string
}

// installations are those that were asked, by the command that answered.
var installations sync.Map

// toolchain finds the Go of this machine.
func toolchain() (installation, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return installation{}, fmt.Errorf("finding the go command, which builds every candidate: %w; install Go from https://go.dev/dl and put it on the PATH of the worker", err)
	}
	if known, ok := installations.Load(path); ok {
		return known.(installation), nil
	}
	// The user's own Go, asked outside any sandbox where it is: what is on the
	// PATH may be a script of a version manager.
	ask := exec.Command(path, "env", "GOROOT", "GOVERSION")
	ask.Dir = os.TempDir()
	ask.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOFLAGS=", "GO111MODULE=on", "GOWORK=off")
	var complaint bytes.Buffer
	ask.Stderr = &complaint
	answer, err := ask.Output()
	fields := strings.Fields(string(answer))
	if err != nil || len(fields) < 2 {
		return installation{}, fmt.Errorf("asking %s for GOROOT: %w: %s", path, err, complaint.String())
	}
	i := installation{command: filepath.Join(fields[0], "bin", "go"), root: fields[0], version: fields[1]}
	if _, err := os.Stat(i.command); err != nil {
		return installation{}, fmt.Errorf("finding the go command of %s: %w", i.root, err)
	}
	i.files = linked(i.root)
	installations.Store(path, i)
	return i, nil
}

// sources is where the standard library's source lies, and of what version it is.
func (i installation) sources() (dir, version string, err error) {
	dir = filepath.Join(i.root, "src")
	if _, err := os.Stat(filepath.Join(dir, "fmt")); err != nil {
		return "", "", fmt.Errorf("the standard library's sources, which are the training data: %w; install Go from https://go.dev/dl", err)
	}
	return dir, i.version, nil
}

// linked is a directory and what the symbolic links in it lead to: some
// distributions keep the parts of an installation in several places.
func linked(dir string) []string {
	files := []string{dir}
	real, err := filepath.EvalSymlinks(dir)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		target, linkErr := filepath.EvalSymlinks(filepath.Join(dir, e.Name()))
		if err == nil && linkErr == nil && target != filepath.Join(real, e.Name()) {
			files = append(files, target)
		}
	}
	return files
}
