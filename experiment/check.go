package experiment

import "fmt"

// Check is a training run of a candidate that was measured before, with a fresh
// seed. It has a number, a slot and a line in the ledger like any experiment,
// but no proposal, and it counts in no limit of experiments.
type Check struct {
	Of      int     `json:"of"`              // the experiment whose candidate is trained again
	Commit  string  `json:"commit"`          // of that candidate
	Purpose Purpose `json:"purpose"`         //
	Runs    int     `json:"runs,omitempty"`  // how many more are wanted, one experiment each; 0 is one
	Slot    string  `json:"slot,omitempty"`  // task queue of the slot to measure; empty is any
	Spare   bool    `json:"spare,omitempty"` // it can wait for an idle slot, or for the end of the search: it takes no run from a candidate
}

// Title is the check in two words, such as "confirm #9".
func (c Check) Title() string { return fmt.Sprintf("%s #%d", c.Purpose, c.Of) }

// Same says whether two checks measure the same candidate for the same reason.
// Runs does not matter: each of them is an experiment.
func (c Check) Same(o Check) bool {
	return c.Of == o.Of && c.Purpose == o.Purpose && c.Slot == o.Slot
}

// Purpose is why something is measured again.
type Purpose string

// The purposes of a check.
const (
	Confirm Purpose = "confirm" // a provisional keep: is it true?
	Retest  Purpose = "retest"  // a descendant of a keep that was rolled back: does it hold without it?
	Drift   Purpose = "drift"   // the incumbent again: is the slot what it was?
)

// Estimate is what fresh seeds say about a candidate: runs that had no part in
// selecting it, so that their mean is not flattered.
type Estimate struct {
	ValBpb float64 `json:"val_bpb"` // mean
	Runs   int     `json:"runs"`
	Low    float64 `json:"low"` // 95 % confidence interval of the mean
	High   float64 `json:"high"`
}

// Audit compares the validation split, on which candidates are selected, with
// the hidden audit split, on which they are not.
type Audit struct {
	ValBpb  float64 `json:"val_bpb"` // on the audit split, mean
	Runs    int     `json:"runs"`
	Gap     float64 `json:"gap"`     // gain on validation less gain on audit, both against the baseline
	StdErr  float64 `json:"std_err"` // of Gap
	Overfit bool    `json:"overfit"` // more than the noise explains
}
