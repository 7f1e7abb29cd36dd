package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// build compiles the candidate and keeps the compiler's output.
func (a *application) build(ctx context.Context, source string) (program string, err error) {
	program, failure, err := build(ctx, a.Home, a.Store, a.t, source, target.Candidate)
	log, readErr := os.ReadFile(buildLog(a.Home, source, target.Candidate))
	if readErr == nil {
		err = errors.Join(err, a.keepLog(ctx, "build.log", log))
	}
	if err != nil {
		return "", err
	}
	return program, a.judge("building the candidate", failure, log)
}

// smoke trains a few steps and has the evaluator check the export.
func (a *application) smoke(ctx context.Context, program string) (graph string, err error) {
	evaluator, err := a.evaluator(ctx, a.t, a.in.Campaign.Evaluator)
	if err != nil {
		return "", err
	}
	data, err := fetchData(ctx, a.Home, a.Store, a.in.Campaign.Data)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(a.Home.Cache(), "smoke", fmt.Sprintf("%s-%04d-%d-%d", a.in.Campaign.Tag(), a.in.Number, a.in.Revision, a.in.Round))
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return "", fmt.Errorf("making the directory of the smoke run: %w", err)
	}
	defer os.RemoveAll(dir)
	var log bytes.Buffer
	graph, failure, err := a.t.Smoke(ctx, target.SmokeSpec{
		Program: program, Evaluator: evaluator, Dir: dir, Train: filepath.Join(data, "train"), Cores: max(1, a.Cores),
		ForGPU: a.in.Campaign.Settings.OnGPU(), Log: &log,
	})
	if err = errors.Join(err, a.keepLog(ctx, "smoke.log", log.Bytes())); err != nil {
		return "", fmt.Errorf("running a few steps of the candidate: %w", err)
	}
	return graph, a.judge("running a few steps of the candidate", failure, log.Bytes())
}

func (a *application) keepLog(ctx context.Context, name string, log []byte) error {
	return a.Store.Put(ctx, experiment.Key(a.in.Campaign.Tag(), a.in.Number, name), strings.NewReader(guard.Plain(string(log))))
}

// judge turns a failure into the end of the candidate, with the end of the log
// for whoever repairs it; but a full disk is our trouble, not its fault.
func (a *application) judge(attempt string, failure *experiment.Failure, log []byte) error {
	if failure == nil {
		return nil
	}
	if noSpace(failure.Message) || noSpace(string(log)) {
		return errDiskFull(attempt)
	}
	full := *failure
	if tail := strings.Join(lastLines(log), "\n"); tail != "" && !strings.Contains(full.Message, tail) {
		full.Message += "\n" + tail
	}
	return breaks(&full)
}

// noSpace looks for the words of a program whose disk was full.
func noSpace(text string) bool {
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}

// tailLines is how much of a log is shown to people and proposers.
const tailLines = 40

// lastLines returns the end of a log, in lines of bounded length. A candidate
// may have written it, and it goes to terminals, tables and prompts.
func lastLines(log []byte) []string {
	text := strings.TrimRight(guard.Plain(string(log)), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	for i, l := range lines {
		lines[i] = cut(l, 500)
	}
	return lines
}

// firstLines is the form of a complaint that travels through histories.
func firstLines(message string) string {
	lines := strings.SplitN(message, "\n", 3)
	return cut(strings.Join(lines[:min(2, len(lines))], "\n"), 400)
}

// cut shortens text to about n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
