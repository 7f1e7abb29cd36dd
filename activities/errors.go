package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/activities/target"
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
	ErrDataset          = "Dataset"          // the data set is not prepared on this host, or cannot be used
	ErrLedger           = "Ledger"           // a result is missing or unreadable
	ErrNothingLeft      = "NothingLeft"      // the proposer has no idea left: the campaign is complete
	ErrInvalidInput     = "InvalidInput"     // an activity was called with input that cannot be right; for TakeIdea: a patch that cannot be tried
	ErrProposer         = "Proposer"         // the proposer refuses until somebody changes something: a wrong key, an unknown model

	ErrDiskFull     = "DiskFull"     // retried: somebody will free some space; refused by Prepare
	ErrGPU          = "GPU"          // retried: the slot's GPU is busy or out of use; another slot takes the work, or this one later
	ErrGitBusy      = "GitBusy"      // retried: another git process holds a lock
	ErrProposerBusy = "ProposerBusy" // retried, when the proposer says: a server that is down or has too much to do
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
	var wait *proposer.WaitError
	var gpu *unfit
	switch {
	case err == nil:
		return nil
	case errors.As(err, &app), isControl(err):
		return err // decided already, or the SDK's own
	case errors.As(err, &r):
		return fatal(r.kind, err)
	case errors.As(err, &gpu), errors.Is(err, target.ErrGPU):
		return waiting(ErrGPU, err, elsewhere)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return passing(ErrDiskFull, err)
	case errors.Is(err, proposer.ErrRefused):
		return fatal(ErrProposer, err)
	case errors.As(err, &wait):
		return waiting(ErrProposerBusy, err, wait.After)
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

// elsewhere is when another slot may take what a GPU could not do. The slot of
// that GPU does not ask for it.
const elsewhere = time.Second

// longestWait bounds what a server may ask for: it may be mistaken.
const longestWait = time.Hour

// waiting is passing with a time to wait; without one the policy's holds.
func waiting(kind string, err error, after time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(redact(err.Error()), kind, temporal.ApplicationErrorOptions{NextRetryDelay: min(max(0, after), longestWait)})
}

// secretName matches the environment variables whose values must not get into
// a history, where everyone can read them: an HTTP library, say, may quote a
// request that failed.
var secretName = regexp.MustCompile(`(?i)(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$`)

// minSecret is the length from which a value counts as one: taking a short one
// out would make nonsense of every text.
const minSecret = 8

// secrets returns the secrets of this process by the names of their variables.
func secrets() map[string]string {
	all := map[string]string{}
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); len(value) >= minSecret && secretName.MatchString(name) {
			all[name] = value
		}
	}
	return all
}

// redact takes the secrets of this process out of a text, also as they stand in
// an address.
func redact(text string) string {
	for name, value := range secrets() {
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			text = strings.ReplaceAll(text, form, "[$"+name+"]")
		}
	}
	return text
}

// secretIn names the variable whose value stands in a text, but not in any of
// the files that the text is about: such a word is no secret.
func secretIn(text string, files map[string][]byte) string {
	for name, value := range secrets() {
		known := false
		for _, src := range files {
			known = known || bytes.Contains(src, []byte(value))
		}
		if !known && strings.Contains(text, value) {
			return name
		}
	}
	return ""
}
