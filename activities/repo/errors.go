package repo

import (
	"errors"
	"fmt"
)

// What can be wrong, for callers that act on it. Each comes wrapped with what
// was attempted and what to do.
var (
	ErrNotRepository = errors.New("not a git repository")
	ErrNoCommit      = errors.New("no commit yet")
	ErrMissing       = errors.New("not in the commit")
	ErrNotRegular    = errors.New("not a regular file")
	ErrMoved         = errors.New("ref has moved")            // compare-and-swap lost
	ErrBusy          = errors.New("repository is locked")     // another git process; try again
	ErrInvalidPath   = errors.New("not a path of repository") // absolute, "..", ".git", control characters
)

// gitError is a git command that failed.
type gitError struct {
	args   []string // what was run, without options
	code   int      // exit status; -1 if it did not start
	out    []byte   // what it wrote to its standard output
	stderr string   // what git said
	err    error
}

func (e *gitError) Error() string {
	return fmt.Sprintf("git %s: %s", e.args[0], e.stderr)
}

func (e *gitError) Unwrap() error { return e.err }
