package workflows_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// A campaign is one Research workflow in the SDK's test environment: virtual
// time, real children, activities doubled.
type campaign struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T
	d *double.Double
}

func newCampaign(t *testing.T, d *double.Double) *campaign {
	t.Helper()
	var s testsuite.WorkflowTestSuite
	s.SetLogger(quiet{})
	env := s.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(workflows.Research)
	env.RegisterWorkflow(workflows.Experiment)
	double.Register(env, d)
	env.SetStartWorkflowOptions(startOptions("research-mar5"))
	env.SetTestTimeout(20 * time.Second)
	env.OnRequestCancelExternalWorkflow(anything, anything, anything).Return(&temporal.UnknownExternalWorkflowExecutionError{})
	d.Start = env.Now()
	return &campaign{env, t, d}
}

// trainFor makes each training run take this much virtual time.
func (c *campaign) trainFor(d time.Duration) {
	c.OnActivity("Train", anything, anything).Return(c.d.Train).After(d)
}

func (c *campaign) run(settings experiment.Settings) (experiment.Best, error) {
	return c.runState(settings, nil)
}

func (c *campaign) runState(settings experiment.Settings, s *workflows.State) (best experiment.Best, err error) {
	c.t.Helper()
	c.ExecuteWorkflow(workflows.Research, settings, s)
	require.True(c.t, c.IsWorkflowCompleted(), "the workflow did not end")
	if err := c.GetWorkflowError(); err != nil {
		return best, err
	}
	require.NoError(c.t, c.GetWorkflowResult(&best))
	return best, nil
}

// at does something at a moment of virtual time.
func (c *campaign) at(after time.Duration, do func()) { c.RegisterDelayedCallback(do, after) }

func (c *campaign) status() (s experiment.Status) {
	c.t.Helper()
	v, err := c.QueryWorkflow(workflows.QueryStatus)
	require.NoError(c.t, err)
	require.NoError(c.t, v.Get(&s))
	return s
}

// update sends an Update and returns a place for its answer.
func (c *campaign) update(name string, args ...any) *answer {
	a := &answer{}
	c.UpdateWorkflow(name, "", a, args...)
	return a
}

// answer is what came of an Update.
type answer struct {
	workflows.Answer
	refused, failed error
	done            bool
}

func (a *answer) Accept()          {}
func (a *answer) Reject(err error) { a.refused = err }
func (a *answer) Complete(v any, err error) {
	a.done, a.failed = true, err
	if got, ok := v.(workflows.Answer); ok {
		a.Answer = got
	}
}

// failure is what a campaign's error says to people.
func failure(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	require.True(t, errors.As(err, &app), "not an application error: %v", err)
	return app
}

// count counts the calls that start with prefix.
func count(calls []string, prefix string) (n int) {
	for _, c := range calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

// callsOf lists the calls for one experiment, whatever its revision.
func callsOf(d *double.Double, n int) (calls []string) {
	for _, call := range d.Calls() {
		if is := fmt.Sprintf(" %d", n); strings.Contains(call, is+"/") || strings.Contains(call, is+".") {
			if !strings.HasPrefix(call, "prepare") {
				calls = append(calls, call)
			}
		}
	}
	return calls
}

// inTraining lists the experiments that have a slot.
func inTraining(s experiment.Status) (numbers []int) {
	for _, e := range s.Running {
		if e.Stage == experiment.Training {
			numbers = append(numbers, e.Experiment)
		}
	}
	return numbers
}

func settings(experiments int) experiment.Settings {
	return experiment.Settings{Limits: experiment.Limits{Experiments: experiments}, Seeds: 2}
}

func verdicts(briefs []experiment.Brief) (out []experiment.Verdict) {
	for _, b := range briefs {
		out = append(out, b.Verdict)
	}
	return slices.Clip(out)
}

func reasons(briefs []experiment.Brief) (out []experiment.Reason) {
	for _, b := range briefs {
		out = append(out, b.Reason)
	}
	return out
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
