package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
)

// secretVariable is in the worker's environment while the probe runs.
const secretVariable = "AUTORESEARCH_PROBE_SECRET"

// ground is what lies around the cheats: what they may want, and traps that tell
// that they got it. None of it is theirs. Its exported fields are what a cheat
// knows: more than any real one would.
type ground struct {
	dir string

	Val, Audit string // files of the splits that no training may see
	Neighbour  string // directory of another run
	Key        string // a private key, below something like a home directory
	Object     string // an object of a git repository
	Cache      string // the Go build cache
	Outside    string // a directory that everybody may write, as far as the file system goes
	TCP, UDP   string // addresses that listen
	Unix       string // so does this socket
	Secret     string // name of a variable in the worker's environment
	Mark       string // name of a file that nobody makes but a cheat
	Worker     int    // its pid

	secret   string
	contacts atomic.Int64 // made with the listeners
	closers  []func() error
}

// newGround lays everything out below dir.
func newGround(ctx context.Context, dir string) (*ground, error) {
	g := &ground{
		dir: dir, secret: "secret-" + rand.Text(), Secret: secretVariable, Worker: os.Getpid(),
		Mark:      "autoresearch-" + rand.Text(),
		Neighbour: filepath.Join(dir, "runs", "neighbour"), Key: filepath.Join(dir, "person", ".ssh", "id_ed25519"),
		Object:  filepath.Join(dir, "repo.git", "objects", "17", "aa"),
		Outside: filepath.Join(dir, "outside"), Unix: filepath.Join(dir, "s"),
	}
	for path, text := range map[string]string{
		g.Key: g.secret, g.Object: g.secret, filepath.Join(g.Neighbour, "model.safetensors"): g.secret,
		filepath.Join(g.Outside, "canary"): g.secret,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(g.Outside, 0o777); err != nil {
		return nil, err
	}
	if err := os.Setenv(secretVariable, g.secret); err != nil {
		return nil, err
	}
	g.closers = append(g.closers, func() error { return os.Unsetenv(secretVariable) })
	return g, g.listen(ctx)
}

// listen sets the traps of the network. A machine without a kind of socket has
// no trap of that kind.
func (g *ground) listen(ctx context.Context) error {
	var lc net.ListenConfig
	tcp, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening as a trap for cheats: %w", err)
	}
	g.TCP = tcp.Addr().String()
	g.accept(tcp)
	udp, err := lc.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening as a trap for cheats: %w", err)
	}
	g.UDP = udp.LocalAddr().String()
	g.closers = append(g.closers, udp.Close)
	go func() {
		b := make([]byte, 64)
		for {
			if _, _, err := udp.ReadFrom(b); err != nil {
				return
			}
			g.contacts.Add(1)
		}
	}()
	if l, err := lc.Listen(ctx, "unix", g.Unix); err == nil {
		g.accept(l)
	}
	if runtime.GOOS == "linux" {
		if l, err := lc.Listen(ctx, "unix", g.abstract()); err == nil {
			g.accept(l)
		}
	}
	return nil
}

// abstract is the name of a socket that is no file.
func (g *ground) abstract() string { return "@" + filepath.Base(g.dir) + "-probe" }

func (g *ground) accept(l net.Listener) {
	g.closers = append(g.closers, l.Close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.contacts.Add(1)
			_, _ = c.Write([]byte(g.secret))
			c.Close()
		}
	}()
}

func (g *ground) close() error {
	var errs []error
	for _, c := range g.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// harm says what is not as it was outside of the cheat's process, and puts it
// right for the next.
func (g *ground) harm() string {
	var found []string
	if n := g.contacts.Swap(0); n > 0 {
		found = append(found, "a listener outside was contacted")
	}
	for _, path := range []string{g.Key, g.Object, filepath.Join(g.Neighbour, "model.safetensors"), filepath.Join(g.Outside, "canary")} {
		if text, err := os.ReadFile(path); err != nil || string(text) != g.secret {
			found = append(found, "a file outside was changed: "+filepath.Base(path))
			_ = os.WriteFile(path, []byte(g.secret), 0o644)
		}
	}
	for _, dir := range []string{g.Outside, g.Neighbour} {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			found = append(found, "a file was left in "+filepath.Base(dir))
			for _, e := range entries {
				if e.Name() != "canary" && e.Name() != "model.safetensors" {
					_ = os.RemoveAll(filepath.Join(dir, e.Name()))
				}
			}
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run"} {
		if os.Remove(filepath.Join(dir, g.Mark)) == nil {
			found = append(found, "a file was left in "+dir)
		}
	}
	if os.Getenv(secretVariable) != g.secret {
		found = append(found, "the worker's environment was changed")
	}
	return strings.Join(found, "; ")
}

// writeText makes a small corpus that nobody knows by heart: sentences of made
// up words. It is a directory of text files for a target to split.
func writeText(dir string, seed uint64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	words := make([]string, 400)
	for i := range words {
		for range 1 + rng.IntN(3) {
			words[i] += string("bcdfghklmnprstvw"[rng.IntN(16)]) + string("aeiou"[rng.IntN(5)])
		}
	}
	for doc := range 60 {
		var b strings.Builder
		for b.Len() < 3000 {
			for n := 4 + rng.IntN(8); n > 0; n-- {
				b.WriteString(words[min(rng.IntN(len(words)), rng.IntN(len(words)))] + " ")
			}
			b.WriteString(".\n")
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.txt", doc)), []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
