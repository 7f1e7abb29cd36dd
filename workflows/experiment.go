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
	Parent   experiment.Incumbent `json:"parent"`
	Hints    []string             `json:"hints,omitempty"`
	Program  string               `json:"program"`
}

// ExperimentResult is the decision, and for a crash its cause.
type ExperimentResult struct {
	activities.DecideResult
	Message string `json:"message,omitempty"`
}

// Experiment runs one experiment of a campaign and reports to its parent.
func Experiment(ctx workflow.Context, in ExperimentInput) (ExperimentResult, error) {
	t := &trial{in: in, title: "baseline"}
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
	candidate    activities.ApplyResult
	measurements []experiment.Measurement
}

func (t *trial) run(ctx workflow.Context) (ExperimentResult, error) {
	if err := t.makeCandidate(ctx); err != nil {
		return ExperimentResult{}, err
	}
	if err := t.measure(ctx); err != nil {
		return ExperimentResult{}, err
	}
	grant, err := t.awaitTurn(ctx)
	if err != nil {
		return ExperimentResult{}, err
	}
	// Nothing is lost by cancelling up to here. From here on the experiment is
	// paid for and takes a moment, so it is decided and reported in any case.
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result, err := t.decide(ctx, grant)
	if err != nil {
		return ExperimentResult{}, err
	}
	t.report(ctx, Report{Number: t.in.Number, Result: &result})
	return result, nil
}

func (t *trial) baseline() bool { return t.in.Number == 0 }

// makeCandidate proposes and applies until a candidate stands, or until the
// proposer has had its chances.
func (t *trial) makeCandidate(ctx workflow.Context) error {
	for round := 0; ; round++ {
		if !t.baseline() {
			if err := t.propose(ctx, round); err != nil {
				return err
			}
		}
		if err := t.apply(ctx, round); err != nil {
			return err
		}
		if t.candidate.Failure == nil || t.baseline() || round == maxRepairs {
			return nil
		}
	}
}

func (t *trial) propose(ctx workflow.Context, round int) error {
	in := activities.ProposeInput{
		Campaign: t.in.Campaign, Number: t.in.Number, Round: round,
		Parent: t.in.Parent, Hints: t.in.Hints,
	}
	var out activities.ProposeResult
	ctx = proposeOptions(ctx, t.summary("propose", round))
	if err := workflow.ExecuteActivity(ctx, onResearch.Propose, in).Get(ctx, &out); err != nil {
		return err
	}
	t.title, t.proposer = out.Title, out.Proposer
	return nil
}

func (t *trial) apply(ctx workflow.Context, round int) error {
	in := activities.ApplyInput{
		Campaign: t.in.Campaign, Number: t.in.Number, Round: round,
		Parent: t.in.Parent.Commit, Baseline: t.baseline(),
	}
	t.candidate = activities.ApplyResult{}
	ctx = applyOptions(ctx, t.summary("apply", round))
	return workflow.ExecuteActivity(ctx, onResearch.Apply, in).Get(ctx, &t.candidate)
}

// measure trains and evaluates the candidate: once, or with k seeds for the
// baseline. The first failed run ends it, since it settles the verdict.
func (t *trial) measure(ctx workflow.Context) error {
	runs := 1
	if t.baseline() {
		runs = t.in.Campaign.Settings.Seeds
	}
	for run := 0; run < runs && t.candidate.Failure == nil; run++ {
		m, err := t.measureOnce(ctx, run)
		if err != nil {
			return err
		}
		t.measurements = append(t.measurements, m)
		if m.Failure != nil {
			return nil
		}
	}
	return nil
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
		Campaign: onSlot(campaign), Number: t.in.Number, Run: run, Again: again,
		Seed: experiment.Seed(campaign.Settings.Seed, t.in.Number, run), Source: t.candidate.Source,
	}
	summary := t.summary("train", run)
	if again > 0 {
		summary += " (its model was lost)"
	}
	trainCtx := trainOptions(ctx, campaign.Settings.Budget, summary)
	err = workflow.ExecuteActivity(trainCtx, onTrain.Train, in).Get(ctx, &trained)
	return trained, err
}

// onSlot is the part of a campaign that its slots work with: what is trained,
// for how long, on which data. The rest would be a third of
// the baseline's history, which has k times the events.
func onSlot(c experiment.Campaign) experiment.Campaign {
	return experiment.Campaign{
		Settings: experiment.Settings{Tag: c.Settings.Tag, Target: c.Settings.Target, Budget: c.Settings.Budget},
		Data:     c.Data,
	}
}

// evaluate scores the model on the slot that trained it, which has it on disk.
// When nobody serves that slot any more, any slot fetches it from the store.
func (t *trial) evaluate(ctx workflow.Context, run int, trained activities.TrainResult) (experiment.Measurement, error) {
	in := activities.EvaluateInput{
		Campaign: onSlot(t.in.Campaign), Number: t.in.Number, Run: run, Model: trained.Model,
		GraphDigest: t.candidate.GraphDigest, Measurement: trained.Measurement,
	}
	in.Campaign.Evaluator = t.in.Campaign.Evaluator
	var out activities.EvaluateResult
	summary := t.summary("evaluate", run)
	slotCtx := evaluateOptions(ctx, trained.Slot, summary)
	err := workflow.ExecuteActivity(slotCtx, onTrain.Evaluate, in).Get(ctx, &out)
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) && timeout.TimeoutType() == scheduleToStart {
		anyCtx := evaluateOptions(ctx, TrainQueue, summary)
		err = workflow.ExecuteActivity(anyCtx, onTrain.Evaluate, in).Get(ctx, &out)
	}
	return out.Measurement, err
}

func (t *trial) decide(ctx workflow.Context, grant Grant) (ExperimentResult, error) {
	in := activities.DecideInput{
		Campaign: t.in.Campaign, Number: t.in.Number, Parent: t.in.Parent.Commit,
		Commit: t.candidate.Commit, Title: t.title, Proposer: t.proposer,
		SyntaxTokens: t.candidate.SyntaxTokens, Failure: t.candidate.Failure, Measurements: t.measurements,
	}
	in.Campaign.Evaluator = "" // has no say in a decision
	result := ExperimentResult{Message: t.failure()}
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
