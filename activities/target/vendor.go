package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// A program for GPUs needs three modules of others. A build has neither network
// nor the user's module cache, so they are found outside the sandbox and laid
// beside the sources, as vendor/. What is laid there is what go.sum of this
// repository says, to the byte: the evaluator is built from it.

// vendored is a module whose root package a program for GPUs needs.
type vendored struct {
	module.Version
	sum     string // as in go.sum
	version string // of the language, if its go.mod says
}

// vendoredModules are pinned here, too: the sources of a campaign come without
// go.sum. A test holds them to it.
var vendoredModules = []vendored{
	{module.Version{Path: "github.com/google/uuid", Version: "v1.6.0"}, "h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=", ""},
	{module.Version{Path: "github.com/pkg/errors", Version: "v0.9.1"}, "h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=", ""},
	{module.Version{Path: "gorgonia.org/cu", Version: "v0.9.6"}, "h1:m9gAnB9rWDVQACVwavCfQSVNtgLKtrDXRExybwQu9YY=", "1.13"},
}

// replacedFiles are not taken from a module. cgoflags.go names directories of
// CUDA toolkits, and -lcuda: with them a program would be another where a toolkit
// is installed, and would not start where no driver is.
var replacedFiles = map[string]string{"gorgonia.org/cu/cgoflags.go": "package cu\n"}

// downloadTime bounds the search for modules on a slow connection.
const downloadTime = 5 * time.Minute

// requirements is what go.mod says of them.
func requirements() string {
	var b strings.Builder
	b.WriteString("\nrequire (\n")
	for _, m := range vendoredModules {
		fmt.Fprintf(&b, "\t%s %s\n", m.Path, m.Version.Version)
	}
	b.WriteString(")\n")
	return b.String()
}

// layVendor makes src/vendor, and headers of ours where the modules look.
func layVendor(ctx context.Context, src string) error {
	dirs, err := moduleDirs(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(src, "vendor")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	var list strings.Builder
	for _, m := range vendoredModules {
		if err := copyPackage(dir, m.Path, dirs[m.Version]); err != nil {
			return fmt.Errorf("laying %s beside the sources: %w", m.Path, err)
		}
		fmt.Fprintf(&list, "# %s %s\n## explicit", m.Path, m.Version.Version)
		if m.version != "" {
			fmt.Fprintf(&list, "; go %s", m.version)
		}
		fmt.Fprintf(&list, "\n%s\n", m.Path)
	}
	return os.WriteFile(filepath.Join(dir, "modules.txt"), []byte(list.String()), 0o644)
}

// copyPackage copies the package of a module's root, with its licence.
func copyPackage(dir, path, from string) error {
	to := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() || !needed(name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		if other, ok := replacedFiles[path+"/"+name]; ok {
			text = []byte(other)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func needed(name string) bool {
	switch filepath.Ext(name) {
	case ".go":
		return !strings.HasSuffix(name, "_test.go")
	case ".c", ".h":
		return true
	}
	return strings.HasPrefix(name, "LICENSE")
}

// found are the directories of modules that were found to be what they should.
var found sync.Map

// moduleDirs finds the modules: in the user's module cache, or by fetching them.
func moduleDirs(ctx context.Context) (map[module.Version]string, error) {
	dirs := map[module.Version]string{}
	var missing []string
	for _, m := range vendoredModules {
		dir, ok := found.Load(m.Version)
		if !ok {
			dir = m.cached(ctx)
		}
		if dir == "" {
			missing = append(missing, m.String())
			continue
		}
		found.Store(m.Version, dir)
		dirs[m.Version] = dir.(string)
	}
	if len(missing) == 0 {
		return dirs, nil
	}
	if err := download(ctx, missing, dirs); err != nil {
		return nil, fmt.Errorf("finding the modules that programs for GPUs are built with: %w; on a machine with a network, run: go mod download %s", err, strings.Join(missing, " "))
	}
	return dirs, nil
}

// cached is the module's directory in the module cache; "" if it is not there
// as it should be.
func (m vendored) cached(ctx context.Context) string {
	cache, err := userGo(ctx, "env", "GOMODCACHE").Output()
	if err != nil {
		return ""
	}
	name, err := module.EscapePath(m.Path)
	dir := filepath.Join(strings.TrimSpace(string(cache)), filepath.FromSlash(name)+"@"+m.Version.Version)
	if err != nil || m.check(dir) != nil {
		return ""
	}
	return dir
}

// check compares a module's directory with what go.sum says.
func (m vendored) check(dir string) error {
	sum, err := dirhash.HashDir(dir, m.String(), dirhash.Hash1)
	if err == nil && sum != m.sum {
		err = fmt.Errorf("%s in %s is not the one that is pinned: its hash is %s, not %s", m.Path, dir, sum, m.sum)
	}
	return err
}

// download has the go command fetch modules, as the user has set it up.
func download(ctx context.Context, names []string, dirs map[module.Version]string) error {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	out, runErr := userGo(ctx, append([]string{"mod", "download", "-json"}, names...)...).Output()
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Dir, Error string }
		if err := decoder.Decode(&m); err != nil {
			break
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		for _, want := range vendoredModules {
			if want.Path != m.Path || want.Version.Version != m.Version {
				continue
			}
			if err := want.check(m.Dir); err != nil {
				return fmt.Errorf("%w; go clean -modcache removes what is damaged", err)
			}
			found.Store(want.Version, m.Dir)
			dirs[want.Version] = m.Dir
		}
	}
	if len(dirs) < len(vendoredModules) {
		return fmt.Errorf("go mod download gave %d of %d: %w", len(dirs), len(vendoredModules), errors.Join(runErr, ctx.Err()))
	}
	return nil
}

// userGo is the go command with the user's own settings, outside of any module.
// The checksum database is not asked: the sums are here.
func userGo(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GO111MODULE=on", "GOWORK=off", "GOTOOLCHAIN=local", "GOSUMDB=off")
	return cmd
}

// headersDigest is part of the compiler's flags: the go command does not look at
// headers outside of a package's own directory, and would take what it has
// compiled with others for what it is to compile.
func headersDigest(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		_, _ = io.WriteString(sum, fmt.Sprintf("%s %d\n", e.Name(), len(text)))
		_, _ = sum.Write(text)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}
