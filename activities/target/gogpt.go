package target

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// modulePath is the module that the built-in trainer belongs to.
const modulePath = "github.com/autoresearch-go/autoresearch"

// GoGPT is the built-in target "gogpt": a small GPT in Go, trainer/ in our own
// repository. A candidate is a new trainer/train.go. What the harness around
// it promises is in the package comment of trainer/harness.
type GoGPT struct {
	sandbox sandbox.Sandbox
	goCache string
	limits  limits
}

// limits are the bounds on wall time. They stop what consumes no CPU time and
// so is not stopped by its budget.
type limits struct {
	build    time.Duration // a cold build of the standard library included
	smoke    time.Duration
	smokeGPU time.Duration // of a candidate for GPUs, on the CPU
	hang     time.Duration // without a new line of metrics
	wall     time.Duration // beyond ten times the budget: a very busy machine
	evaluate time.Duration
	data     time.Duration // to learn a vocabulary and to write gigabytes of tokens
	grace    time.Duration // to write a checkpoint after SIGTERM
}

// smokeSteps is how long the smoke run is: the second step is the first that
// an optimizer has touched, the third the first that its state has.
const smokeSteps = 3

// Of a candidate for GPUs, on the CPU: a model that trains with a hundred windows
// of two thousand tokens takes a second of CPU time for one of them, and a quarter
// of an hour for a proof that takes a GPU seconds. So it is tried with one window
// at a time, and whether it looks ahead at some of its positions: the sizes that
// campaigns on GPUs begin with took 34 CPU-seconds for the run and 19 for the check,
// which is half a minute on two cores.
const (
	smokeRows = 1
	smokeCuts = 8
)

var _ Target = (*GoGPT)(nil)

// NewGoGPT returns the built-in target.
func NewGoGPT(o Options) *GoGPT {
	g := &GoGPT{sandbox: sandbox.OrDefault(o.Sandbox), goCache: o.GoCache, limits: limits{
		build: 10 * time.Minute, smoke: time.Minute, smokeGPU: 5 * time.Minute, hang: time.Minute,
		wall: 30 * time.Second, evaluate: 10 * time.Minute, data: 2 * time.Hour, grace: 15 * time.Second,
	}}
	if o.Patience > 0 {
		g.limits.hang, g.limits.wall = o.Patience, o.Patience
	}
	return g
}

// Name implements Target.
func (*GoGPT) Name() string { return experiment.DefaultTarget }

// Editable implements Target.
func (*GoGPT) Editable() []string { return []string{"trainer/train.go"} }

// Sources implements Target. The trainer needs nothing but the standard library
// and our driver for GPUs, which older commits do not have; go.mod names the Go
// version.
func (*GoGPT) Sources() []string { return []string{"go.mod", "gpu", "trainer"} }

// PriorStdDev implements Target: five seeds of the default candidate gave 0.0074
// at the default budget (docs/trainer.md), and other candidates spread more. So do
// shorter runs: seven seeds of 3 s gave 0.05.
func (*GoGPT) PriorStdDev(budget experiment.Duration) float64 {
	share := budget.Seconds() / experiment.DefaultBudget.Seconds()
	return 0.01 / math.Sqrt(min(max(share, 0.01), 1))
}

// run starts a process with an id of its own.
func (g *GoGPT) run(ctx context.Context, limit time.Duration, s sandbox.Spec) (sandbox.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	s.ID = idOr(s.ID)
	return g.sandbox.Run(ctx, s)
}

// idOr makes up an id for a process that has none.
func idOr(id string) string {
	if id == "" {
		return "once/" + rand.Text()
	}
	return id
}

// memoryOr leaves some of the machine to the workers and the engine.
func memoryOr(limit int64) int64 {
	if limit > 0 {
		return limit
	}
	return sandbox.TotalMemory() / 4 * 3
}

// errTooLong is the cause of the end of a context that run has made.
var errTooLong = errors.New("time limit reached")

// absolute makes paths independent of the working directory, which for a
// process in the sandbox is its own.
func absolute(paths ...*string) error {
	for _, p := range paths {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("finding %s: %w", *p, err)
		}
		*p = abs
	}
	return nil
}

// goEnvironment makes builds depend on the sources and the toolchain alone: no
// settings of the user, no network, no C compiler.
func goEnvironment(cache string) []string {
	return []string{
		"HOME=" + cache,   // for the go command's own files
		"TMPDIR=" + cache, // not the sources: it ignores a go.mod in there
		"GOCACHE=" + cache, "GOENV=off", "GOFLAGS=", "GOPROXY=off", "GOSUMDB=off",
		"GOTOOLCHAIN=local", "GOWORK=off", "GO111MODULE=on", noCgo, "GOEXPERIMENT=",
	}
}

// noCgo keeps the C compiler out of builds. Of two settings the first counts.
const noCgo = "CGO_ENABLED=0"

// diskFull recognizes a full disk in the output of a program; the error lets
// the caller tell it from other trouble.
func diskFull(lines []string) error {
	for _, line := range lines {
		for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
			if strings.Contains(line, e.Error()) {
				return fmt.Errorf("%w: free some space; caches may be deleted", e)
			}
		}
	}
	return nil
}
