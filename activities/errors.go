package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/repo"
)

// The types of the application errors that activities return. A workflow tells
// them apart by name; the message is for people.
//
// The first group is never retried: the same input gives the same answer, and
// somebody has to change something. The second is retried for as long as the
// workflow's policy says: it goes away by itself or when somebody helps, and
// the campaign then goes on.
const (
	ErrInvalidSettings  = "InvalidSettings"  // a setting cannot be used; the message names the field
	ErrSettingsConflict = "SettingsConflict" // the tag belongs to a campaign with other settings
	ErrRepository       = "Repository"       // not a git repository, no commit, uncommitted changes
	ErrMissingFile      = "MissingFile"      // the repository lacks a file that the target needs
	ErrHome             = "Home"             // the home cannot be written
	ErrTarget           = "Target"           // the target as it stands cannot be built
	ErrLedger           = "Ledger"           // a result is missing or unreadable
	ErrNothingLeft      = "NothingLeft"      // the proposer has no idea left: the campaign is complete
	ErrInvalidInput     = "InvalidInput"     // an activity was called with input that cannot be right

	ErrDiskFull = "DiskFull" // retried: somebody will free some space; refused by Prepare
	ErrGitBusy  = "GitBusy"  // retried: another git process holds a lock
)

// refusal is an error that no retry can cure.
type refusal struct {
	kind string // one of the types above
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refuse makes a refusal with a message that says what to do.
func refuse(kind, format string, args ...any) error {
	return &refusal{kind, fmt.Errorf(format, args...)}
}

// errDiskFull is for programs that say so in words.
func errDiskFull(attempt string) error {
	return fmt.Errorf("%s: %w; free some disk space, and the campaign goes on by itself", attempt, syscall.ENOSPC)
}

// edge is the only place that decides whether Temporal retries an error. Every
// activity method returns through it.
func edge(err error) error {
	var r *refusal
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &app), isControl(err):
		return err // decided already, or the SDK's own
	case errors.As(err, &r):
		return fatal(r.kind, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return passing(ErrDiskFull, err)
	case errors.Is(err, repo.ErrNotRepository), errors.Is(err, repo.ErrNoCommit):
		return fatal(ErrRepository, err)
	case errors.Is(err, repo.ErrMissing), errors.Is(err, repo.ErrNotRegular):
		return fatal(ErrMissingFile, err)
	case errors.Is(err, repo.ErrBusy):
		return passing(ErrGitBusy, err)
	case errors.Is(err, ledger.ErrDamaged):
		return fatal(ErrLedger, fmt.Errorf("%w; restore it from a copy, or start another campaign", err))
	}
	return passing("", err) // process trouble, I/O: worth another try
}

// isControl reports errors that carry no news for people: the activity was
// cancelled, or will be completed by somebody else.
func isControl(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, activity.ErrResultPending)
}

// The message alone crosses the edge: a cause would repeat it in every view.
func fatal(kind string, err error) error {
	return temporal.NewApplicationErrorWithOptions(redact(err.Error()), kind, temporal.ApplicationErrorOptions{NonRetryable: true})
}

func passing(kind string, err error) error {
	return temporal.NewApplicationErrorWithOptions(redact(err.Error()), kind, temporal.ApplicationErrorOptions{})
}

// secretName matches the environment variables whose values must not get into
// a history, where everyone can read them: an HTTP library, say, may quote a
// request that failed.
var secretName = regexp.MustCompile(`(?i)(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$`)

// redact takes the secrets of this process out of a message.
func redact(message string) string {
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		if len(value) >= 8 && secretName.MatchString(name) {
			message = strings.ReplaceAll(message, value, "[$"+name+"]")
		}
	}
	return message
}
