// Package experiment holds the nouns of autoresearch and their JSON: settings,
// campaign, proposal, measurement, result, verdict. It is a leaf: it imports
// the standard library alone, and every other package may import it.
//
// # Terms
//
// A campaign is one research effort with a tag. It is made of experiments,
// numbered from 0. Experiment 0 is the baseline: the target as it stands. Every
// other experiment turns a proposal into a candidate (a commit), trains and
// measures it, and ends with a [Verdict]: keep, discard or crash, and a
// [Reason]. The best candidate so far is the [Incumbent], the parent of new
// proposals. Experiments run side by side and are decided one at a time, in
// another order than they begin ([Result].Sequence). The metric is val_bpb:
// validation bits per byte, lower is better.
//
// # Errors
//
// A candidate that fails is a [Result] whose verdict is crash. Go errors are
// for our own machinery and for bad input ([Settings.Validate] names the field
// by its JSON name).
package experiment
