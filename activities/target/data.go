package target

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target/filelock"
)

// corpus is what the evaluator says about the data set it has built.
type corpus struct {
	Fingerprint string `json:"fingerprint"`
	TrainBytes  int64  `json:"train_bytes"`
	ValBytes    int64  `json:"val_bytes"`
}

// Data implements Target: the corpus is the Go standard library's source code.
func (g *GoGPT) Data(ctx context.Context, evaluator, dir string, log io.Writer) (string, error) {
	if err := absolute(&evaluator, &dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the data directory: %w", err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for another process that prepares the data: %w", err)
	}
	defer unlock()
	source, version, err := g.goroot(ctx, dir)
	if err != nil {
		return "", err
	}
	// What was built is remembered by what it was built from and with.
	program, err := fileDigest(evaluator)
	if err != nil {
		return "", fmt.Errorf("reading the evaluator: %w", err)
	}
	note := filepath.Join(dir, fmt.Sprintf(".from-%s-by-%s", version, program[:16]))
	if known, err := os.ReadFile(note); err == nil && whole(dir, string(known)) {
		return string(known), nil
	}
	fingerprint, err := g.buildData(ctx, evaluator, source, dir, log)
	if err != nil {
		return "", fmt.Errorf("preparing the data from %s: %w", source, err)
	}
	_ = os.WriteFile(note, []byte(fingerprint), 0o644) // costs time only if it fails
	return fingerprint, nil
}

// goroot asks the go command where its sources are, and for its version.
func (g *GoGPT) goroot(ctx context.Context, dir string) (source, version string, err error) {
	command, err := toolchain()
	if err != nil {
		return "", "", err
	}
	env, err := g.goEnvironment()
	if err != nil {
		return "", "", err
	}
	var out, log strings.Builder
	o, err := g.run(ctx, time.Minute, sandbox.Spec{Path: command, Args: []string{"env", "GOROOT", "GOVERSION"}, Dir: dir, Env: env, Stdout: &out, Log: &log})
	fields := strings.Fields(out.String())
	if err != nil || o.ExitCode != 0 || len(fields) < 2 {
		return "", "", fmt.Errorf("asking the go command for GOROOT: %w", errors.Join(err, o.Stopped, fmt.Errorf("exit code %d: %s", o.ExitCode, log.String())))
	}
	source = filepath.Join(fields[0], "src")
	if _, err := os.Stat(filepath.Join(source, "fmt")); err != nil {
		return "", "", fmt.Errorf("the standard library's sources, which are the training data: %w; install Go from https://go.dev/dl", err)
	}
	return source, fields[1], nil
}

// buildData builds into a temporary directory, since the name is not known before.
func (g *GoGPT) buildData(ctx context.Context, evaluator, source, dir string, log io.Writer) (string, error) {
	tmp, err := os.MkdirTemp(dir, ".tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	var out bytes.Buffer
	o, err := g.run(ctx, g.limits.evaluate, sandbox.Spec{
		Path: evaluator, Args: []string{"data", "--source", source, "--out", filepath.Join(tmp, "corpus")},
		Dir: tmp, Stdout: &out, Log: log,
	})
	if err != nil {
		return "", err
	}
	var c corpus
	if err := evaluatorResult(o, out.Bytes(), &c); err != nil {
		return "", err
	}
	if len(c.Fingerprint) < 16 || !filepath.IsLocal(c.Fingerprint) || strings.ContainsAny(c.Fingerprint, "/.") {
		return "", fmt.Errorf("the evaluator calls the data set %q, which is no fingerprint", c.Fingerprint)
	}
	if whole(dir, c.Fingerprint) {
		return c.Fingerprint, nil
	}
	final := filepath.Join(dir, c.Fingerprint)
	_ = os.RemoveAll(final) // damaged, or absent
	return c.Fingerprint, os.Rename(filepath.Join(tmp, "corpus"), final)
}

// whole reports whether dir/fingerprint holds both splits in full length.
func whole(dir, fingerprint string) bool {
	root := filepath.Join(dir, fingerprint)
	text, err := os.ReadFile(filepath.Join(root, "corpus.json"))
	var c corpus
	if err != nil || fingerprint == "" || json.Unmarshal(text, &c) != nil || c.Fingerprint != fingerprint {
		return false
	}
	for file, size := range map[string]int64{"train/train.bin": c.TrainBytes, "val/val.bin": c.ValBytes} {
		if info, err := os.Stat(filepath.Join(root, file)); err != nil || info.Size() != size {
			return false
		}
	}
	return true
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
