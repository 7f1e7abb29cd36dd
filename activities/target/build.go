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
var packageOf = map[Role]string{
	Candidate: "./trainer", Evaluator: "./trainer/evaluate",
	CandidateCUDA: "./trainer", EvaluatorCUDA: "./trainer/evaluate",
}

// ofCandidate says whether a program is made of what a proposer has written.
func (r Role) ofCandidate() bool { return r == Candidate || r == CandidateCUDA }

// forGPU says whether a program is for GPUs.
func (r Role) forGPU() bool { return r == CandidateCUDA || r == EvaluatorCUDA }

// On is the role of a program that runs on a GPU, or on the CPU.
func (r Role) On(gpu bool) Role {
	switch {
	case gpu && r == Candidate:
		return CandidateCUDA
	case gpu && r == Evaluator:
		return EvaluatorCUDA
	}
	return r
}

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
	if err := writeModule(src, ""); err != nil {
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
	spec := sandbox.Spec{
		Path: installed.command, Args: []string{"build", "-C", src, "-trimpath", "-buildvcs=false", "-o", filepath.Join(outDir, string(role))},
		Dir: outDir, Env: goEnvironment(cache), ReadOnly: slices.Concat(installed.files, []string{src}), Writable: []string{cache},
	}
	if !role.forGPU() {
		spec.Args = append(spec.Args, "-mod=readonly") // whatever a build for GPUs has laid there
	} else if err := forGPU(ctx, &spec, src); err != nil {
		return nil, fmt.Errorf("preparing %s for the build of the %s: %w", src, role, err)
	}
	var output strings.Builder
	spec.Args, spec.Log = append(spec.Args, pkg), io.MultiWriter(&output, log)
	o, err := g.run(ctx, g.limits.build, spec)
	if err != nil {
		return nil, fmt.Errorf("building the %s: %w", role, err)
	}
	return buildResult(role, o, cleanBuildLog(output.String(), src, outDir))
}

// forGPU adds to a build what programs for GPUs need: the driver's names (our
// header, no toolkit), the modules of others, a C compiler. The flags name no
// directory, so that the same sources give the same program, from the same cache.
func forGPU(ctx context.Context, s *sandbox.Spec, src string) error {
	headers := filepath.Join(src, "gpu", "include")
	digest, err := headersDigest(headers)
	if err != nil {
		return fmt.Errorf("%w: the commit that the campaign started from has no trainer for GPUs; start a campaign from a later one", err)
	}
	cc, err := compiler()
	if err != nil {
		return err
	}
	if err := writeModule(src, requirements()); err != nil {
		return err
	}
	if err := layVendor(ctx, src); err != nil {
		return err
	}
	// netgo: one of the modules imports net, whose resolver would need more of C.
	// What is left of names and times in a program: the linker's and the go
	// command's own identification of it, and what debuggers read.
	s.Args = append(s.Args, "-mod=vendor", "-tags=cuda,netgo", "-ldflags=-w -buildid= -B none")
	s.Env = slices.DeleteFunc(s.Env, func(e string) bool { return e == noCgo })
	s.Env = append(s.Env, "CGO_ENABLED=1", "CC="+cc, "CPATH="+headers, "CGO_CFLAGS=-O2 -DHEADERS=0x"+digest,
		"CGO_CPPFLAGS=", "CGO_LDFLAGS=", "LC_ALL=C")
	s.ReadOnly = append(s.ReadOnly, compilerFiles(cc)...)
	return nil
}

// writeModule replaces go.mod: trainers on a CPU need the standard library only,
// and without requirements no go.sum and no module cache is needed either.
func writeModule(src, requirements string) error {
	path := filepath.Join(src, "go.mod")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	version := goDirective.FindString(string(old))
	if version == "" {
		return fmt.Errorf("%s has no go directive", path)
	}
	text := "module " + modulePath + "\n\n" + version + "\n" + requirements
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
	case role.ofCandidate() && errors.Is(o.Stopped, errTooLong):
		return &experiment.Failure{Reason: experiment.BuildFailed, Message: "the compiler did not end within " + o.Wall.Round(1e9).String()}, nil
	case role.ofCandidate() && o.Signal == 0 && blames(role).MatchString(message):
		return &experiment.Failure{Reason: experiment.BuildFailed, Message: message}, nil
	}
	return nil, fmt.Errorf("building the %s: go build ended with exit code %d:\n%s", role, o.ExitCode, message)
}

// blames recognizes complaints about the candidate's own files. With a C compiler
// and a linker in a build, others may be about what this machine lacks.
func blames(role Role) *regexp.Regexp {
	if role.forGPU() {
		return blamesTrainer
	}
	return blamesSource
}

var blamesTrainer = regexp.MustCompile(`(?m)^trainer/\w+\.go:\d+:`)

var blamesSource = regexp.MustCompile(`(?m)^# |^(\S+/)?\w+\.go:\d+:`)

// cleanBuildLog drops what is not the candidate's business and keeps the first lines.
func cleanBuildLog(output, src, outDir string) []string {
	output = strings.NewReplacer(src+"/", "", outDir+"/", "", "./trainer/", "trainer/").Replace(output)
	lines := strings.Split(strings.TrimSpace(guard.Plain(output)), "\n")
	return lines[:min(len(lines), maxBuildLines)]
}
