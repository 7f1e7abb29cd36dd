package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// buildFlags are the one set of flags with which the engine is built, and
// buildEnv its environment. Any other set compiles 1,800 packages again, so
// tests of the engine's module use the same: CGO_ENABLED=0 go test
// -ldflags='-s -w' ./...
//
// SQLite is a pure Go translation, so cgo buys nothing and would need a C
// compiler. The version control stamp is of no use and fails in odd checkouts.
var (
	buildFlags = []string{"-buildvcs=false", "-ldflags=-s -w"}
	buildEnv   = []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS="}
)

// keepBuilds is how long a binary that nothing starts stays in the cache.
const keepBuilds = 30 * 24 * time.Hour

// BuildEngine returns the path of the engine's binary, building it if the
// user's cache does not have it yet. The name of its directory holds a hash of
// the engine's sources and Go's version, so a second call only looks. Of the
// options it uses Progress, and Home for a cache if the user has none.
//
// Two builds at once do not happen: the second waits for the first. The binary
// appears complete or not at all.
func BuildEngine(ctx context.Context, o Options) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	cache, env, err := cacheDir(o.Home)
	if err != nil {
		return "", err
	}
	src, err := findSources(ctx, env)
	if err != nil {
		return "", err
	}
	hash, err := hashSources(src)
	if err != nil {
		return "", err
	}
	goVersion, err := goVersion(ctx, src, env)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("engine-%s-%s", hash, goVersion))
	bin := filepath.Join(dir, "engine")
	if built(bin) {
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", homeError("make the cache directory of the Temporal engine", err)
	}
	m := startMeter(o.Progress)
	defer m.giveUp() // no effect once done
	release, err := lockFile(ctx, filepath.Join(cache, "build.lock"), m.waiting)
	if err != nil {
		return "", homeError("take the build lock of the Temporal engine", err)
	}
	defer release()
	if built(bin) {
		m.done()
		return bin, nil
	}
	if err := build(ctx, src, dir, env, m); err != nil {
		return "", err
	}
	pruneBuilds(cache, dir)
	return bin, nil
}

// built tells whether the binary is there, and notes that it is in use.
func built(bin string) bool {
	st, err := os.Stat(bin)
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(bin, now, now) // a cache that is read-only by now is fine
	return true
}

// cacheDir is the user's cache, or one in the home where the user has none (no
// HOME, as in some containers and services); then Go needs caches too.
func cacheDir(home string) (dir string, env []string, err error) {
	env = append(os.Environ(), buildEnv...)
	if user, err := os.UserCacheDir(); err == nil {
		return filepath.Join(user, "autoresearch"), env, nil
	}
	if home == "" {
		return "", nil, &Error{Attempt: "find a cache directory for the Temporal engine", Err: errors.New("neither XDG_CACHE_HOME nor HOME is set"), Advice: "set HOME"}
	}
	cache := filepath.Join(home, "cache")
	if os.Getenv("GOCACHE") == "" {
		env = append(env, "GOCACHE="+filepath.Join(cache, "go-build"))
	}
	if os.Getenv("GOPATH") == "" {
		env = append(env, "GOPATH="+filepath.Join(cache, "go"))
	}
	return filepath.Join(cache, "autoresearch"), env, nil
}

// goVersion asks the go command which version builds the engine: its go.mod
// may switch toolchains.
func goVersion(ctx context.Context, src string, env []string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir, cmd.Env = src, env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", &Error{Attempt: "build the Temporal engine", Err: err, Advice: "install Go (https://go.dev/dl) and put it on PATH, or name a cluster with TEMPORAL_ADDRESS"}
	}
	if err != nil {
		text := strings.TrimSpace(errs.String())
		return "", &Error{Attempt: "ask the go command for its version in " + src, Err: fmt.Errorf("%w: %s", err, text), Advice: adviceFor(text)}
	}
	return strings.TrimSpace(string(out)), nil
}

// build compiles the engine under a temporary name and renames it.
func build(ctx context.Context, src, dir string, env []string, m *meter) error {
	tmp := filepath.Join(dir, "engine.tmp") // one at a time: the caller holds the lock
	defer os.Remove(tmp)
	// How many packages Go's build cache lacks: all 1,800 at first, one after a
	// change of the engine's own sources. This also downloads the modules,
	// which the meter shows.
	list := append([]string{"list", "-deps", "-f", "{{if .Stale}}stale{{end}}"}, buildFlags...)
	stale, err := goTool(ctx, src, env, m, append(list, ".")...)
	if err != nil {
		return err
	}
	m.packages.Store(0)
	m.total.Store(int64(strings.Count(stale, "stale")))
	args := append([]string{"build", "-v", "-o", tmp}, buildFlags...)
	if _, err := goTool(ctx, src, env, m, append(args, ".")...); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, "engine")); err != nil {
		return homeError("put the Temporal engine into the cache", err)
	}
	m.done()
	return nil
}

// goTool runs the go command, feeds its messages to the meter and returns its
// standard output.
func goTool(ctx context.Context, src string, env []string, m *meter, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = src, env
	cmd.SysProcAttr = buildAttr()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	messages, w := io.Pipe()
	cmd.Stderr = w
	tail := make(chan string, 1)
	go func() { tail <- m.read(messages) }()

	// Linux sends the parent-death signal when the thread ends that started the
	// child, so keep it.
	runtime.LockOSThread()
	err := cmd.Run()
	runtime.UnlockOSThread()
	w.Close()
	text := <-tail
	if ctx.Err() != nil {
		return "", fmt.Errorf("build the Temporal engine: %w", ctx.Err())
	}
	if err != nil {
		if text == "" {
			text = "no output"
		}
		return "", &Error{Attempt: "build the Temporal engine (go " + args[0] + " in " + src + ")", Err: fmt.Errorf("%w:\n%s", err, text), Advice: adviceFor(err.Error() + text)}
	}
	return out.String(), nil
}

// read counts the packages and modules that the go command names, and returns
// the last of its other lines: the reason, if it fails.
func (m *meter) read(r io.Reader) string {
	var other []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "go: downloading "):
			m.modules.Add(1)
		case !strings.ContainsAny(line, " :#") && line != "":
			m.packages.Add(1)
		default:
			other = append(other, line)
			other = other[max(0, len(other)-20):]
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line over the buffer must not block the build
	return strings.TrimSpace(strings.Join(other, "\n"))
}

// pruneBuilds removes binaries of other versions that nobody has started for
// long; they are 150 MB each.
func pruneBuilds(cache, keep string) {
	dirs, _ := filepath.Glob(filepath.Join(cache, "engine-*"))
	for _, d := range dirs {
		st, err := os.Stat(filepath.Join(d, "engine"))
		if d != keep && err == nil && time.Since(st.ModTime()) > keepBuilds {
			_ = os.RemoveAll(d) // tried again after the next build
		}
	}
}
