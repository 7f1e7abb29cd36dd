package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// modulePath is this program's module; the engine is its nested module.
const (
	modulePath       = "github.com/autoresearch-go/autoresearch"
	engineModulePath = modulePath + "/engine"
)

// findSources returns the directory of the engine's sources: in a checkout
// around the working directory, this program or its sources; otherwise from
// the module proxy at this program's own version ("go install" leaves nested
// modules out).
func findSources(ctx context.Context, env []string) (string, error) {
	for _, start := range searchStarts() {
		if dir := walkUp(start); dir != "" {
			return dir, nil
		}
	}
	return downloadSources(ctx, env)
}

// searchStarts are the directories from which to walk up.
func searchStarts() []string {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			starts = append(starts, filepath.Dir(real))
		}
	}
	// Where this file was compiled; a relative path when built with -trimpath.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	return starts
}

// walkUp looks for the checkout that dir lies in and returns its engine
// directory, or nothing.
func walkUp(dir string) string {
	for {
		engine := filepath.Join(dir, "engine")
		if isModule(dir, modulePath) && isModule(engine, engineModulePath) {
			return engine
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// isModule tells whether dir has a go.mod of that module.
func isModule(dir, path string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "module" {
			return f[1] == path
		}
	}
	return false
}

// downloadSources fetches the engine's module at the version of this program.
func downloadSources(ctx context.Context, env []string) (string, error) {
	attempt := "find the sources of the Temporal engine"
	version := moduleVersion()
	if version == "" {
		return "", &Error{
			Attempt: attempt, Err: errors.New("no checkout around the working directory or this program, and this program has no released version"),
			Advice: "run it inside a checkout of " + modulePath + ", install a released version with go install, or name a cluster with TEMPORAL_ADDRESS",
		}
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", engineModulePath+"@"+version)
	cmd.Dir, cmd.Env = os.TempDir(), env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var got struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &got); jerr == nil && got.Error != "" {
		err = errors.New(got.Error)
	} else if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	if err != nil {
		advice := adviceFor(err.Error())
		if advice == "" {
			advice = "run it inside a checkout of " + modulePath + ", or name a cluster with TEMPORAL_ADDRESS"
		}
		return "", &Error{Attempt: attempt + " at version " + version, Err: err, Advice: advice}
	}
	return got.Dir, nil
}

// moduleVersion is the released version of this program, or nothing.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == modulePath && strings.HasPrefix(m.Version, "v") && !strings.Contains(m.Version, "+dirty") {
			return m.Version
		}
	}
	return ""
}

// hashSources digests what the engine is built from: its Go files but the
// tests, and the exact versions of everything else.
func hashSources(dir string) (string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return "", fmt.Errorf("read the engine's sources: %w", err)
	}
	h := sha256.New()
	for _, e := range entries {
		name := e.Name()
		isSource := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") || name == "go.mod" || name == "go.sum"
		if !isSource || e.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("read the engine's sources: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}
