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
	// EvalSeconds is what its evaluation took, which bounds that of its
	// successors. The ledger has it in the measurements; it stands here in what
	// a workflow is told alone.
	EvalSeconds float64 `json:"eval_seconds,omitempty"`

	// What policies that confirm know more. Without them a keep stays as it is.
	Confirmed bool      `json:"confirmed,omitempty"` // fresh seeds have shown that it is better than the one before it in the line
	Fresh     *Estimate `json:"fresh,omitempty"`     // of those seeds alone; nil before the first
	Audit     *Audit    `json:"audit,omitempty"`     // nil until measured
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

	Checks     int `json:"checks,omitempty"`      // not counted above
	Confirmed  int `json:"confirmed,omitempty"`   // keeps that fresh seeds have confirmed
	RolledBack int `json:"rolled_back,omitempty"` // keeps that they have refuted
}

// Count counts one decided experiment or check.
func (t *Tally) Count(b Brief) {
	if b.Check == nil {
		t.Add(b.Verdict)
		return
	}
	t.Checks++
	switch b.Reason {
	case Confirmed:
		t.Confirmed++
	case Refuted:
		t.RolledBack++
	}
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

	Provisional   bool       `json:"provisional"`               // fresh seeds have not confirmed the incumbent yet
	Confirmed     *Incumbent `json:"confirmed_best,omitempty"`  // the best that they have confirmed; null before the baseline
	RawMinimum    *float64   `json:"raw_minimum,omitempty"`     // the lowest single score seen: flattered by luck
	FalseKeepRate float64    `json:"false_keep_rate,omitempty"` // at most this share of confirmed keeps is expected to be no improvement
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
	Running    []Ongoing  `json:"running"`        // not decided yet, by number
	Spent      Spent      `json:"spent,omitzero"` // for proposals, since the workflow started
	Slots      SlotTime   `json:"slots"`          // how busy the slots were, since the workflow started
	Approval   Approval   `json:"approval,omitzero"`
	Recent     []Brief    `json:"recent"`            // the last ten decided, newest last
	Trouble    string     `json:"trouble,omitempty"` // what our machinery is waiting for, or why it stopped
	StopReason string     `json:"stop_reason,omitempty"`
	Hints      int        `json:"hints"` // hints not yet handed to a proposer
	Ideas      int        `json:"ideas"` // people's own proposals that wait for an experiment

	Device string       `json:"device,omitempty"` // what runs train on, where that is not the CPU
	Unwell []SlotHealth `json:"unwell,omitempty"` // slots that take no work, or of which there is something to say
}

// Ongoing is an experiment that is not decided yet.
type Ongoing struct {
	Experiment int       `json:"experiment"`
	WorkflowID string    `json:"workflow_id"`
	Stage      Stage     `json:"stage"`
	Parent     int       `json:"parent"`          // the experiment that it changes
	Title      string    `json:"title,omitempty"` // once it is proposed
	Commit     string    `json:"commit,omitempty"`
	StartedAt  time.Time `json:"started_at"`         // of its stage
	Deadline   time.Time `json:"deadline,omitzero"`  // of Awaiting: then the default answer holds
	Revision   int       `json:"revision,omitempty"` // how often it was made anew, because the incumbent had moved
	Check      *Check    `json:"check,omitempty"`    // it measures something again
}

// Stage is how far an experiment has come.
type Stage string

// The stages of an experiment.
const (
	Proposing Stage = "proposing" // a candidate is proposed, applied, built and tried
	Awaiting  Stage = "awaiting"  // the candidate waits for a person's approval
	Ready     Stage = "ready"     // the candidate waits for a slot
	Training  Stage = "training"  // it has a slot, until it is decided
)

// SlotTime sums up what the slots of a campaign did between its first training
// run and the last one that is decided. Time in which the campaign was paused
// or had ended does not count.
type SlotTime struct {
	BusySeconds float64  `json:"busy_seconds"`
	IdleSeconds float64  `json:"idle_seconds"` // between the end of one candidate's work and the start of the next training
	BusyShare   *float64 `json:"busy_share"`   // null until something has been measured

	Free      int       `json:"free,omitempty"`      // slots that wait for a candidate now
	FreeSince time.Time `json:"free_since,omitzero"` // since their number last changed
}

// At counts the waiting that goes on at a moment, too: a slot that finds no
// candidate for an hour is not busy, though no training has measured that yet.
func (t SlotTime) At(now time.Time) SlotTime {
	if t.Free > 0 && now.After(t.FreeSince) {
		t.Add(0, float64(t.Free)*now.Sub(t.FreeSince).Seconds())
	}
	return t
}

// Add counts one measurement.
func (t *SlotTime) Add(busy, idle float64) {
	t.BusySeconds += busy
	t.IdleSeconds += idle
	if all := t.BusySeconds + t.IdleSeconds; all > 0 {
		share := t.BusySeconds / all
		t.BusyShare = &share
	}
}

// Brief is a decided experiment in one line.
type Brief struct {
	Experiment int      `json:"experiment"`
	Sequence   int      `json:"sequence"` // order of decision
	Verdict    Verdict  `json:"verdict"`
	Reason     Reason   `json:"reason"`
	ValBpb     *float64 `json:"val_bpb"`
	Title      string   `json:"title"`
	Commit     string   `json:"commit"`
	Check      *Check   `json:"check,omitempty"` // it measured something again
}
