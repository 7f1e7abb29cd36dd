package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Command is the target "command": any program with a loss, described by a
// [Manifest] at the top of its repository. It runs in the sandbox like every
// candidate, and what it says of its own loss is believed after blind cuts: see
// package scorer.
//
// # What its commands get
//
//	{program}     directory of the built program, read-only when it trains and is scored
//	{data}        directory of the training split, with train.bin
//	{run}         the run's directory, which it may write to
//	{model}       file: written by train, read by score
//	{seed} {budget} {cores} {memory}   a number, a duration such as 60s, numbers (bytes)
//	{resume}      file to go on from; empty at the start
//	{charged}     duration that was charged before it
//
// A program may write metrics.jsonl and checkpoints/step-N.ckpt into {run}, as
// ours does. The CPU time of its whole process tree counts, its start included.
type Command struct {
	host *GoGPT // its limits, sandbox and build environment
	root string // where the manifest is looked for, here or further up

	once     sync.Once
	manifest Manifest
	err      error
}

var _ Target = (*Command)(nil)

// NewCommand returns the target of the program in o.Checkout.
func NewCommand(o Options) *Command { return &Command{host: NewGoGPT(o), root: o.Checkout} }

// Manifest returns the manifest of the checkout. A worker that only trains has
// no checkout and needs none: it takes each candidate's own.
func (c *Command) Manifest() (Manifest, error) {
	c.once.Do(func() {
		dir, err := filepath.Abs(c.root)
		for up := dir; err == nil; up = filepath.Dir(up) {
			if _, none := os.Stat(filepath.Join(up, ManifestFile)); none == nil {
				c.root = up
				c.manifest, c.err = readManifest(up)
				return
			}
			if up == filepath.Dir(up) {
				break
			}
		}
		if _, c.err = readManifest(dir); err != nil {
			c.err = err
		}
	})
	return c.manifest, c.err
}

// From returns the target with a manifest of its own instead of the checkout's:
// the one that a campaign began with.
func (c *Command) From(manifest []byte) (*Command, error) {
	m, err := parseManifest(manifest)
	if err != nil {
		return nil, fmt.Errorf("target command: %w", err)
	}
	own := &Command{host: c.host, root: c.root, manifest: m}
	own.once.Do(func() {})
	return own, nil
}

// Name implements Target.
func (*Command) Name() string { return "command" }

// Editable implements Target; nothing where there is no manifest.
func (c *Command) Editable() []string {
	m, _ := c.Manifest()
	return m.Edit
}

// Sources implements Target.
func (c *Command) Sources() []string {
	m, err := c.Manifest()
	if err != nil {
		return []string{ManifestFile}
	}
	return m.sources()
}

// PriorStdDev implements Target.
func (c *Command) PriorStdDev(experiment.Duration) float64 {
	m, _ := c.Manifest()
	return m.PriorSD
}

// Guard implements Target, by the manifest's rules. What they protect has to
// stay as it is in the checkout.
func (c *Command) Guard(name string, src []byte) *experiment.Failure {
	m, err := c.Manifest()
	if err != nil {
		return invalidEdit("%v", err)
	}
	if !slices.Contains(m.Edit, name) {
		return invalidEdit("%s may not be edited: only %s may", name, strings.Join(m.Edit, ", "))
	}
	base, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(name)))
	if err != nil {
		base = nil
	}
	return m.Guard.Check(name, base, src)
}

// Format implements Target: Go has a normal form, of other text the ends of lines.
func (*Command) Format(name string, src []byte) ([]byte, *experiment.Failure) {
	if path.Ext(name) == ".go" {
		out, err := format.Source(src)
		if err != nil {
			return nil, syntaxError(fmt.Errorf("%s:%w", name, err))
		}
		return out, nil
	}
	text := strings.ReplaceAll(string(src), "\r\n", "\n")
	return []byte(strings.TrimRight(text, "\n") + "\n"), nil
}

// Syntax implements Target. Of files that are not in Go, empty lines, white space
// at the ends of lines and lines that are comments do not count.
func (*Command) Syntax(files map[string][]byte) (string, int, error) {
	names := slices.Sorted(maps.Keys(files))
	if !slices.ContainsFunc(names, func(n string) bool { return path.Ext(n) != ".go" }) {
		return goSyntax(files)
	}
	h, tokens := sha256.New(), 0
	for _, name := range names {
		fmt.Fprintf(h, "%q\n", name)
		for line := range strings.Lines(string(files[name])) {
			line = strings.TrimRightFunc(line, unicode.IsSpace)
			if word := strings.TrimSpace(line); word == "" || strings.HasPrefix(word, "#") && path.Ext(name) == ".py" {
				continue
			}
			fmt.Fprintln(h, line)
			tokens += len(strings.Fields(line))
		}
	}
	return hex.EncodeToString(h.Sum(nil)), tokens, nil
}

// programDir is the tree of a built program, beside the file that stands for it.
func programDir(program string) string { return filepath.Join(filepath.Dir(program), "program") }

// Build implements Target. The candidate is a tree, its sources and what the
// build command made of them, without the data; the file named after the role is
// its manifest. The evaluator is the manifest with the data beside it: what
// scores a candidate is ours.
func (c *Command) Build(ctx context.Context, role Role, src, outDir string, log io.Writer) (*experiment.Failure, error) {
	if role.forGPU() {
		return nil, fmt.Errorf("target %s has no programs for GPUs: its campaigns train on the CPU; leave the setting device out", c.Name())
	}
	if err := absolute(&src, &outDir); err != nil {
		return nil, err
	}
	m, err := readManifest(src)
	if err != nil {
		return nil, fmt.Errorf("building the %s: %w", role, err)
	}
	text, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(filepath.Join(outDir, string(role)), text, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("building the %s: %w", role, err)
	}
	if role == Evaluator {
		return nil, wrap("building the evaluator", copyFiles(dataDir(outDir), src, m.Data.files()))
	}
	dir := programDir(filepath.Join(outDir, string(role)))
	if err := copyTree(dir, src, m.Data.files()); err != nil {
		return nil, fmt.Errorf("building the %s: %w", role, err)
	}
	return c.compile(ctx, m, dir, log)
}

// compile runs the build command, which may write to the program's tree.
func (c *Command) compile(ctx context.Context, m Manifest, dir string, log io.Writer) (*experiment.Failure, error) {
	if len(m.Build) == 0 {
		return nil, nil
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "scratch-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	spec, err := m.spec(m.Build, dir, scratch, nil)
	if err != nil {
		return nil, err
	}
	cache, err := c.host.cacheOf(Candidate)
	if err != nil {
		return nil, err
	}
	spec.Env = goEnvironment(cache)
	if m.Build[0] == "go" { // the command itself, not a script that finds it
		installed, err := toolchain()
		if err != nil {
			return nil, err
		}
		spec.Path, spec.ReadOnly = installed.command, append(spec.ReadOnly, installed.files...)
	}
	spec.Writable, spec.Log = []string{dir, cache}, log
	o, err := c.host.run(ctx, c.host.limits.build, spec)
	switch {
	case err != nil:
		return nil, fmt.Errorf("building the candidate: %w", err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("building the candidate: %w", context.Cause(ctx))
	case o.ExitCode != 0 || o.Stopped != nil:
		if full := diskFull(o.Tail); full != nil {
			return nil, fmt.Errorf("building the candidate: %w", full)
		}
		return &experiment.Failure{Reason: experiment.BuildFailed, Message: strings.ReplaceAll(strings.Join(o.Tail, "\n"), dir+"/", "")}, nil
	}
	return nil, nil
}

// spec is a process of the program: a command of the manifest with its words
// filled in. A program that is named without a slash is looked for on the PATH.
func (m Manifest) spec(command []string, program, dir string, words map[string]string) (sandbox.Spec, error) {
	pairs := []string{"{program}", program}
	for word, value := range words {
		pairs = append(pairs, "{"+word+"}", value)
	}
	fill := strings.NewReplacer(pairs...)
	args := make([]string, len(command))
	for i, word := range command {
		args[i] = fill.Replace(word)
	}
	if !strings.Contains(args[0], "/") {
		found, err := lookPath(args[0])
		if err != nil {
			return sandbox.Spec{}, err
		}
		args[0] = found
	}
	return sandbox.Spec{
		Path: args[0], Args: args[1:], Dir: dir, ReadOnly: slices.Concat([]string{program}, m.Needs, systemPaths()),
		Disk: runDisk, Processes: runProcesses,
	}, nil
}

// words are those that both commands get.
func words(cores int, memory int64, model string) map[string]string {
	return map[string]string{"cores": strconv.Itoa(cores), "memory": strconv.FormatInt(memory, 10), "model": model}
}

// copyFiles copies regular files by name.
func copyFiles(to, from string, names []string) error {
	for _, name := range names {
		target := filepath.Join(to, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), copyFile(target, filepath.Join(from, filepath.FromSlash(name)))); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a tree but for some files.
func copyTree(to, from string, without []string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil || slices.Contains(without, filepath.ToSlash(rel)) {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case !d.Type().IsRegular():
			return nil // links lead to where a candidate has no business
		}
		if err := copyFile(target, name); err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(target, info.Mode().Perm()|0o600)
	})
}
