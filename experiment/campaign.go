package experiment

import "time"

// Campaign is what a campaign was started with, everything resolved. It is
// recorded once (campaign.json) and never changes: results that share a
// Campaign can be compared.
type Campaign struct {
	Settings    Settings  `json:"settings"`
	Base        string    `json:"base,omitzero"`      // commit of the target as it stands
	Data        string    `json:"data,omitzero"`      // fingerprint of the pinned data set
	Program     string    `json:"program,omitzero"`   // digest of program.md at the start
	Evaluator   string    `json:"evaluator,omitzero"` // digest of the source archive of Base, from which the evaluator is built
	PriorStdDev float64   `json:"prior_sd,omitzero"`  // val_bpb; the target's known seed noise
	StartedAt   time.Time `json:"started_at,omitzero"`
}

// Tag is the campaign's name.
func (c Campaign) Tag() string { return c.Settings.Tag }

// Incumbent is the best candidate so far. ValBpb is the mean over Runs seeds.
type Incumbent struct {
	Experiment   int     `json:"experiment"`
	Commit       string  `json:"commit"`
	ValBpb       float64 `json:"val_bpb"`
	Runs         int     `json:"runs"`
	SyntaxTokens int     `json:"syntax_tokens"` // size of the edited files, comments not counted
	Title        string  `json:"title"`
	// GivenAway is the val_bpb spent on simplifications since the best score,
	// which bounds them: see the decision policy.
	GivenAway float64 `json:"given_away,omitempty"`
}

// Noise is the estimate of the spread of val_bpb between seeds.
type Noise struct {
	StdDev float64 `json:"sd"`  // val_bpb
	DoF    float64 `json:"dof"` // degrees of freedom behind it, the prior's pseudo ones included
}

// Tally counts decided experiments, the baseline apart.
type Tally struct {
	Experiments int `json:"experiments"`
	Kept        int `json:"kept"`
	Discarded   int `json:"discarded"`
	Crashed     int `json:"crashed"`
	SinceKeep   int `json:"since_keep"` // experiments in a row without a keep
}

// Add counts one verdict.
func (t *Tally) Add(v Verdict) {
	t.Experiments++
	t.SinceKeep++
	switch v {
	case Keep:
		t.Kept++
		t.SinceKeep = 0
	case Discard:
		t.Discarded++
	case Crash:
		t.Crashed++
	}
}

// Phase is where a campaign stands.
type Phase string

// The phases of a campaign.
const (
	Preparing Phase = "preparing"
	Measuring Phase = "baseline"
	Running   Phase = "running"
	Paused    Phase = "paused"
	Stopping  Phase = "stopping"
	Complete  Phase = "complete"
	Failed    Phase = "failed"
)

// Best answers the query "best": the fields that automation may rely on.
type Best struct {
	Campaign   string   `json:"campaign"`
	Phase      Phase    `json:"phase"`
	Experiment int      `json:"experiment"` // the incumbent's; 0 is the baseline
	Commit     string   `json:"commit"`
	ValBpb     *float64 `json:"val_bpb"` // null until the baseline is measured
	Title      string   `json:"title"`
	Tally
}

// Status answers the query "status".
type Status struct {
	Best
	Limits     Limits     `json:"limits"`
	Budget     Duration   `json:"budget"`
	Proposer   string     `json:"proposer"`
	StartedAt  time.Time  `json:"started_at"`
	Baseline   *Incumbent `json:"baseline"` // null until measured
	Noise      Noise      `json:"noise"`
	Current    *Current   `json:"current"`           // the running experiment, or null
	Recent     []Brief    `json:"recent"`            // the last ten decided, newest last
	Trouble    string     `json:"trouble,omitempty"` // what our machinery is waiting for, or why it stopped
	StopReason string     `json:"stop_reason,omitempty"`
	Hints      int        `json:"hints"` // hints not yet handed to a proposer
}

// Current is the running experiment.
type Current struct {
	Experiment int       `json:"experiment"`
	WorkflowID string    `json:"workflow_id"`
	StartedAt  time.Time `json:"started_at"`
}

// Brief is a decided experiment in one line.
type Brief struct {
	Experiment int      `json:"experiment"`
	Verdict    Verdict  `json:"verdict"`
	Reason     Reason   `json:"reason"`
	ValBpb     *float64 `json:"val_bpb"`
	Title      string   `json:"title"`
	Commit     string   `json:"commit"`
}
