// Package sim measures how busy the slots of a campaign are, in virtual time:
// the real workflows in the SDK's test environment, with doubled activities
// that take as long as a [Campaign] says. Hours of training pass in seconds,
// and the same campaign gives the same numbers on every machine.
//
// What it leaves out is what machines add: tasks, polls, disks. That is measured
// by command slots on a real engine. A campaign that does not end as it should
// is an error.
package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// Campaign says how long each step takes and what comes of it. Shares are of
// experiments, and what happens to one depends on its number and the seed, not
// on the order of events.
type Campaign struct {
	Name        string
	Slots       int
	Experiments int
	Seed        uint64

	Propose  time.Duration
	Rebase   time.Duration // of a stored proposal to another parent; 0: it is made anew
	Apply    time.Duration
	Train    time.Duration
	Jitter   float64 // of Train: 0.05 is 5 % more or less
	Evaluate time.Duration
	Decide   time.Duration

	Keeps     float64 // better than everything before
	Repairs   float64 // a first edit that does not build, and a second that does
	Broken    float64 // no edit builds
	Dies      float64 // in training, after a tenth of it
	Conflicts float64 // rebases that do not work: the proposer is asked anew
}

// LLM is a campaign of runs of five minutes, with a language model that takes a
// minute for a proposal.
func LLM(slots, experiments int) Campaign {
	return Campaign{
		Name: "llm", Slots: slots, Experiments: experiments,
		Propose: time.Minute, Rebase: 200 * time.Millisecond, Apply: 5 * time.Second,
		Train: 5 * time.Minute, Jitter: 0.05, Evaluate: 5 * time.Second, Decide: 100 * time.Millisecond,
		Keeps: 0.18, Repairs: 0.15, Broken: 0.05, Dies: 0.03,
	}
}

// Conflicting is the same when every fourth rebase does not work, and the model
// has to be asked anew.
func Conflicting(slots, experiments int) Campaign {
	c := LLM(slots, experiments)
	c.Name, c.Conflicts = "llm, 25 % of rebases conflict", 0.25
	return c
}

// HPO is the same with a proposer that answers at once, and anew for each parent.
func HPO(slots, experiments int) Campaign {
	c := LLM(slots, experiments)
	c.Name, c.Propose, c.Rebase = "hpo", 50*time.Millisecond, 0
	c.Repairs, c.Broken = 0, 0.01
	return c
}

// tag is of every simulated campaign.
const tag = "sim"

// patience is how long the machinery may be silent, in real time.
const patience = 30 * time.Second

// Run lets the campaign happen.
func (c Campaign) Run() (*Report, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(workflows.Research)
	env.RegisterWorkflow(workflows.Experiment)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: experiment.ResearchID(tag)})
	env.SetTestTimeout(patience)
	watch := newWatch(c.Slots)
	env.SetWorkerOptions(worker.Options{
		DeadlockDetectionTimeout: patience, // the default of a second is short on a busy machine
		Interceptors:             []interceptor.WorkerInterceptor{&clock{lasts: c.lasts, watch: watch}},
	})
	env.OnRequestCancelExternalWorkflow(mock.Anything, mock.Anything, mock.Anything).Return(&temporal.UnknownExternalWorkflowExecutionError{})
	d := c.double()
	d.Start = env.Now()
	double.Register(env, d)

	env.ExecuteWorkflow(workflows.Research, experiment.Settings{
		Limits: experiment.Limits{Experiments: c.Experiments, Parallel: c.Slots}, Budget: experiment.Duration(c.Train),
	}, (*workflows.State)(nil))
	var best experiment.Best
	if err := env.GetWorkflowResult(&best); err != nil {
		return nil, fmt.Errorf("simulate %s with %d slots: %w", c.Name, c.Slots, err)
	}
	if best.Experiments != c.Experiments {
		return nil, fmt.Errorf("simulate %s with %d slots: it ended after %d of %d experiments", c.Name, c.Slots, best.Experiments, c.Experiments)
	}
	return watch.report(best.Tally), nil
}

// double makes the outcomes.
func (c Campaign) double() *double.Double {
	var scored atomic.Int64
	return &double.Double{
		Rebases: c.Rebase > 0,
		OnApply: func(in activities.ApplyInput) *experiment.Failure {
			if c.broken(in.Number, in.Round) {
				return &experiment.Failure{Reason: experiment.BuildFailed, Message: "it does not build"}
			}
			return nil
		},
		OnTrain: func(_ context.Context, in activities.TrainInput) (*experiment.Failure, error) {
			if c.dies(in.Number) {
				return &experiment.Failure{Reason: experiment.NaN, Message: "the loss is not a number"}, nil
			}
			return nil, nil
		},
		Score: func(n, _ int) float64 {
			switch {
			case n == 0:
				return 3.5
			case c.happens("keep", n, c.Keeps):
				return 3 - 1e-4*float64(scored.Add(1))
			}
			return 9
		},
	}
}

// lasts is how long an activity takes with this input. No two durations are the
// same: then few things happen at the same moment, in an order that is left to
// chance.
func (c Campaign) lasts(input any) time.Duration {
	switch in := input.(type) {
	case activities.ProposeInput:
		if c.rebases(in) {
			return c.vary("rebase", in.Number, c.Rebase, 0.2)
		}
		return c.vary("propose", in.Number, c.Propose, 0.2)
	case activities.ApplyInput:
		return c.vary("apply", in.Number, c.Apply, 0.2)
	case activities.TrainInput:
		return c.training(in.Number)
	case activities.EvaluateInput:
		return c.vary("evaluate", in.Number, c.Evaluate, 0.2)
	case activities.DecideInput:
		return c.Decide
	}
	return 0
}

func (c Campaign) rebases(in activities.ProposeInput) bool {
	return c.Rebase > 0 && in.Revision > 0 && in.Round == 0 && !c.happens(fmt.Sprint("conflict", in.Revision), in.Number, c.Conflicts)
}

func (c Campaign) broken(n, round int) bool {
	return n > 0 && (c.happens("broken", n, c.Broken) || round == 0 && c.happens("repair", n, c.Repairs))
}

func (c Campaign) dies(n int) bool { return n > 0 && c.happens("dies", n, c.Dies) }

func (c Campaign) training(n int) time.Duration {
	d := c.vary("train", n, c.Train, c.Jitter)
	if c.dies(n) {
		d /= 10
	}
	return d
}

// vary makes a duration longer or shorter by up to a share of it.
func (c Campaign) vary(what string, n int, d time.Duration, by float64) time.Duration {
	return time.Duration(float64(d) * (1 + by*(2*c.draw("length of "+what, n)-1)))
}

func (c Campaign) happens(what string, n int, share float64) bool { return c.draw(what, n) < share }

// draw is a number from 0 to 1 that depends on the seed, the experiment and what
// it is for.
func (c Campaign) draw(what string, n int) float64 {
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range fmt.Append(nil, what, "/", n) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(c.Seed, h)).Float64()
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
