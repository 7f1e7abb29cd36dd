package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Research serves the task queue "research": Prepare, Propose, Apply, Decide,
// SetProgram and TakeIdea, over one home. Its methods are the activities.
//
// Each is killed and tried again without harm. What cost something, a
// proposal, a candidate, a decision, is stored under its number before it is
// used, and the next attempt finds it there. Steps before that give the same
// again: commits are dated by number, archives and keys are named by content.
type Research struct {
	Home   experiment.Home
	Store  artifact.Store
	Repo   *repo.Repo
	Ledger *ledger.Ledger
	// Checkout is the user's checkout, from which campaigns start; empty where
	// there is none, and then only recorded campaigns go on.
	Checkout string

	Targets   func(name string) (target.Target, error)
	Proposers func(name string) (proposer.Proposer, error)
	Policies  func(name string) (policy.Policy, error)

	Cores  int              // for builds and smoke runs
	Builds chan struct{}    // its capacity is how many candidates are built and tried at once; nil is no limit
	Now    func() time.Time // nil is time.Now

	renewing sync.Mutex                        // one proposal at a time that costs nothing
	deciding sync.Mutex                        // one decision at a time
	free     func(path string) (uint64, error) // free bytes; nil asks the system
}

// OpenResearch opens a home with the file store. The caller sets what the
// names in settings mean: Targets, Proposers, Policies; and Cores.
func OpenResearch(ctx context.Context, home experiment.Home, checkout string) (*Research, error) {
	r, err := repo.Open(ctx, home)
	if err != nil {
		return nil, err
	}
	store := artifact.NewFile(home.Artifacts())
	return &Research{
		Home: home, Store: store, Repo: r, Checkout: checkout, Cores: 1,
		Ledger: &ledger.Ledger{Home: home, Store: store, Repo: r, Checkout: checkout},
	}, nil
}

func (r *Research) now() time.Time {
	if r.Now == nil {
		return time.Now().UTC()
	}
	return r.Now().UTC()
}

// Free disk space that is needed before work starts: a campaign needs the Go
// build cache and the data set, a candidate one build.
const (
	campaignSpace  = 1 << 30
	candidateSpace = 256 << 20
)

// checkSpace says early, and plainly, what would otherwise be a strange
// failure in the middle of a build. The error is syscall.ENOSPC.
func (r *Research) checkSpace(need uint64) error {
	free := r.free
	if free == nil {
		free = freeBytes
	}
	have, err := free(string(r.Home))
	if err != nil {
		return fmt.Errorf("asking for the free space of %s: %w", r.Home, err)
	}
	if have < need {
		return fmt.Errorf("only %d MiB are free in %s, and %d MiB are needed; free some disk space: %w", have>>20, r.Home, need>>20, syscall.ENOSPC)
	}
	return nil
}

func freeBytes(path string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

// target looks a campaign's target up. It was there when the campaign began.
func (r *Research) target(c experiment.Campaign) (target.Target, error) {
	t, err := r.Targets(c.Settings.Target)
	if err != nil {
		return nil, refuse(ErrInvalidSettings, "target of campaign %s: %w", c.Tag(), err)
	}
	return t, nil
}

// checkNumbers guards against input that cannot be right, whoever sent it.
func checkNumbers(c experiment.Campaign, n int, more ...int) error {
	if err := experiment.ValidateTag(c.Tag()); err != nil {
		return refuse(ErrInvalidInput, "%w", err)
	}
	for _, number := range append(more, n) {
		if number < 0 {
			return refuse(ErrInvalidInput, "experiment %d of campaign %s was called with %d: revisions and rounds start at 0", n, c.Tag(), number)
		}
	}
	return nil
}

// keepAlive heartbeats until stop is called, so that a dead worker is noticed
// within the heartbeat timeout and not at the end of the activity's.
func keepAlive(ctx context.Context) (stop func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx)
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done) }
}

// notify logs what the ledger left as it was.
func notify(ctx context.Context, notices []ledger.Notice) {
	if !activity.IsActivity(ctx) {
		return
	}
	for _, n := range notices {
		activity.GetLogger(ctx).Warn(string(n))
	}
}

// isDiskFull tells a full disk from other trouble.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
