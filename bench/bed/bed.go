// Package bed is what a benchmark stands on: a real engine, and a checkout of
// the target noop, in a directory of its own that is removed in the end.
package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// Bed is an engine, and a home and a checkout for its campaigns.
type Bed struct {
	*cluster.Cluster
	dir string
}

// Make starts an engine.
func Make(ctx context.Context) (*Bed, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	b := &Bed{dir: dir}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

func (b *Bed) start(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Join(b.checkout(), "noop"), 0o755); err != nil {
		return err
	}
	if err := b.git("init", "-q"); err != nil {
		return err
	}
	b.Cluster, err = cluster.Connect(ctx, cluster.Options{Home: string(b.Home()), Start: true, Progress: func(line string, final bool) {
		fmt.Fprint(os.Stderr, "\r", line, map[bool]string{true: "\n"}[final])
	}})
	return err
}

// Close stops the engine, which would outlive us, and removes everything.
func (b *Bed) Close(ctx context.Context) {
	_ = b.StopEngine(context.WithoutCancel(ctx))
	b.Cluster.Close()
	_ = os.RemoveAll(b.dir)
}

// Home of the engine and of all campaigns.
func (b *Bed) Home() experiment.Home { return experiment.Home(filepath.Join(b.dir, "home")) }

func (b *Bed) checkout() string { return filepath.Join(b.dir, "checkout") }

// Workers commits this noop/train.go, from which a campaign begins, and starts
// workers with n slots.
func (b *Bed) Workers(source string, n int) (*workers.Workers, error) {
	for name, text := range map[string]string{"noop/train.go": source, "program.md": "# Program\n\nTry things.\n"} {
		if err := os.WriteFile(filepath.Join(b.checkout(), name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	err := errors.Join(
		b.git("add", "."),
		b.git("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "--allow-empty", "-m", "base"))
	if err != nil {
		return nil, err
	}
	return workers.Start(b.Client, workers.Config{
		Home: b.Home(), Checkout: b.checkout(), Namespace: b.Namespace, Slots: n, Cores: 1,
	}, workers.Research, workers.Train)
}

func (b *Bed) git(args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Dir = b.checkout()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}
