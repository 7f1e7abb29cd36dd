package workflows

import (
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Bounds of the state, which travels through every continue-as-new.
const (
	maxRecent   = 10       // briefs in status, details and state
	maxHints    = 20       // pending hints; a signal beyond them drops the oldest
	maxHint     = 2_000    // bytes of one hint
	maxProgram  = 64 << 10 // bytes of program.md
	maxIdeas    = 20       // people's own proposals that wait
	maxPatch    = 64 << 10 // bytes of one
	maxUnwell   = 64       // slots of which something is to be said
	maxReason   = 300      // bytes of what is said of one
	maxFailures = 3        // ends without a report in a row, before the campaign pauses itself
)

// State is a campaign at any moment.
type State struct {
	Campaign   experiment.Campaign         `json:"campaign"` // zero until prepared
	Limits     experiment.Limits           `json:"limits"`
	Approval   experiment.Approval         `json:"approval,omitzero"`
	StartedAt  time.Time                   `json:"started_at"`          // of the first of the runs that continue one another: wall_time counts from here
	ResumedAt  time.Time                   `json:"resumed_at,omitzero"` // end of the last pause
	Next       int                         `json:"next"`                // number of the next new experiment
	Open       []activities.OpenExperiment `json:"open,omitempty"`      // begun before, ended without a decision: they come first
	Entries    []Entry                     `json:"entries,omitempty"`   // begun and not decided; set for the next run alone
	Before     int                         `json:"before"`              // experiments decided before StartedAt
	Decided    int                         `json:"decided"`             // results, the baseline's included
	LastKeep   int                         `json:"last_keep"`           // Sequence of the newest keep
	Incumbent  *experiment.Incumbent       `json:"incumbent,omitempty"` // after the newest decision
	Baseline   *experiment.Incumbent       `json:"baseline,omitempty"`
	Noise      experiment.Noise            `json:"noise"` // after the newest decision
	Tally      experiment.Tally            `json:"tally"`
	Recent     []experiment.Brief          `json:"recent,omitempty"` // in order of decision
	Slots      experiment.SlotTime         `json:"slots"`            // Free is what the scheduler left
	Spent      experiment.Spent            `json:"spent,omitzero"`
	Hints      []string                    `json:"hints,omitempty"`     // not yet handed to a proposer
	Ideas      []activities.TakeIdeaResult `json:"ideas,omitempty"`     // not yet begun
	Exhausted  string                      `json:"exhausted,omitempty"` // why the proposers have nothing left to change in the incumbent
	NoAhead    bool                        `json:"no_ahead,omitempty"`  // they have nothing left to change in a candidate that trains
	Paused     bool                        `json:"paused,omitempty"`
	Trouble    string                      `json:"trouble,omitempty"` // why it paused itself
	Closing    string                      `json:"closing,omitempty"` // why the search has ended: what is under way and wanted is finished
	StopReason string                      `json:"stop_reason,omitempty"`

	// Of policies that confirm what they keep.
	Checks        []experiment.Check    `json:"checks,omitempty"`    // wanted after the newest decision, those under way included
	Confirmed     *experiment.Incumbent `json:"confirmed,omitempty"` // after the newest decision
	FalseKeepRate float64               `json:"false_keep_rate,omitempty"`
	RawMinimum    *float64              `json:"raw_minimum,omitempty"`  // of all scores
	Runs          int                   `json:"runs,omitempty"`         // trainings begun, but for the baseline's
	CheckRuns     int                   `json:"check_runs,omitempty"`   // checks among them
	ChecksSince   int                   `json:"checks_since,omitempty"` // checks decided after LastKeep

	Unwell []experiment.SlotHealth `json:"unwell,omitempty"` // slots that are not well, in the order in which they said so

	// ContinueAfter makes a run continue as new after so many events instead of
	// when the server suggests it. Zero but in tests; it stands here, not in a
	// variable, so that replaying such a history takes the same turns.
	ContinueAfter int `json:"continue_after,omitempty"`
}

// Entry is an experiment that is begun and not decided.
type Entry struct {
	Number   int                  `json:"number"`
	Revision int                  `json:"revision,omitempty"`
	Parent   experiment.Incumbent `json:"parent"` // of this revision; Runs is 0 for one that is not measured yet
	Stage    experiment.Stage     `json:"stage"`
	Since    time.Time            `json:"since"` // it is in this stage
	Hints    []string             `json:"hints,omitempty"`
	Idea     string               `json:"idea,omitempty"`
	Commit   string               `json:"commit,omitempty"` // of the candidate, once it is prepared
	Title    string               `json:"title,omitempty"`
	Failed   bool                 `json:"failed,omitempty"`   // there is nothing to train
	Trained  bool                 `json:"trained,omitempty"`  // its training is paid for: it is measured as it is
	Approved bool                 `json:"approved,omitempty"` // by a person, or by the default
	Rejected string               `json:"rejected,omitempty"` // why, if it is not to be trained
	Check    *experiment.Check    `json:"check,omitempty"`    // it has no proposal, but measures that again
	Deadline time.Time            `json:"deadline,omitzero"`  // of Awaiting
}

func (e *Entry) baseline() bool { return e.Number == 0 }

// candidate: something new, which may become the incumbent.
func (e *Entry) candidate() bool { return !e.baseline() && e.Check == nil }

// needsNoSlot: there is nothing to train, or somebody does not want it trained.
func (e *Entry) needsNoSlot() bool { return e.Failed || e.Rejected != "" }

// slots is how many of n slots the experiment takes.
func (e *Entry) slots(n, seeds int) int {
	switch {
	case e.Stage != experiment.Training || e.needsNoSlot():
		return 0
	case e.baseline():
		return min(n, seeds)
	}
	return 1
}

// prepared says whether the campaign is resolved.
func (s *State) prepared() bool { return s.Campaign.Settings.Tag != "" }

// resume takes over what the ledger of the campaign holds.
func (s *State) resume(ledger activities.LedgerState) {
	s.Next, s.Open, s.Decided = ledger.Next, ledger.Open, ledger.Decided
	s.Incumbent = ledger.Incumbent
	s.Baseline = ledger.Baseline
	s.Noise = ledger.Noise
	s.Tally = ledger.Tally
	s.LastKeep = s.Decided - 1 - s.Tally.SinceKeep
	s.Before = ledger.Tally.Experiments
	s.Recent = lastBriefs(ledger.Recent)
	s.Checks, s.FalseKeepRate, s.RawMinimum = ledger.Checks, ledger.FalseKeepRate, ledger.RawMinimum
	for _, in := range ledger.Line {
		if in.Confirmed {
			s.Confirmed = &in
		}
	}
	s.Runs, s.CheckRuns = ledger.Tally.Experiments+ledger.Tally.Checks, ledger.Tally.Checks
}

// settle counts one decided experiment. Decisions become known in another order
// than they were made in when a child dies between the two.
func (s *State) settle(result ExperimentResult) {
	brief := result.Brief
	if result.Sequence >= s.Decided {
		s.Decided = result.Sequence + 1
		s.Noise = result.Noise
		s.Checks, s.Confirmed, s.FalseKeepRate = result.Checks, result.Confirmed, result.FalseKeepRate
		if i := result.Incumbent; i.Commit != "" {
			if s.Incumbent == nil || s.Incumbent.Commit != i.Commit {
				s.Exhausted, s.NoAhead = "", false
			}
			s.Incumbent = &i
		}
	}
	if v := brief.ValBpb; v != nil && (s.RawMinimum == nil || *v < *s.RawMinimum) {
		s.RawMinimum = v
	}
	if brief.Experiment == 0 {
		i := result.Incumbent
		s.Baseline = &i
	} else {
		s.Tally.Count(brief)
	}
	s.remember(brief)
	s.countKeeps(brief)
	s.Spent.Add(result.Spent)
}

// countKeeps counts how long there was no keep. Checks are left out: one that
// confirms keeps nothing new, and one that refutes takes back a keep that had
// its time.
func (s *State) countKeeps(brief experiment.Brief) {
	switch {
	case brief.Sequence <= s.LastKeep:
	case brief.Check != nil:
		s.ChecksSince++
	case brief.Verdict == experiment.Keep:
		s.LastKeep, s.ChecksSince = brief.Sequence, 0
		for _, later := range s.Recent {
			if later.Check != nil && later.Sequence > s.LastKeep {
				s.ChecksSince++
			}
		}
	}
	s.Tally.SinceKeep = s.Decided - 1 - s.LastKeep - s.ChecksSince
}

// remember puts a result among the last ones, in the order of decision.
func (s *State) remember(brief experiment.Brief) {
	at := len(s.Recent)
	for at > 0 && s.Recent[at-1].Sequence > brief.Sequence {
		at--
	}
	s.Recent = lastBriefs(slices.Insert(s.Recent, at, brief))
}

// limit names the limit that ends the search, or returns "".
func (s *State) limit() string {
	l := s.Limits
	switch {
	case l.Experiments > 0 && s.Tally.Experiments >= l.Experiments:
		return "the limit of experiments is reached: " + count(l.Experiments, "experiment")
	case l.Plateau > 0 && s.Tally.SinceKeep >= l.Plateau:
		return "plateau: " + count(s.Tally.SinceKeep, "experiment") + " in a row without a keep"
	}
	return ""
}

// addHint keeps a hint for the next proposal and drops the oldest beyond the bound.
func (s *State) addHint(text string) {
	s.Hints = append(s.Hints, text)
	s.Hints = s.Hints[max(0, len(s.Hints)-maxHints):]
}

func lastBriefs(b []experiment.Brief) []experiment.Brief {
	return append([]experiment.Brief(nil), b[max(0, len(b)-maxRecent):]...)
}
