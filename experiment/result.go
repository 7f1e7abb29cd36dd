package experiment

import "time"

// Measurement is one training run and its trusted evaluation. All figures were
// taken by us, outside the candidate, but for Steps, which only it can know.
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
	Failure        *Failure `json:"failure,omitempty"`
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
	return Brief{Experiment: r.Experiment, Sequence: r.Sequence, Verdict: r.Verdict, Reason: r.Reason, ValBpb: r.ValBpb, Title: r.Title, Commit: r.Commit}
}
