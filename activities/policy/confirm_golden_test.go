package policy

import (
	"fmt"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// confirming prints what only a policy that confirms says: the line, with the
// confirmed members in brackets, and what it wants to be measured again.
func confirming(d Decision) string {
	if len(d.Line) == 0 {
		return ""
	}
	var line, wants []string
	for _, c := range d.Line {
		text := fmt.Sprintf("#%d", c.Experiment)
		if c.Confirmed {
			text = "[" + text + "]"
		}
		if f := c.Fresh; f != nil {
			text += fmt.Sprintf(" %.4f (%.4f to %.4f, %d)", f.ValBpb, f.Low, f.High, f.Runs)
		}
		if a := c.Audit; a != nil {
			text += fmt.Sprintf(" audit %.4f gap %.4f +- %.4f overfit %v", a.ValBpb, a.Gap, a.StdErr, a.Overfit)
		}
		line = append(line, text)
	}
	for _, k := range d.Checks {
		text := k.Title()
		if k.Slot != "" {
			text += " on " + k.Slot
		}
		if k.Spare {
			text += " (can wait)"
		}
		wants = append(wants, text)
	}
	out := "    line " + strings.Join(line, ", ") + "\n"
	if len(wants) > 0 {
		out += "    wants " + strings.Join(wants, ", ") + "\n"
	}
	if len(d.Voids) > 0 {
		out += fmt.Sprintf("    void %v\n", d.Voids)
	}
	return out
}

// again measures experiment of once more.
func again(of int, why experiment.Purpose, score float64) experiment.Result {
	k := experiment.Check{Of: of, Commit: fmt.Sprintf("c%d", of), Purpose: why}
	r := ran(k.Title(), 1000, score)
	r.Check = &k
	return r
}

// fails is a check whose run failed.
func fails(of int, why experiment.Purpose, reason experiment.Reason) experiment.Result {
	r := again(of, why, 0)
	r.Measurements[0].Failure = &experiment.Failure{Reason: reason, Message: "it did not work"}
	return r
}

// at puts the runs of results on a slot.
func at(slot string, results ...experiment.Result) []experiment.Result {
	for i := range results {
		for k := range results[i].Measurements {
			results[i].Measurements[k].Slot, results[i].Measurements[k].Class = slot, "cpu"
		}
	}
	return results
}

// onAudit says what the runs scored on the audit split.
func onAudit(r experiment.Result, scores ...float64) experiment.Result {
	for i, s := range scores {
		r.Measurements[i].AuditBpb = s
	}
	return r
}

// many are candidates without effect, one after another.
func many(n int, score float64) (out []experiment.Result) {
	for i := range n {
		out = append(out, ran("no effect", 1000, score+0.002*float64(i%5)))
	}
	return out
}

func join(parts ...[]experiment.Result) (out []experiment.Result) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

const (
	confirm = experiment.Confirm
	retest  = experiment.Retest
	drift   = experiment.Drift
)

var confirmTraces = []trace{
	{"confirm", "fresh seeds confirm one keep at once, another after several, and give up a third as undecided", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5743, 2.5612, 2.5898),
		ran("a large gain", 1000, 2.4101),
		again(1, confirm, 2.4232),
		ran("a small gain over its estimate", 1000, 2.3905),
		again(3, confirm, 2.3801),
		again(1, confirm, 2.4188),
		again(3, confirm, 2.3777),
		again(1, confirm, 2.4203),
		again(3, confirm, 2.3742),
		again(1, confirm, 2.4213),
		again(3, confirm, 2.3762),
		ran("hardly any gain", 1000, 2.3702),
		again(11, confirm, 2.3652),
		again(11, confirm, 2.3752),
		again(11, confirm, 2.3602),
		again(11, confirm, 2.3702),
		again(11, confirm, 2.3652),
		again(11, confirm, 2.3682),
		ran("the next rests on it", 1000, 2.3002),
		again(18, confirm, 2.3012),
	}, Confirm{}},
	{"refute", "a keep that fresh seeds do not find better is rolled back; of those made on it the newest is tested again", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5743, 2.5612, 2.5898),
		ran("luck", 1000, 2.5302),
		made(2, 1, ran("a change to it, with an effect of its own", 1000, 2.4702)),
		again(1, confirm, 2.5901),
		again(2, retest, 2.4801),
		again(2, confirm, 2.4825),
		made(6, 2, ran("luck again", 1000, 2.4502)),
		made(7, 6, ran("and luck on it", 1000, 2.4302)),
		again(6, confirm, 2.4952),
		again(7, retest, 2.4931),
		again(7, retest, 2.4911),
		again(6, confirm, 2.4811),
	}, Confirm{}},
	{"drift", "a slot becomes worse: what it measured since it was last steady is void, and it goes on at its new level", 0.002, join(
		at("gpu0", ran("baseline", 1000, 2.5003, 2.4988, 2.5011)),
		at("gpu0", ran("a gain", 1000, 2.4801), again(1, confirm, 2.4812)),
		at("gpu0", many(20, 2.4835)...),
		at("gpu0", ran("a keep that is void in a moment", 1000, 2.4781)),
		at("gpu0", many(9, 2.5008)...),
		at("gpu0", again(1, drift, 2.4982), again(1, drift, 2.4979)),
		at("gpu0", ran("worse than the incumbent at the new level", 1000, 2.4991), ran("better at the new level", 1000, 2.4902)),
		at("gpu0", again(23, retest, 2.4979), again(36, confirm, 2.4911), again(1, drift, 2.4989)),
	), Confirm{}},
	{"simplerline", "what is kept for its size claims that it loses less than one noise unit", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5001, 2.4901, 2.5101),
		ran("no gain, no loss, fewer tokens", 950, 2.5002),
		again(1, confirm, 2.4952),
		again(1, confirm, 2.4922),
		again(1, confirm, 2.4972),
		again(1, confirm, 2.4892),
		ran("fewer again", 900, 2.4942),
		again(6, confirm, 2.5601),
		again(6, confirm, 2.5501),
	}, Confirm{}},
	{"unreliable", "checks that fail say nothing of the score, but a keep that fails three times in a row is given up", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5743, 2.5612, 2.5898),
		ran("a gain that needs much memory", 1000, 2.4301),
		fails(1, confirm, experiment.OOM),
		fails(1, confirm, experiment.Infra),
		ran("a change to it", 1000, 2.4001),
		fails(1, confirm, experiment.Timeout),
		fails(4, retest, experiment.OOM),
		fails(4, retest, experiment.OOM),
		fails(4, retest, experiment.OOM),
	}, Confirm{}},
	{"sidebyside", "four slots: decided in another order than begun, from stale parents; a check that comes too late", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5743, 2.5612, 2.5898),
		made(2, 0, ran("a gain", 1000, 2.5001)),
		made(1, 0, ran("a smaller one, from a parent that is stale", 1000, 2.5201)),
		made(4, 0, ran("a better one, from a parent that is stale", 1000, 2.4401)),
		made(5, 2, again(2, confirm, 2.5831)),
		made(6, 2, again(2, confirm, 2.5811)),
		made(7, 4, again(4, retest, 2.4421)),
		made(3, 0, fell("the same program as its neighbour", experiment.Duplicate, "the same program as experiment 4")),
	}, Confirm{}},
	{"overfit", "a keep gains on the validation split what it does not gain on the audit split", 0.002, []experiment.Result{
		onAudit(ran("baseline", 1000, 2.5003, 2.4988, 2.5011), 2.6002, 2.5991, 2.6009),
		ran("an honest gain", 1000, 2.4801),
		onAudit(again(1, confirm, 2.4812), 2.5808),
		ran("a gain on validation only", 1000, 2.4601),
		onAudit(again(3, confirm, 2.4612), 2.5811),
	}, Confirm{}},
}
