package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// scenario is one kind of campaign; its name is the tag.
type scenario struct {
	name   string
	double func(*double.Double)
	act    func(*play) error
}

var scenarios = []scenario{
	{"loop", nil, loop},
	{"crashes", crashing, loop},
	{"lost", losing, loop},
	{"messages", slow(200 * time.Millisecond), messages},
	{"continued", slow(50 * time.Millisecond), continued},
	{"parallel", mixed, parallel},
	{"approval", slow(200 * time.Millisecond), approval},
	{"ideas", slow(200 * time.Millisecond), ideas},
	{"exhausted", exhausting, loop},
	{"cancelled", slow(time.Hour), cancelled},
	{"adopted", slow(2 * time.Second), adopted},
	{"rerun", slow(2 * time.Second), rerun},
	{"trouble", refusing, trouble},
	{"impossible", impossible, fails},

	{"confirmed", confirming(double.Confirms{Runs: 2}), confirmed},
	{"refuted", confirming(double.Confirms{Refuted: evenOnes}), refuted},
	{"rechecked", confirming(double.Confirms{Runs: 3, Refuted: evenOnes}), rechecked},
	{"drifting", confirming(double.Confirms{Drift: servedSlot}), confirmed},
	{"vacated", confirming(double.Confirms{Drift: "train-cpu@nobody"}), confirmed},

	{"cuda", onGPU, cuda},
}

// servedSlot is the task queue of a slot.
const servedSlot = "train-cpu@laptop/1a2b3c4d"

// servedGPU is the task queue of a slot with a GPU, brokenGPU one that nobody serves.
const (
	servedGPU = "train-cuda@laptop/GPU-e0000000-0000-4000-8000-000000000001"
	brokenGPU = "train-cuda@laptop/GPU-e0000000-0000-4000-8000-000000000002"
)

func onGPU(d *double.Double) {
	slow(100 * time.Millisecond)(d)
	d.Slot = servedGPU
}

// cuda is a campaign on GPUs that hears of one that breaks, across runs.
func cuda(p *play) error {
	settings := experiment.Settings{Tag: p.tag, Device: experiment.CUDA, Seeds: 1, Limits: experiment.Limits{Experiments: 6, Parallel: 2}}
	run, err := p.startWith(settings, &workflows.State{ContinueAfter: 60})
	if err != nil {
		return err
	}
	says := func(queue string, s experiment.SlotState, reason string) error {
		return p.signal(workflows.SignalSlot, experiment.SlotHealth{Queue: queue, State: s, Reason: reason, At: time.Now()})
	}
	hears := func(n int) error {
		return p.until(func(s experiment.Status) bool { return len(s.Unwell) == n })
	}
	return errors.Join(
		says(servedGPU, experiment.SlotWaiting, "the GPU is busy with process 4711 (python3), 18000 MiB"),
		says(brokenGPU, experiment.SlotQuarantined, "3 uncorrectable memory errors (ECC) since the last reset"),
		hears(2),
		says(servedGPU, experiment.SlotHealthy, ""),
		hears(1),
		run.Get(p.ctx, nil),
	)
}

// confirming has a policy that measures its keeps again, and runs that take a
// moment.
func confirming(p double.Confirms) func(*double.Double) {
	return func(d *double.Double) {
		slow(50 * time.Millisecond)(d)
		d.Judge, d.Slot = p.Judge, servedSlot
		d.Score = func(n, run int) float64 { return 3.5 - 0.01*float64(n*n%7) + 0.001*float64(run) }
	}
}

func evenOnes(n int) bool { return n%2 == 0 }

// confirmed is a campaign on one slot with checks between its candidates, and
// after them.
func confirmed(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 5, ConfirmShare: 0.5}, 1, nil)
	if err != nil {
		return err
	}
	return run.Get(p.ctx, nil)
}

// refuted is a campaign on three slots that is rolled back, with descendants
// under way; and whose share of checks somebody changes.
func refuted(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 6, Parallel: 3}, 1, nil)
	if err != nil {
		return err
	}
	return errors.Join(
		p.until(func(s experiment.Status) bool { return s.Experiments >= 2 }),
		p.update(workflows.MessageSetBudget, map[string]any{"confirm_share": 0.4}),
		run.Get(p.ctx, nil),
	)
}

// rechecked continues as new with checks in training and others wanted.
func rechecked(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 6, Parallel: 2, ConfirmShare: 0.5}, 1, &workflows.State{ContinueAfter: 60})
	if err != nil {
		return err
	}
	return run.Get(p.ctx, nil)
}

// slow makes a training run take a while, heartbeating.
func slow(d time.Duration) func(*double.Double) {
	return func(w *double.Double) {
		w.OnTrain = func(ctx context.Context, in activities.TrainInput) (*experiment.Failure, error) {
			if in.Number == 0 {
				return nil, nil
			}
			end := time.After(d)
			for {
				activity.RecordHeartbeat(ctx)
				select {
				case <-end:
					return nil, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
}

// loop is a campaign with a full baseline and three experiments.
func loop(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 3}, 3, nil)
	if err != nil {
		return err
	}
	return run.Get(p.ctx, nil)
}

// crashing has one edit that is repaired, one that is not, and a run that fails.
func crashing(d *double.Double) {
	d.OnApply = func(in activities.ApplyInput) *experiment.Failure {
		if in.Number == 1 && in.Round == 0 || in.Number == 2 {
			return &experiment.Failure{Reason: experiment.BuildFailed, Message: "train.go:12:3: undefined: x"}
		}
		return nil
	}
	d.OnTrain = func(_ context.Context, in activities.TrainInput) (*experiment.Failure, error) {
		if in.Number == 3 {
			return &experiment.Failure{Reason: experiment.OOM, Message: "out of memory"}, nil
		}
		return nil, nil
	}
}

// losing loses the model of a run, once.
func losing(d *double.Double) {
	var once sync.Once
	d.OnEvaluate = func(in activities.EvaluateInput) (_ *experiment.Failure, err error) {
		if in.Number == 1 {
			once.Do(func() {
				err = temporal.NewNonRetryableApplicationError("the model is neither on this host nor in the artifact store", activities.ErrModelLost, nil)
			})
		}
		return nil, err
	}
}

func messages(p *play) error {
	run, err := p.start(experiment.Limits{}, 1, nil)
	if err != nil {
		return err
	}
	decided := func(n int) error {
		return p.until(func(s experiment.Status) bool { return s.Experiments >= n })
	}
	return errors.Join(
		decided(1),
		p.signal(workflows.MessageHint, workflows.Hint{Text: "by signal"}),
		p.update(workflows.MessageHint, workflows.Hint{Text: "by update"}),
		p.update(workflows.MessageSetBudget, map[string]any{"wall_time": "1h", "plateau": 50}),
		p.update(workflows.MessageSetProgram, workflows.SetProgram{Text: "# Think"}),
		p.update(workflows.MessagePause),
		p.until(resting),
		p.signal(workflows.MessageResume, nil),
		decided(4),
		p.signal(workflows.MessagePause, nil),
		p.until(resting),
		p.update(workflows.MessageStop),
		run.Get(p.ctx, nil),
	)
}

// resting: the campaign is paused, and nothing trains any more.
func resting(s experiment.Status) bool {
	return s.Phase == experiment.Paused && !slices.ContainsFunc(s.Running, func(e experiment.Ongoing) bool { return e.Stage == experiment.Training })
}

// continued continues as new with two experiments in training and others
// prepared, under a stream of hints, none of which may be lost.
func continued(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 12, Parallel: 2}, 1, &workflows.State{ContinueAfter: 60})
	if err != nil {
		return err
	}
	const hints = 15
	for i := range hints {
		if err := p.signal(workflows.MessageHint, workflows.Hint{Text: fmt.Sprint("hint ", i)}); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond) // the pace of the stream, not a wait
	}
	if err := run.Get(p.ctx, nil); err != nil {
		return err
	}
	got := p.d.Hints() // a proposal that is made again reads them again
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != hints {
		return fmt.Errorf("%d hints were sent, proposals saw %v", hints, got)
	}
	return nil
}

// mixed has scores that go up and down, and proposals that are rebased.
func mixed(d *double.Double) {
	slow(100 * time.Millisecond)(d)
	d.Rebases = true
	d.Score = func(n, run int) float64 { return 3.5 - 0.01*float64(n*n%7) + 0.001*float64(run) }
}

// parallel is a campaign on four slots, then two.
func parallel(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 10, Parallel: 4}, 3, nil)
	if err != nil {
		return err
	}
	return errors.Join(
		p.until(func(s experiment.Status) bool { return s.Experiments >= 4 }),
		p.update(workflows.MessageSetBudget, map[string]any{"parallel": 2}),
		run.Get(p.ctx, nil),
	)
}

// approval has candidates approved, rejected, and left to the default answer.
func approval(p *play) error {
	run, err := p.startWith(experiment.Settings{
		Tag: p.tag, Seeds: 1, Limits: experiment.Limits{Experiments: 4},
		Approval: experiment.Approval{Approve: experiment.ApproveAccept, ApproveWithin: experiment.Duration(time.Hour)},
	}, nil)
	if err != nil {
		return err
	}
	waits := func(n int) func(experiment.Status) bool {
		return func(s experiment.Status) bool {
			return slices.ContainsFunc(s.Running, func(e experiment.Ongoing) bool { return e.Experiment == n && e.Stage == experiment.Awaiting })
		}
	}
	return errors.Join(
		p.until(waits(1)), p.update(workflows.MessageApprove, workflows.Approve{Experiment: 1, Accept: true}),
		p.until(waits(2)), p.signal(workflows.MessageApprove, workflows.Approve{Experiment: 2, Reason: "tried elsewhere"}),
		p.until(waits(3)), p.update(workflows.MessageSetApproval, map[string]any{"approve": "reject", "approve_within": "1s"}),
		p.until(func(s experiment.Status) bool { return s.Experiments >= 3 }),
		p.update(workflows.MessageSetApproval, map[string]any{"approve": "off"}),
		run.Get(p.ctx, nil),
	)
}

// ideas has a person's proposal come first.
func ideas(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 6}, 1, nil)
	if err != nil {
		return err
	}
	return errors.Join(
		p.until(func(s experiment.Status) bool { return s.Experiments >= 1 }),
		p.update(workflows.MessagePropose, workflows.Idea{Title: "mine", Patch: "--- a/x\n+++ b/x\n"}),
		run.Get(p.ctx, nil),
	)
}

// exhausting has a proposer with two ideas.
func exhausting(d *double.Double) {
	d.Score = func(n, _ int) float64 { return 3.5 + float64(n) }
	d.OnPropose = func(in activities.ProposeInput) error {
		if in.Number > 2 {
			return temporal.NewNonRetryableApplicationError("every value was tried", activities.ErrNothingLeft, nil)
		}
		return nil
	}
}

func cancelled(p *play) error {
	run, err := p.start(experiment.Limits{}, 1, nil)
	if err != nil {
		return err
	}
	if err := p.inTraining(1); err != nil {
		return err
	}
	if err := p.CancelWorkflow(p.ctx, run.GetID(), ""); err != nil {
		return err
	}
	if err := run.Get(p.ctx, nil); err == nil {
		return errors.New("it was cancelled, and completed")
	}
	return nil
}

// adopted loses its campaign's workflow while experiment 1 trains.
func adopted(p *play) error {
	if _, err := p.start(experiment.Limits{}, 1, nil); err != nil {
		return err
	}
	if err := p.inTraining(1); err != nil {
		return err
	}
	if err := p.TerminateWorkflow(p.ctx, experiment.ResearchID(p.tag), "", "recording"); err != nil {
		return err
	}
	run, err := p.start(experiment.Limits{Experiments: 2}, 1, nil)
	if err != nil {
		return err
	}
	return run.Get(p.ctx, nil)
}

// rerun loses the workflow of experiment 1.
func rerun(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 1}, 1, nil)
	if err != nil {
		return err
	}
	if err := p.inTraining(1); err != nil {
		return err
	}
	if err := p.TerminateWorkflow(p.ctx, experiment.ExperimentID(p.tag, 1), "", "recording"); err != nil {
		return err
	}
	return run.Get(p.ctx, nil)
}

// refusing has a proposer that refuses for good.
func refusing(d *double.Double) {
	d.OnPropose = func(activities.ProposeInput) error { return refusedByDouble }
}

var refusedByDouble = double.Refusal("train.go has no tunable constants")

func trouble(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 1}, 1, nil)
	if err != nil {
		return err
	}
	inTrouble := func(s experiment.Status) bool { return s.Trouble != "" }
	return errors.Join(
		p.until(inTrouble), p.update(workflows.MessageResume), // in vain
		p.until(inTrouble), p.signal(workflows.MessageStop, nil),
		run.Get(p.ctx, nil),
	)
}

// impossible has a baseline that crashes.
func impossible(d *double.Double) {
	d.OnTrain = func(context.Context, activities.TrainInput) (*experiment.Failure, error) {
		return &experiment.Failure{Reason: experiment.NaN, Message: "loss is NaN at step 12"}, nil
	}
}

func fails(p *play) error {
	run, err := p.start(experiment.Limits{Experiments: 1}, 3, nil)
	if err != nil {
		return err
	}
	if err := run.Get(p.ctx, nil); err == nil {
		return errors.New("its baseline crashed, and it completed")
	}
	return nil
}

// inTraining waits until experiment n trains.
func (p *play) inTraining(n int) error {
	for want := fmt.Sprintf("train %d/0", n); ; {
		for _, call := range p.d.Calls() {
			if call == want {
				return nil
			}
		}
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("waiting for training: %w", p.ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
