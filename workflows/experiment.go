package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// maxRepairs is how often a broken edit goes back to its proposer.
const maxRepairs = 2

// maxLost is how often a run is trained again because its model was lost. A
// store that loses each of them needs a person.
const maxLost = 2

// ExperimentInput starts one experiment. Number 0 is the baseline, whose
// candidate is the parent commit itself.
type ExperimentInput struct {
	Campaign experiment.Campaign  `json:"campaign"`
	Number   int                  `json:"number"`
	Revision int                  `json:"revision,omitempty"` // how often it was given another parent
	Parent   experiment.Incumbent `json:"parent"`             // Runs is 0 for one that is not measured yet
	Hints    []string             `json:"hints,omitempty"`
	Idea     string               `json:"idea,omitempty"`  // a person's own proposal
	Width    int                  `json:"width,omitempty"` // runs of the baseline that may train side by side; 0 is 1
	Check    *experiment.Check    `json:"check,omitempty"` // nothing is proposed: that is measured again, and Parent is its candidate
}

// ExperimentResult is the decision, for a crash its cause, and what it took.
type ExperimentResult struct {
	activities.DecideResult
	Message     string  `json:"message,omitempty"`
	BusySeconds float64 `json:"busy_seconds,omitempty"` // of slots
	IdleSeconds float64 `json:"idle_seconds,omitempty"` // of slots, before
}

// Experiment runs one experiment of a campaign and reports to its parent.
func Experiment(ctx workflow.Context, in ExperimentInput) (ExperimentResult, error) {
	t := &trial{in: in, title: "baseline", program: in.Campaign.Program}
	if in.Check != nil {
		t.title = in.Check.Title()
	}
	result, err := t.run(ctx)
	if err != nil {
		t.giveUp(ctx, err)
		return ExperimentResult{}, err
	}
	return result, nil
}

// trial is one run of an experiment's workflow.
type trial struct {
	in           ExperimentInput
	title        string
	proposer     string
	program      string // digest of the program.md that its proposal saw
	rebased      bool
	candidate    activities.ApplyResult
	waiting      bool // for an order
	training     bool // it has had its order, and is trained, evaluated and decided
	measurements []experiment.Measurement
}

func (t *trial) run(ctx workflow.Context) (ExperimentResult, error) {
	workflow.Go(ctx, t.answerAdopt)
	if err := t.prepare(ctx); err != nil {
		return ExperimentResult{}, err
	}
	if err := t.measure(ctx); err != nil {
		return ExperimentResult{}, err
	}
	// Nothing is lost by cancelling up to here. From here on the experiment is
	// paid for and takes a moment, so it is decided and reported in any case.
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result, err := t.decide(ctx)
	if err != nil {
		return ExperimentResult{}, err
	}
	t.report(ctx, Report{Number: t.in.Number, Result: &result})
	return result, nil
}

func (t *trial) baseline() bool { return t.in.Number == 0 }

// asItStands: there is no proposal, and the candidate is the parent.
func (t *trial) asItStands() bool { return t.baseline() || t.in.Check != nil }

// prepare makes a candidate and waits for its order, again on each parent that
// the campaign names. The baseline has nothing to be compared with and nobody
// beside it, and a check begins with its slot: they need not ask.
func (t *trial) prepare(ctx workflow.Context) error {
	for {
		if err := t.makeCandidate(ctx); err != nil {
			return err
		}
		if t.asItStands() {
			break
		}
		t.waiting = true
		order, err := t.awaitOrder(ctx)
		t.waiting = false
		switch {
		case err != nil:
			return err
		case order.Parent != nil:
			t.in.Parent, t.in.Revision = *order.Parent, order.Next
			continue
		case order.Rejected != "":
			t.candidate.Failure = &experiment.Failure{Reason: experiment.Rejected, Message: order.Rejected}
		}
		break
	}
	t.training = true
	return nil
}

// makeCandidate proposes and applies until a candidate stands, or until the
// proposer has had its chances.
func (t *trial) makeCandidate(ctx workflow.Context) error {
	for round := 0; ; round++ {
		if !t.asItStands() {
			if err := t.propose(ctx, round); err != nil {
				return err
			}
		}
		if err := t.apply(ctx, round); err != nil {
			return err
		}
		if t.candidate.Failure == nil || t.asItStands() || round == maxRepairs || t.proposer == experiment.Person { // a person is not there to be asked
			return nil
		}
	}
}

func (t *trial) propose(ctx workflow.Context, round int) error {
	in := activities.ProposeInput{
		Campaign: t.in.Campaign, Number: t.in.Number, Revision: t.in.Revision, Round: round,
		Parent: t.in.Parent, Hints: t.in.Hints, Idea: t.in.Idea,
	}
	var out activities.ProposeResult
	ctx = proposeOptions(ctx, t.summary("propose", round))
	if err := workflow.ExecuteActivity(ctx, onResearch.Propose, in).Get(ctx, &out); err != nil {
		return err
	}
	t.title, t.proposer, t.program = out.Title, out.Proposer, out.Program
	t.rebased = out.Rebased || t.rebased && round > 0 // its repair is the same change
	return nil
}

func (t *trial) apply(ctx workflow.Context, round int) error {
	in := activities.ApplyInput{
		Campaign: t.in.Campaign, Number: t.in.Number, Revision: t.in.Revision, Round: round,
		Parent: t.in.Parent.Commit, Baseline: t.baseline(), Check: t.in.Check,
	}
	t.candidate = activities.ApplyResult{}
	ctx = applyOptions(ctx, t.summary("apply", round))
	return workflow.ExecuteActivity(ctx, onResearch.Apply, in).Get(ctx, &t.candidate)
}

// measure trains and evaluates the candidate: once, or with k seeds for the
// baseline, which has all slots. The first failed run ends it, since it settles
// the verdict.
func (t *trial) measure(ctx workflow.Context) error {
	if t.candidate.Failure != nil {
		return nil
	}
	runs, width := 1, 1
	if t.baseline() {
		runs, width = t.in.Campaign.Settings.Seeds, min(max(1, t.in.Width), t.in.Campaign.Settings.Seeds)
	}
	measured := make([]*experiment.Measurement, runs)
	var failed error
	next, working := 0, width
	for range width {
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer func() { working-- }()
			for next < runs && failed == nil {
				run := next
				next++
				m, err := t.measureOnce(ctx, run)
				if err != nil {
					failed = err
					return
				}
				if measured[run] = &m; m.Failure != nil {
					next = runs
				}
			}
		})
	}
	quiet, _ := workflow.NewDisconnectedContext(ctx) // cancelled: each run ends by itself
	if err := workflow.Await(quiet, func() bool { return working == 0 }); err != nil {
		return err
	}
	for _, m := range measured {
		if m != nil {
			t.measurements = append(t.measurements, *m)
		}
	}
	return failed
}

// measureOnce trains and evaluates. A model that was lost in between, with the
// disk it was on, is trained again.
func (t *trial) measureOnce(ctx workflow.Context, run int) (experiment.Measurement, error) {
	for again := 0; ; again++ {
		trained, err := t.train(ctx, run, again)
		if err != nil || trained.Measurement.Failure != nil {
			return trained.Measurement, err
		}
		m, err := t.evaluate(ctx, run, trained)
		if refusal(err) == activities.ErrModelLost && again < maxLost {
			continue
		}
		return m, err
	}
}

func (t *trial) train(ctx workflow.Context, run, again int) (trained activities.TrainResult, err error) {
	campaign := t.in.Campaign
	in := activities.TrainInput{
		Campaign: onSlot(campaign), Number: t.in.Number, Revision: t.in.Revision, Run: run, Again: again,
		Seed: experiment.Seed(campaign.Settings.Seed, t.in.Number, run), Source: t.candidate.Source,
	}
	summary := t.summary("train", run)
	if again > 0 {
		summary += " (its model was lost)"
	}
	any := trainQueue(campaign.Settings)
	queue := any
	if c := t.in.Check; c != nil && c.Slot != "" {
		queue = c.Slot
	}
	err = onSlotOrAny(ctx, queue, any, func(queue string) workflow.Future {
		return workflow.ExecuteActivity(trainOptions(ctx, queue, campaign.Settings.Budget, summary), onTrain.Train, in)
	}, &trained)
	return trained, err
}

// onSlotOrAny runs an activity on a slot's own queue, and on any slot when
// nobody serves that one any more: its host is gone, or its GPU is sick.
func onSlotOrAny(ctx workflow.Context, queue, any string, run func(queue string) workflow.Future, result any) error {
	err := run(queue).Get(ctx, result)
	var timeout *temporal.TimeoutError
	if queue != any && errors.As(err, &timeout) && timeout.TimeoutType() == scheduleToStart {
		err = run(any).Get(ctx, result)
	}
	return err
}

// onSlot is the part of a campaign that its slots work with: what is trained,
// for how long, on which data. The rest would be a third of
// the baseline's history, which has k times the events.
func onSlot(c experiment.Campaign) experiment.Campaign {
	return experiment.Campaign{
		Settings: experiment.Settings{Tag: c.Settings.Tag, Target: c.Settings.Target, Budget: c.Settings.Budget, Device: c.Settings.Device, Cores: c.Settings.Cores},
		Data:     c.Data,
	}
}

// forDecision is the part of a campaign that has a say in a decision.
func forDecision(c experiment.Campaign) experiment.Campaign {
	return experiment.Campaign{
		Settings: experiment.Settings{Tag: c.Settings.Tag, Policy: c.Settings.Policy}, Data: c.Data, PriorStdDev: c.PriorStdDev,
	}
}

// evaluate scores the model on the slot that trained it, which has it on disk;
// any other slot fetches it from the store. The hidden audit split is for what
// nothing is selected by.
func (t *trial) evaluate(ctx workflow.Context, run int, trained activities.TrainResult) (experiment.Measurement, error) {
	in := activities.EvaluateInput{
		Campaign: onSlot(t.in.Campaign), Number: t.in.Number, Revision: t.in.Revision, Run: run, Model: trained.Model,
		GraphDigest: t.candidate.GraphDigest, Measurement: trained.Measurement, Audit: t.asItStands(),
	}
	if !t.asItStands() {
		in.Reference = t.in.Parent.EvalSeconds
	}
	in.Campaign.Evaluator = t.in.Campaign.Evaluator
	var out activities.EvaluateResult
	summary := t.summary("evaluate", run)
	err := onSlotOrAny(ctx, trained.Slot, trainQueue(t.in.Campaign.Settings), func(queue string) workflow.Future {
		return workflow.ExecuteActivity(evaluateOptions(ctx, queue, summary), onTrain.Evaluate, in)
	}, &out)
	return out.Measurement, err
}

func (t *trial) decide(ctx workflow.Context) (ExperimentResult, error) {
	in := activities.DecideInput{
		Campaign: forDecision(t.in.Campaign), Number: t.in.Number, Parent: t.in.Parent.Commit,
		Commit: t.candidate.Commit, Title: t.title, Proposer: t.proposer, Program: t.program,
		SyntaxTokens: t.candidate.SyntaxTokens, Failure: t.candidate.Failure, Measurements: t.measurements, Check: t.in.Check,
	}
	if c := t.in.Check; c != nil {
		in.Commit = c.Commit // also where it no longer builds
	}
	result := ExperimentResult{Message: t.failure()}
	for _, m := range t.measurements {
		result.BusySeconds += m.SlotSeconds
		result.IdleSeconds += m.IdleSeconds
	}
	ctx = decideOptions(ctx, t.summary("decide", 0))
	if err := workflow.ExecuteActivity(ctx, onResearch.Decide, in).Get(ctx, &result.DecideResult); err != nil {
		return ExperimentResult{}, err
	}
	t.publish(ctx, result.Brief)
	return result, nil
}

// failure is the cause of a crash, or "".
func (t *trial) failure() string {
	if f := t.candidate.Failure; f != nil {
		return f.Message
	}
	for _, m := range t.measurements {
		if m.Failure != nil {
			return m.Failure.Message
		}
	}
	return ""
}
