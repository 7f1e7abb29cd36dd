package experiment

// Verdict is how an experiment ends.
type Verdict string

// The three verdicts, in Karpathy's words.
const (
	Keep    Verdict = "keep"
	Discard Verdict = "discard"
	Crash   Verdict = "crash"
)

// Reason says why a verdict was given.
type Reason string

// The reasons. Baseline and Improved and Simpler come with keep; Worse,
// WithinNoise, Duplicate and Rejected with discard. A check says of what it
// measures again whether it stands: Confirmed, Unresolved and Steady come with
// keep, Refuted and Drifted with discard. The others come with crash.
const (
	Baseline      Reason = "baseline"
	Improved      Reason = "improved"
	Simpler       Reason = "simpler"
	Worse         Reason = "worse"
	WithinNoise   Reason = "within-noise"
	Duplicate     Reason = "duplicate"
	Rejected      Reason = "rejected"   // by a person who was asked for approval
	Confirmed     Reason = "confirmed"  // fresh seeds agree
	Unresolved    Reason = "unresolved" // it takes more of them
	Refuted       Reason = "refuted"    // fresh seeds do not agree: rolled back
	Steady        Reason = "steady"     // the slot measures the incumbent as before
	Drifted       Reason = "drifted"    // it does not: its recent results are void
	InvalidEdit   Reason = "invalid-edit"
	BuildFailed   Reason = "build-failed"
	NotCausal     Reason = "not-causal"
	NotExportable Reason = "not-exportable"
	OOM           Reason = "oom"
	NaN           Reason = "nan"
	Timeout       Reason = "timeout"
	KilledEarly   Reason = "killed-early"
	Tampered      Reason = "tampered"
	RunFailed     Reason = "run-failed" // non-zero exit that has no better name
	Infra         Reason = "infra"
)

// Failure is what went wrong with a candidate: a result, never an error.
type Failure struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"` // one or two lines; the log is an artifact
}
