package experiment

import "time"

// Measurement is one training run and its trusted evaluation. All figures were
// taken by us, outside the candidate, but for Steps and Tokens: those are its
// own, and held against what is plausible.
type Measurement struct {
	Seed           uint64   `json:"seed"`
	ValBpb         float64  `json:"val_bpb"` // meaningless when Failure is set
	ChargedSeconds float64  `json:"charged_seconds"`
	WallSeconds    float64  `json:"wall_seconds"`
	EvalSeconds    float64  `json:"eval_seconds"`
	Tokens         int64    `json:"tokens"`
	Steps          int64    `json:"steps"`
	Parameters     int64    `json:"parameters"`
	PeakBytes      int64    `json:"peak_memory_bytes"`
	GraphDigest    string   `json:"graph_digest,omitempty"`
	SlotSeconds    float64  `json:"slot_seconds"`           // how long the run and its evaluation had the slot
	IdleSeconds    float64  `json:"idle_seconds,omitempty"` // how long the slot had been idle before, as far as its worker knows
	Attempts       int      `json:"attempts"`               // 1, and one more for each resume
	Slot           string   `json:"slot,omitempty"`         // task queue of the slot that trained it
	Class          string   `json:"class,omitempty"`        // what kind of slot that is: scores and noise compare within a class
	Sandbox        string   `json:"sandbox,omitempty"`      // what confined the run, as sandbox.Isolation says it
	AuditBpb       float64  `json:"audit_bpb,omitempty"`    // on the hidden audit split; 0 where it was not measured
	GPU            *GPU     `json:"gpu,omitempty"`          // how its GPU did meanwhile
	Failure        *Failure `json:"failure,omitempty"`
}

// GPU is what was seen of a GPU while a run had it, sampled from outside the
// run's process. A run on a GPU that was held back is void and done again;
// these figures say that this one was not.
type GPU struct {
	UUID        string  `json:"uuid"`
	Name        string  `json:"name"`
	Samples     int     `json:"samples"`
	ClockMHz    int     `json:"clock_mhz"`           // of the multiprocessors, median
	MinClockMHz int     `json:"min_clock_mhz"`       // and lowest
	MaxTempC    int     `json:"max_temperature_c"`   //
	MeanWatts   float64 `json:"mean_watts"`          //
	Throttled   float64 `json:"throttled,omitempty"` // share of samples in which the GPU held itself back
	Voids       int     `json:"voids,omitempty"`     // attempts at this run that did not count
}

// Result is the ledger's record of one experiment: result.json. Written once,
// it is the decision; refs, branch and results.tsv are derived from it.
type Result struct {
	Campaign     string        `json:"campaign"`
	Experiment   int           `json:"experiment"`
	Sequence     int           `json:"sequence"` // order of decision: 0 is the baseline; experiments side by side end in another order than they begin
	Commit       string        `json:"commit"`   // empty when no candidate could be made
	Parent       string        `json:"parent"`
	Verdict      Verdict       `json:"verdict"`
	Reason       Reason        `json:"reason"`
	Message      string        `json:"message"` // why, in one sentence with its numbers
	ValBpb       *float64      `json:"val_bpb"` // mean over the runs; null on crash and duplicate
	Title        string        `json:"title"`
	Proposer     string        `json:"proposer"`
	Spent        Spent         `json:"spent,omitzero"` // for its proposal, repairs and failed calls included
	Measurements []Measurement `json:"measurements"`
	SyntaxTokens int           `json:"syntax_tokens"`

	// What it was decided against, and with what.
	Against   *Incumbent `json:"against"` // null for the baseline
	Noise     Noise      `json:"noise"`   // before this experiment
	Threshold float64    `json:"threshold"`
	Policy    string     `json:"policy"`
	Data      string     `json:"data"`    // data set fingerprint
	Program   string     `json:"program"` // digest of the program.md it saw

	// What holds afterwards.
	Incumbent  Incumbent `json:"incumbent"`
	NoiseAfter Noise     `json:"noise_after"`
	DecidedAt  time.Time `json:"decided_at"`

	// Of policies that confirm what they keep.
	Check         *Check      `json:"check,omitempty"`           // this is no proposal: it measures that one again
	Line          []Incumbent `json:"line,omitempty"`            // the newest keeps that hold, oldest first: confirmed ones, then provisional ones; the last is Incumbent
	Checks        []Check     `json:"checks,omitempty"`          // wanted after this decision, most urgent first
	Voids         []int       `json:"voids,omitempty"`           // experiments whose slot had drifted: their results count no more
	FalseKeepRate float64     `json:"false_keep_rate,omitempty"` // stated by the policy

	// The hash chain: what the decision rests on, by sha256 (see ledger/chain.go).
	Previous  string `json:"previous,omitempty"`  // of the decision before, as stored; the baseline's: of campaign.json
	Source    string `json:"source,omitempty"`    // of the source archive that was trained
	Patch     string `json:"patch,omitempty"`     // of candidate.patch
	Proposed  string `json:"proposed,omitempty"`  // of the proposal as stored
	Evaluator string `json:"evaluator,omitempty"` // of the archive that the evaluator was built from
	// Records are the digests of what its runs have left, by name: their records,
	// which name the models, and their evaluations.
	Records map[string]string `json:"records,omitempty"`

	LogTail []string `json:"log_tail,omitempty"` // the last lines of a crash, at most 40

	// Sums over the measurements, for tables.
	ChargedSeconds float64 `json:"charged_seconds"`
	WallSeconds    float64 `json:"wall_seconds"`
	Tokens         int64   `json:"tokens"`
	PeakBytes      int64   `json:"peak_memory_bytes"`
}

// Sum fills the totals from the measurements.
func (r *Result) Sum() {
	r.ChargedSeconds, r.WallSeconds, r.Tokens, r.PeakBytes = 0, 0, 0, 0
	for _, m := range r.Measurements {
		r.ChargedSeconds += m.ChargedSeconds
		r.WallSeconds += m.WallSeconds
		r.Tokens += m.Tokens
		r.PeakBytes = max(r.PeakBytes, m.PeakBytes)
	}
}

// Spent is what a language model was paid for.
type Spent struct {
	PromptTokens     int64   `json:"prompt_tokens,omitempty"`
	CompletionTokens int64   `json:"completion_tokens,omitempty"`
	CostUSD          float64 `json:"cost_usd,omitempty"` // 0 where no price is known
}

// Add adds what other cost.
func (s *Spent) Add(other Spent) {
	s.PromptTokens += other.PromptTokens
	s.CompletionTokens += other.CompletionTokens
	s.CostUSD += other.CostUSD
}

// Brief is r in one line.
func (r Result) Brief() Brief {
	return Brief{Experiment: r.Experiment, Sequence: r.Sequence, Verdict: r.Verdict, Reason: r.Reason, ValBpb: r.ValBpb, Title: r.Title, Commit: r.Commit, Check: r.Check}
}
