package ledger

import "github.com/autoresearch-go/autoresearch/experiment"

// Best sums up results, which are in order of decision, as the query "best"
// does: what has been kept last, and what of it fresh seeds have confirmed. The
// campaign's name and phase are left to the caller.
func Best(results []experiment.Result) experiment.Best {
	var b experiment.Best
	for i, r := range results {
		if i > 0 {
			b.Tally.Count(r.Brief())
		}
		if v := r.ValBpb; v != nil && (b.RawMinimum == nil || *v < *b.RawMinimum) {
			b.RawMinimum = v
		}
	}
	if len(results) == 0 {
		return b
	}
	last := results[len(results)-1]
	if in := last.Incumbent; in.Commit != "" {
		b.Experiment, b.Commit, b.Title, b.ValBpb = in.Experiment, in.Commit, in.Title, &in.ValBpb
		b.Provisional = in.Experiment != 0 && !in.Confirmed
	}
	b.Confirmed, b.FalseKeepRate = Confirmed(last.Line), last.FalseKeepRate
	return b
}

// Confirmed is the newest confirmed keep of a line; nil is none.
func Confirmed(line []experiment.Incumbent) (newest *experiment.Incumbent) {
	for i := range line {
		if line[i].Confirmed {
			newest = &line[i]
		}
	}
	return newest
}

// Standing is what has become of an experiment since it was decided.
type Standing string

// The standings. Only policies that confirm give any.
const (
	Provisional Standing = "provisional" // kept, and not confirmed yet
	Sound       Standing = "confirmed"   // kept, and fresh seeds agree
	RolledBack  Standing = "rolled back" // kept, until fresh seeds did not agree with it or with one that it was made from
	Void        Standing = "void"        // its slot had drifted
)

// Standings says what has become of each experiment, by number, after all of the
// results, which are in order of decision.
func Standings(results []experiment.Result) map[int]Standing {
	all := map[int]Standing{}
	var before []experiment.Incumbent
	for _, r := range results {
		for _, in := range before { // a confirmed keep leaves the line when it is old
			if !in.Confirmed {
				all[in.Experiment] = RolledBack
			}
		}
		for _, in := range r.Line {
			all[in.Experiment] = Provisional
			if in.Confirmed {
				all[in.Experiment] = Sound
			}
		}
		for _, n := range r.Voids {
			if s := all[n]; s == "" {
				all[n] = Void
			}
		}
		before = r.Line
	}
	return all
}
