package activities

import (
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The inputs and results below travel through workflow histories: ids, digests
// and numbers, never sources, logs or secrets. Everything large goes through
// the artifact store under "<tag>/<number>/...".

// PrepareInput asks to resolve a campaign before its first experiment.
type PrepareInput struct {
	Settings experiment.Settings `json:"settings"`
}

// PrepareResult is the campaign as recorded and what its ledger already holds:
// after a lost Temporal database the ledger alone brings a campaign back.
type PrepareResult struct {
	Campaign experiment.Campaign `json:"campaign"`
	Ledger   LedgerState         `json:"ledger"`
}

// LedgerState sums up the results of a campaign.
type LedgerState struct {
	Next      int                   `json:"next"`           // one above the highest number that has a result or was begun
	Decided   int                   `json:"decided"`        // results, the baseline's included: the Sequence of the next
	Open      []OpenExperiment      `json:"open,omitempty"` // begun below Next, but without a result
	Incumbent *experiment.Incumbent `json:"incumbent,omitempty"`
	Baseline  *experiment.Incumbent `json:"baseline,omitempty"`
	Noise     experiment.Noise      `json:"noise"`
	Tally     experiment.Tally      `json:"tally"`
	Recent    []experiment.Brief    `json:"recent,omitempty"` // the last ten to be decided, newest last

	Line          []experiment.Incumbent `json:"line,omitempty"`   // as in experiment.Result
	Checks        []experiment.Check     `json:"checks,omitempty"` // wanted
	FalseKeepRate float64                `json:"false_keep_rate,omitempty"`
	RawMinimum    *float64               `json:"raw_minimum,omitempty"`
}

// OpenExperiment is an experiment that was begun and never decided: it was
// prepared when its campaign ended, or the Temporal database was lost. What was
// paid for it, its proposal or its training, is used when it is run again.
type OpenExperiment struct {
	Number   int                  `json:"number"`
	Revision int                  `json:"revision"`        // of its newest proposal
	Parent   experiment.Incumbent `json:"parent"`          // of that proposal; Runs is 0 where its score is not known
	Trained  bool                 `json:"trained"`         // a run of that revision is stored: it is measured as it is
	Check    *experiment.Check    `json:"check,omitempty"` // it is no proposal but that: its number is good for nothing else
}

// ProposeInput asks for a proposal. Round counts the repairs: 0 is the first
// answer, 1 and 2 send a broken edit back with Apply's complaint, which is read
// from the artifact store. Revision counts how often the experiment was given
// another parent because the incumbent had moved: from 1 on, a proposal that
// cost something is carried over to the new parent, and others are made anew.
type ProposeInput struct {
	Campaign experiment.Campaign  `json:"campaign"`
	Number   int                  `json:"number"`
	Revision int                  `json:"revision,omitempty"`
	Round    int                  `json:"round"`
	Parent   experiment.Incumbent `json:"parent"` // Runs is 0 for one that is not measured yet: the baseline, or a candidate that trains
	Hints    []string             `json:"hints,omitempty"`
	Idea     string               `json:"idea,omitempty"` // digest of a person's own proposal, which is used instead of a proposer's
}

// ProposeResult names a proposal, which is stored as
// "<tag>/<number>/proposal-<revision>-<round>.json" before it is returned: a
// proposal that was paid for is never asked for again.
type ProposeResult struct {
	Title    string           `json:"title"`
	Proposer string           `json:"proposer"`
	Program  string           `json:"program,omitempty"` // digest of the program.md that the experiment saw
	Spent    experiment.Spent `json:"spent,omitzero"`    // on this proposal
	Rebased  bool             `json:"rebased,omitempty"` // the same change as in the revision before, on another parent
}

// ApplyInput turns the proposal of this round into a candidate. The baseline
// has no proposal: its candidate is the parent commit itself.
type ApplyInput struct {
	Campaign experiment.Campaign `json:"campaign"`
	Number   int                 `json:"number"`
	Revision int                 `json:"revision,omitempty"`
	Round    int                 `json:"round"`
	Parent   string              `json:"parent"` // commit
	Baseline bool                `json:"baseline,omitempty"`
	Check    *experiment.Check   `json:"check,omitempty"` // so has a check: its candidate is Parent, too
}

// ApplyResult is a candidate that edits, formats, builds, runs a few steps,
// exports and is causal, or the Failure that says which of these it does not.
type ApplyResult struct {
	Commit       string              `json:"commit,omitempty"`
	Source       string              `json:"source,omitempty"` // digest of the source archive in the artifact store
	SyntaxTokens int                 `json:"syntax_tokens,omitempty"`
	GraphDigest  string              `json:"graph_digest,omitempty"` // structure that the smoke run proved causal
	Seconds      float64             `json:"seconds"`
	Failure      *experiment.Failure `json:"failure,omitempty"`
}

// TrainInput asks for one training run of a candidate.
type TrainInput struct {
	Campaign experiment.Campaign `json:"campaign"`
	Number   int                 `json:"number"`
	Revision int                 `json:"revision,omitempty"`
	Run      int                 `json:"run"`             // 0..k-1; the baseline has k runs
	Again    int                 `json:"again,omitempty"` // how often the model of this run was lost (ErrModelLost)
	Seed     uint64              `json:"seed"`
	Source   string              `json:"source"`
}

// TrainResult is a finished training run. Slot is the task queue of the slot
// that has the model on its disk; the model is in the artifact store as well.
type TrainResult struct {
	Measurement experiment.Measurement `json:"measurement"` // all but the score
	Slot        string                 `json:"slot"`
	Model       string                 `json:"model,omitempty"` // sha256 of the exported model
}

// EvaluateInput asks for the trusted score of an exported model.
type EvaluateInput struct {
	Campaign    experiment.Campaign    `json:"campaign"`
	Number      int                    `json:"number"`
	Revision    int                    `json:"revision,omitempty"`
	Run         int                    `json:"run"`
	Model       string                 `json:"model"`
	GraphDigest string                 `json:"graph_digest,omitempty"` // from ApplyResult
	Measurement experiment.Measurement `json:"measurement"`
	Audit       bool                   `json:"audit,omitempty"`       // measure on the hidden audit split too: the baseline and every check
	Reference   float64                `json:"reference_s,omitempty"` // evaluation seconds of the incumbent; at most three times that is allowed, 0 is no bound
}

// EvaluateResult is the measurement with its score, or with its failure.
type EvaluateResult struct {
	Measurement experiment.Measurement `json:"measurement"`
}

// DecideInput is what a decision depends on, beside the incumbent and the noise
// of the moment, which the ledger has: decisions are made one at a time, each on
// top of the one before, whatever order the experiments end in.
type DecideInput struct {
	Campaign     experiment.Campaign      `json:"campaign"`
	Number       int                      `json:"number"`
	Parent       string                   `json:"parent"`
	Commit       string                   `json:"commit"`
	Title        string                   `json:"title"`
	Proposer     string                   `json:"proposer"`
	Program      string                   `json:"program"`
	SyntaxTokens int                      `json:"syntax_tokens"`
	Failure      *experiment.Failure      `json:"failure,omitempty"` // from Apply
	Measurements []experiment.Measurement `json:"measurements,omitempty"`
	Check        *experiment.Check        `json:"check,omitempty"`
}

// DecideResult is the decision, as the ledger has it, and what holds after it.
// Of two results the one with the higher Sequence is the newer.
type DecideResult struct {
	Brief     experiment.Brief     `json:"brief"`
	Sequence  int                  `json:"sequence"`
	Incumbent experiment.Incumbent `json:"incumbent"`
	Noise     experiment.Noise     `json:"noise"`
	Spent     experiment.Spent     `json:"spent,omitzero"` // on all proposals of the experiment

	Confirmed     *experiment.Incumbent `json:"confirmed,omitempty"` // the newest confirmed one of the line
	Checks        []experiment.Check    `json:"checks,omitempty"`    // wanted
	Voids         []int                 `json:"voids,omitempty"`
	FalseKeepRate float64               `json:"false_keep_rate,omitempty"`
}

// SetProgramInput gives a campaign a program of its own, which is read from the
// next proposal on instead of program.md in the user's checkout. An empty text
// takes it away again.
type SetProgramInput struct {
	Tag  string `json:"tag"`
	Text string `json:"text"`
}

// SetProgramResult names the stored text by its digest; "" when it was taken away.
type SetProgramResult struct {
	Program string `json:"program"`
}

// TakeIdeaInput is a person's own proposal: a patch (unified diff) to the
// incumbent.
type TakeIdeaInput struct {
	Campaign   experiment.Campaign `json:"campaign"`
	Parent     string              `json:"parent"` // commit that the patch must apply to
	Title      string              `json:"title"`
	Hypothesis string              `json:"hypothesis,omitempty"`
	Patch      string              `json:"patch"`
}

// TakeIdeaResult names the stored idea by its digest.
type TakeIdeaResult struct {
	Idea  string `json:"idea"`
	Title string `json:"title"`
}

// Progress is the heartbeat of Train and Evaluate. It is a hint for people and
// for the live view; the truth is the checkpoint on disk.
type Progress struct {
	Step           int64   `json:"step"`
	Loss           float64 `json:"loss"`
	ChargedSeconds float64 `json:"charged_seconds"`
	BudgetSeconds  float64 `json:"budget_seconds"`
	TokensPerSec   float64 `json:"tokens_per_second"`
	Resumed        int64   `json:"resumed_from_step,omitempty"`
}
