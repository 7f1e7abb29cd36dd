package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// packageOf says which package a role is built from.
var packageOf = map[Role]string{Candidate: "./trainer", Evaluator: "./trainer/evaluate"}

// maxBuildLines is how much of a compiler's complaints goes back to a proposer.
const maxBuildLines = 40

// Build implements Target. The same sources give the same binary wherever they
// lie, and an edited train.go costs one compilation and one link.
func (g *GoGPT) Build(ctx context.Context, role Role, src, outDir string, log io.Writer) (*experiment.Failure, error) {
	pkg, ok := packageOf[role]
	if !ok {
		return nil, fmt.Errorf("target %s has no program %q", g.Name(), role)
	}
	if err := absolute(&src, &outDir); err != nil {
		return nil, err
	}
	if err := writeModule(src); err != nil {
		return nil, fmt.Errorf("preparing %s for the build: %w", src, err)
	}
	installed, err := toolchain()
	if err != nil {
		return nil, err
	}
	cache, err := g.cacheOf(role)
	if err != nil {
		return nil, err
	}
	var output strings.Builder
	o, err := g.run(ctx, g.limits.build, sandbox.Spec{
		Path: installed.command, Args: []string{"build", "-C", src, "-trimpath", "-buildvcs=false", "-o", filepath.Join(outDir, string(role)), pkg},
		Dir: outDir, Env: goEnvironment(cache), Log: io.MultiWriter(&output, log), ReadOnly: slices.Concat(installed.files, []string{src}), Writable: []string{cache},
	})
	if err != nil {
		return nil, fmt.Errorf("building the %s: %w", role, err)
	}
	return buildResult(role, o, cleanBuildLog(output.String(), src, outDir))
}

// writeModule replaces go.mod: trainers need the standard library only, and
// without requirements no go.sum and no module cache is needed either.
func writeModule(src string) error {
	path := filepath.Join(src, "go.mod")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	version := goDirective.FindString(string(old))
	if version == "" {
		return fmt.Errorf("%s has no go directive", path)
	}
	text := "module " + modulePath + "\n\n" + version + "\n"
	if text == string(old) {
		return nil
	}
	if err := os.Chmod(path, 0o644); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

var goDirective = regexp.MustCompile(`(?m)^go [0-9.]+$`)

// buildResult tells the candidate's errors from ours. The compiler and the
// linker name a package ("# package") or a place in a file; the go command's
// own trouble has neither.
func buildResult(role Role, o sandbox.Outcome, lines []string) (*experiment.Failure, error) {
	if o.ExitCode == 0 {
		return nil, nil
	}
	message := strings.Join(lines, "\n")
	full := diskFull(append(lines, o.Tail...))
	switch {
	case o.Stopped != nil && !errors.Is(o.Stopped, errTooLong):
		return nil, fmt.Errorf("building the %s: %w", role, o.Stopped)
	case full != nil:
		return nil, fmt.Errorf("building the %s: %w", role, full)
	case role == Candidate && errors.Is(o.Stopped, errTooLong):
		return &experiment.Failure{Reason: experiment.BuildFailed, Message: "the compiler did not end within " + o.Wall.Round(1e9).String()}, nil
	case role == Candidate && o.Signal == 0 && blamesSource.MatchString(message):
		return &experiment.Failure{Reason: experiment.BuildFailed, Message: message}, nil
	}
	return nil, fmt.Errorf("building the %s: go build ended with exit code %d:\n%s", role, o.ExitCode, message)
}

var blamesSource = regexp.MustCompile(`(?m)^# |^(\S+/)?\w+\.go:\d+:`)

// cleanBuildLog drops what is not the candidate's business and keeps the first lines.
func cleanBuildLog(output, src, outDir string) []string {
	output = strings.NewReplacer(src+"/", "", outDir+"/", "", "./trainer/", "trainer/").Replace(output)
	lines := strings.Split(strings.TrimSpace(guard.Plain(output)), "\n")
	return lines[:min(len(lines), maxBuildLines)]
}
