// Package policy decides: keep, discard or crash.
//
// A [Policy] is a pure function of recorded numbers with a versioned name, so a
// past campaign can be decided again under another policy without training
// anything. Changing what a policy answers means giving it a new name.
package policy

import "github.com/autoresearch-go/autoresearch/experiment"

// Policy turns measurements into a verdict.
type Policy interface {
	// Name is the value of the setting "policy", such as "threshold/1".
	Name() string
	// Decide is pure: no clock, no files, no randomness.
	Decide(in Input) Decision
}

// Input is all that a decision depends on.
type Input struct {
	Experiment   int
	Commit       string
	Parent       string // commit that the candidate changes; not always the incumbent's
	Title        string
	SyntaxTokens int
	PriorStdDev  float64
	Failure      *experiment.Failure      // no candidate could be made
	Measurements []experiment.Measurement // one or more runs, any of which may have failed
	Incumbent    *experiment.Incumbent    // nil for the baseline
	Noise        experiment.Noise         // zero for the baseline

	Check *experiment.Check      // set when this measures an earlier candidate again
	Line  []experiment.Incumbent // after the decision before, as Decision.Line
	Past  []experiment.Result    // all decisions so far, in their order, the baseline first; read only
}

// Decision is the verdict and what holds after it.
type Decision struct {
	Verdict   experiment.Verdict
	Reason    experiment.Reason
	Message   string // one sentence with its numbers
	ValBpb    *float64
	Threshold float64 // the gain that a keep needed
	Incumbent experiment.Incumbent
	Noise     experiment.Noise

	// Of policies that confirm what they keep. Checks is all that is wanted at
	// this moment, whether or not it is being measured already: the campaign
	// takes off what runs.
	Line          []experiment.Incumbent
	Checks        []experiment.Check
	Voids         []int
	FalseKeepRate float64 // at most this share of confirmed keeps is expected to be no improvement
}
