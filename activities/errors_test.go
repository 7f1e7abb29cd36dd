package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
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

func TestSecretsStayOutOfMessages(t *testing.T) {
	t.Setenv("SOMEONES_API_KEY", "sk-0123456789")
	t.Setenv("SHORT_TOKEN", "a") // would turn every text into nonsense
	err := edge(errors.New("POST https://x?key=sk-0123456789: a failure"))
	if strings.Contains(err.Error(), "sk-0123") || !strings.Contains(err.Error(), "[$SOMEONES_API_KEY]: a failure") {
		t.Errorf("message is %q", err)
	}
}
