package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/repo"
)

// TestEdge is the table of what is retried.
func TestEdge(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("attempting this on that: %w", err) }
	for _, c := range []struct {
		err       error
		kind      string
		retryable bool
	}{
		{refuse(ErrInvalidSettings, "budget is -1"), ErrInvalidSettings, false},
		{refuse(ErrSettingsConflict, "other settings"), ErrSettingsConflict, false},
		{refuse(ErrDiskFull, "%w", syscall.ENOSPC), ErrDiskFull, false}, // Prepare has decided
		{repo.ErrNotRepository, ErrRepository, false},
		{repo.ErrNoCommit, ErrRepository, false},
		{repo.ErrMissing, ErrMissingFile, false},
		{repo.ErrNotRegular, ErrMissingFile, false},
		{ledger.ErrDamaged, ErrLedger, false},
		{syscall.ENOSPC, ErrDiskFull, true},
		{syscall.EDQUOT, ErrDiskFull, true},
		{repo.ErrBusy, ErrGitBusy, true},
		{proposer.ErrRefused, ErrProposer, false},
		{&proposer.WaitError{Err: errors.New("down")}, ErrProposerBusy, true},
		{&proposer.WaitError{Err: proposer.ErrRefused}, ErrProposer, false},
		{errors.New("fork: resource temporarily unavailable"), "", true},
		{context.DeadlineExceeded, "", true},
	} {
		err := edge(wrap(c.err))
		wantRefusal(t, err, c.kind, c.retryable, "attempting this on that")
		if again := edge(err); again != err {
			t.Errorf("%v is decided twice: %v", err, again)
		}
	}
	if edge(nil) != nil {
		t.Error("edge(nil) is an error")
	}
	var app *temporal.ApplicationError
	for _, err := range []error{wrap(context.Canceled), activity.ErrResultPending} {
		if got := edge(err); got != err || errors.As(got, &app) {
			t.Errorf("edge(%v) = %v", err, got)
		}
	}
}

// A busy server says when to come back, within reason.
func TestWaiting(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{0: 0, -time.Second: 0, 90 * time.Second: 90 * time.Second, 30 * time.Hour: time.Hour} {
		err := edge(fmt.Errorf("asking: %w", &proposer.WaitError{After: after, Err: errors.New("429")}))
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NextRetryDelay() != want {
			t.Errorf("after %v: %v; want a delay of %v", after, app.NextRetryDelay(), want)
		}
	}
	err := edge(fmt.Errorf("asking: %w", &proposer.WaitError{After: time.Second, Err: context.Canceled}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait is %v", err)
	}
}

func TestSecretsStayOutOfMessages(t *testing.T) {
	t.Setenv("SOMEONES_API_KEY", "sk-0123456789")
	t.Setenv("SHORT_TOKEN", "a") // would turn every text into nonsense
	t.Setenv("OTHERS_PASSWORD", "a b/c?d=e&f")
	err := edge(errors.New("POST https://u:a%20b%2Fc%3Fd=e&f@x?key=sk-0123456789&p=a+b%2Fc%3Fd%3De%26f: a failure"))
	if text := err.Error(); strings.Contains(text, "sk-0123") || strings.Contains(text, "a%20b") || strings.Contains(text, "a+b") || !strings.Contains(text, "[$SOMEONES_API_KEY]&p=[$OTHERS_PASSWORD]: a failure") {
		t.Errorf("message is %q", err)
	}
}
