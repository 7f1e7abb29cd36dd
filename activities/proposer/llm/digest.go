package llm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// digest writes the campaign's past in few words: the model has no memory of its
// own. What candidates have written (titles, messages) stands in fences; what
// stands outside is ours.
func (p *prompt) digest() {
	results := slices.Clone(p.r.History)
	slices.SortStableFunc(results, func(a, b experiment.Result) int { return cmp.Compare(a.Sequence, b.Sequence) })
	p.say("# The campaign so far\n")
	p.summary(results)
	p.table("Kept, oldest first, with the change against the incumbent before it:", last(kept(results), p.chain), tried)
	older := results[:max(0, len(results)-p.tries)]
	p.table("Earlier near misses, best first: better than the incumbent of their time, but not by more than the noise explains:", nearMisses(older, p.near), tried)
	p.table("The latest experiments, newest last, with the change against the incumbent of their time (negative is better):", last(results, p.tries), tried)
	p.table("Failures and their causes, newest last:", last(failed(results), p.failures), cause)
	p.ongoing()
	p.curves(results)
}

// summary is the state of the campaign in our own words.
func (p *prompt) summary(results []experiment.Result) {
	var tally experiment.Tally
	for _, r := range results {
		if r.Reason != experiment.Baseline {
			tally.Add(r.Verdict)
		}
	}
	p.say("%d experiments are decided: %d kept, %d discarded, %d crashed. %d in a row have not been kept.",
		tally.Experiments, tally.Kept, tally.Discarded, tally.Crashed, tally.SinceKeep)
	if shares := keepRates(results); shares != "" {
		p.say("Kept by proposer: %s.", shares)
	}
	if len(results) == 0 {
		return
	}
	if base := results[0]; base.Reason == experiment.Baseline && base.ValBpb != nil {
		p.say("The baseline has val_bpb %.4f (runs: %d).", *base.ValBpb, max(1, len(base.Measurements)))
	}
	newest := results[len(results)-1]
	if sd := newest.NoiseAfter.StdDev; sd > 0 {
		p.say("The spread between seeds (standard deviation) is about %.4f.", sd)
	}
	if newest.Threshold > 0 {
		p.say("A candidate is kept if it is better than the incumbent by more than about %.4f.", newest.Threshold)
	}
}

// keepRates says how often each proposer was right.
func keepRates(results []experiment.Result) string {
	type rate struct{ kept, all int }
	rates := map[string]rate{}
	for _, r := range results {
		if r.Reason == experiment.Baseline || r.Proposer == "" {
			continue
		}
		of := rates[r.Proposer]
		of.all++
		if r.Verdict == experiment.Keep {
			of.kept++
		}
		rates[r.Proposer] = of
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(rates)) {
		parts = append(parts, fmt.Sprintf("%s %d of %d", oneLine(name, 40), rates[name].kept, rates[name].all))
	}
	return strings.Join(parts, ", ")
}

// table writes results as fenced lines under a heading, and nothing where there
// are none.
func (p *prompt) table(heading string, results []experiment.Result, line func(experiment.Result) string) {
	if len(results) == 0 {
		return
	}
	var lines []string
	for _, r := range results {
		lines = append(lines, line(r))
	}
	p.say("\n%s", heading)
	p.data(strings.Join(lines, "\n"))
}

// maxLine bounds a line of others' text: a title, a message, a line of a log.
const maxLine = 200

// tried is an experiment in one line.
func tried(r experiment.Result) string {
	line := fmt.Sprintf("#%d %s %s", r.Experiment, r.Verdict, r.Reason)
	if r.Reason == experiment.Refuted {
		line = fmt.Sprintf("#%d kept, then refuted by fresh seeds:", r.Experiment)
	}
	if r.ValBpb != nil {
		line += fmt.Sprintf(" %.4f", *r.ValBpb)
		if r.Against != nil {
			line += fmt.Sprintf(" (%+.4f)", *r.ValBpb-r.Against.ValBpb)
		}
	}
	if r.Reason != experiment.Baseline {
		line += " by " + r.Proposer
	}
	return oneLine(line+" | "+oneLine(r.Title, maxTitle), maxLine+maxTitle)
}

// cause is why an experiment failed, in one line.
func cause(r experiment.Result) string {
	return fmt.Sprintf("#%d %s: %s", r.Experiment, r.Reason, oneLine(r.Message, maxLine))
}

func kept(results []experiment.Result) []experiment.Result {
	return filter(results, func(r experiment.Result) bool { return r.Verdict == experiment.Keep })
}

func failed(results []experiment.Result) []experiment.Result {
	return filter(results, func(r experiment.Result) bool {
		return r.Verdict == experiment.Crash && r.Reason != experiment.Infra && r.Message != ""
	})
}

// nearMisses are the tries that may have been real gains.
func nearMisses(results []experiment.Result, most int) []experiment.Result {
	gain := func(r experiment.Result) float64 { return r.Against.ValBpb - *r.ValBpb }
	near := filter(results, func(r experiment.Result) bool {
		return r.Verdict == experiment.Discard && r.ValBpb != nil && r.Against != nil && gain(r) > 0
	})
	slices.SortStableFunc(near, func(a, b experiment.Result) int { return cmp.Compare(gain(b), gain(a)) })
	return near[:min(most, len(near))]
}

func filter(results []experiment.Result, keep func(experiment.Result) bool) []experiment.Result {
	var out []experiment.Result
	for _, r := range results {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// last is the last n of a list.
func last[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// ongoing lists what is being tried now: proposing it again teaches nothing.
func (p *prompt) ongoing() {
	var lines []string
	for _, o := range last(p.r.Running, p.running) {
		if o.Title != "" && o.Number != p.r.Number {
			lines = append(lines, fmt.Sprintf("#%d by %s | %s", o.Number, oneLine(o.Proposer, 40), oneLine(o.Title, maxTitle)))
		}
	}
	if len(lines) > 0 {
		p.say("\nIn progress now; propose something else:")
		p.data(strings.Join(lines, "\n"))
	}
}

// curves shows how the loss of the incumbent, and of the last candidate that
// trained, came down.
func (p *prompt) curves(results []experiment.Result) {
	if p.r.Curve == nil || p.points == 0 {
		return
	}
	if p.r.Parent.Runs > 0 {
		p.curve("the incumbent", p.r.Parent.Experiment)
	}
	for _, r := range slices.Backward(results) {
		if r.Experiment != p.r.Parent.Experiment && len(r.Measurements) > 0 {
			p.curve("the last candidate", r.Experiment)
			return
		}
	}
}

// curve writes one curve. A curve that cannot be read is no reason to fail: the
// rest of the digest is enough.
func (p *prompt) curve(whose string, number int) {
	all, known := p.seen[number]
	if !known {
		all, _ = p.r.Curve(number)
		p.seen[number] = all
	}
	points := thin(all, p.points)
	if len(points) < 2 {
		return
	}
	p.say("\nTraining curve of %s (#%d): charged seconds, step, training loss", whose, number)
	for _, c := range points {
		p.say("%.1f %d %.4f", c.ChargedSeconds, c.Step, c.Loss)
	}
}

// thin picks n points at even distances in time, the first and the last
// included.
func thin(points []proposer.Point, n int) []proposer.Point {
	if len(points) <= n || n < 2 {
		return points[:min(len(points), max(n, 0))]
	}
	from, to := points[0].ChargedSeconds, points[len(points)-1].ChargedSeconds
	var out []proposer.Point
	for i, c := range points {
		due := from + (to-from)*float64(len(out))/float64(n-1)
		if len(out) < n-1 && c.ChargedSeconds >= due || i == len(points)-1 {
			out = append(out, c)
		}
	}
	return out
}
