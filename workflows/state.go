package workflows

import (
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Bounds of the state, which travels through every continue-as-new.
const (
	maxRecent   = 10       // briefs in status, details and state
	maxHints    = 20       // pending hints; a signal beyond them drops the oldest
	maxHint     = 2_000    // bytes of one hint
	maxProgram  = 64 << 10 // bytes of program.md
	maxFailures = 3        // ends without a report in a row, before the campaign pauses itself
)

// State is a campaign between two experiments.
type State struct {
	Campaign   experiment.Campaign   `json:"campaign"` // zero until prepared
	Limits     experiment.Limits     `json:"limits"`
	StartedAt  time.Time             `json:"started_at"` // of the first of the runs that continue one another: wall_time counts from here
	Next       int                   `json:"next"`       // number of the next experiment
	Before     int                   `json:"before"`     // experiments decided before StartedAt
	Incumbent  *experiment.Incumbent `json:"incumbent,omitempty"`
	Baseline   *experiment.Incumbent `json:"baseline,omitempty"`
	Noise      experiment.Noise      `json:"noise"`
	Tally      experiment.Tally      `json:"tally"`
	Recent     []experiment.Brief    `json:"recent,omitempty"`
	Hints      []string              `json:"hints,omitempty"`   // not yet handed to a proposer
	Program    string                `json:"program,omitempty"` // digest of the program.md for the next experiments
	Paused     bool                  `json:"paused,omitempty"`
	Trouble    string                `json:"trouble,omitempty"` // why it paused itself
	StopReason string                `json:"stop_reason,omitempty"`

	// ContinueAfter makes a run continue as new after so many events instead of
	// when the server suggests it. Zero but in tests; it stands here, not in a
	// variable, so that replaying such a history takes the same turns.
	ContinueAfter int `json:"continue_after,omitempty"`
}

// prepared says whether the campaign is resolved.
func (s *State) prepared() bool { return s.Campaign.Settings.Tag != "" }

// resume takes over what the ledger of the campaign holds.
func (s *State) resume(ledger ledgerState) {
	s.Next = ledger.Next
	s.Incumbent = ledger.Incumbent
	s.Baseline = ledger.Baseline
	s.Noise = ledger.Noise
	s.Tally = ledger.Tally
	s.Before = ledger.Tally.Experiments
	s.Recent = lastBriefs(ledger.Recent)
	if s.Program == "" { // else set_program was faster
		s.Program = s.Campaign.Program
	}
}

// settle counts one decided experiment.
func (s *State) settle(result ExperimentResult) {
	n := result.Brief.Experiment
	s.Noise = result.Noise
	if result.Incumbent.Commit != "" {
		incumbent := result.Incumbent
		s.Incumbent = &incumbent
	}
	if n == 0 {
		s.Baseline = s.Incumbent
	} else {
		s.Tally.Add(result.Brief.Verdict)
	}
	s.Recent = lastBriefs(append(s.Recent, result.Brief))
	s.Next = n + 1
	s.Trouble = ""
}

// limit names the limit that is reached, or returns "".
func (s *State) limit(now time.Time) string {
	l := s.Limits
	switch {
	case l.Experiments > 0 && s.Tally.Experiments >= l.Experiments:
		return "the limit of experiments is reached: " + count(l.Experiments, "experiment")
	case l.Plateau > 0 && s.Tally.SinceKeep >= l.Plateau:
		return "plateau: " + count(s.Tally.SinceKeep, "experiment") + " in a row without a keep"
	case l.WallTime > 0 && now.Sub(s.StartedAt) >= l.WallTime.Std():
		return "the wall time of " + l.WallTime.String() + " is over"
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
