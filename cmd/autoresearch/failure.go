package main

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// exitCode is the exit status of the process. The list is part of the
// interface: scripts rely on it. Document changes in exitCodesHelp.
type exitCode int

const (
	exitOK          exitCode = 0
	exitFailure     exitCode = 1
	exitUsage       exitCode = 2
	exitNotFound    exitCode = 3
	exitConflict    exitCode = 4
	exitUnreachable exitCode = 5
	exitInterrupted exitCode = 130
)

const exitCodesHelp = `Exit status of every command:

    0  done
    1  it failed: the machine, the engine or the campaign is in trouble
    2  bad usage or bad input: nothing was started or changed
    3  not found: no such campaign or experiment
    4  conflict: the tag is taken by a campaign with other settings, another
       process works in the home, or several campaigns are meant
    5  Temporal, or the language model that a new campaign needs, cannot be
       reached
  130  interrupted by Ctrl-C or SIGTERM; 'up' has stopped everything in order

With --json an error is one object on standard error:

  {"error": "...", "hint": "...", "code": 2}

A candidate that fails is a result with verdict "crash", not an error.`

// failure is an error that says what to do about it.
type failure struct {
	err  error
	hint string
	code exitCode
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func newFailure(code exitCode, hint, format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), hint: hint, code: code}
}

// usage is a failure of the command line or of its input.
func usage(hint, format string, args ...any) error {
	return newFailure(exitUsage, hint, format, args...)
}

// notFound says that a campaign or an experiment does not exist.
func notFound(hint, format string, args ...any) error {
	return newFailure(exitNotFound, hint, format, args...)
}

// conflict says that something else stands in the way.
func conflict(hint, format string, args ...any) error {
	return newFailure(exitConflict, hint, format, args...)
}

// failed is a failure of our machinery.
func failed(hint, format string, args ...any) error {
	return newFailure(exitFailure, hint, format, args...)
}

// classify gives any error a hint and an exit code. It is the only place that
// knows the errors of other packages.
func classify(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return &failure{err: err, hint: f.hint, code: f.code}
	}
	f = &failure{err: err, code: exitFailure}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		f.hint = hinted.Hint()
	}
	var unavailable *serviceerror.Unavailable
	var missing *serviceerror.NotFound
	var inUse *workers.InUseError
	var gpuInUse *workers.GPUInUseError
	var neighbour *workers.NamespaceInUseError
	var unusable *dataset.Error
	switch {
	case errors.Is(err, ledger.ErrDamaged):
		f.hint = "restore the file from a copy, or start another campaign with another --tag"
	case errors.Is(err, cluster.ErrNotRunning):
		f.code = exitUnreachable
		if f.hint == "" {
			f.hint = "start it with 'autoresearch up' or 'autoresearch worker'"
		}
	case errors.As(err, &unusable) && unusable.Input:
		f.code = exitUsage
	case errors.As(err, &inUse), errors.As(err, &gpuInUse), errors.As(err, &neighbour):
		f.code = exitConflict
	case errors.As(err, &missing):
		f.code = exitNotFound
	case errors.As(err, &unavailable), errors.Is(err, context.DeadlineExceeded):
		f.code = exitUnreachable
	case errors.Is(err, context.Canceled):
		f.code = exitInterrupted
	}
	return f
}
