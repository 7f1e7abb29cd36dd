package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// newStatus makes "status".
func newStatus(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "status", Short: "where a campaign stands", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			var work look
			st, err := a.statusAnd(ctx, tag, func(c *cluster.Cluster, st experiment.Status) {
				if !a.json {
					work = inspect(ctx, c, st.Campaign, &st, a.now())
				}
			})
			if err != nil {
				return err
			}
			if a.json {
				if st.Running == nil {
					st.Running = []experiment.Ongoing{} // a list in every answer
				}
				return a.object(st)
			}
			a.printStatus(st, work, a.idle(ctx, st.Campaign))
			return nil
		},
	}
	tagFlag(c, &tag)
	return c
}

// printStatus is printBest and what is going on. Where Temporal was not asked,
// work is empty; idle is what a slot waits between two training runs.
func (a *app) printStatus(st experiment.Status, work look, idle time.Duration) {
	s := a.styleOf(a.stdout)
	a.printBest(st)
	a.line(fmt.Sprintf("budget    %s charged training time per run", span(st.Budget.Std())))
	a.line("limits    " + limits(st.Limits))
	a.line("proposer  " + st.Proposer)
	if !st.StartedAt.IsZero() {
		a.line(fmt.Sprintf("started   %s (%s ago)", st.StartedAt.Local().Format("2006-01-02 15:04"), span(a.now().Sub(st.StartedAt).Truncate(time.Second))))
	}
	if st.Device != "" {
		a.line("device    " + st.Device)
	}
	a.line("slots     " + slotsLine(st, idle, a.now()))
	if st.Spent != (experiment.Spent{}) {
		a.line("spent     " + spentLine(st.Spent))
	}
	if st.Approval.On() {
		a.line("approval  " + approvalNote(st.Approval))
	}
	for _, h := range st.Unwell {
		a.line("slot      " + s.paint(mild, s.printable(unwellLine(h, a.now()))))
	}
	for _, o := range work.of(st) {
		a.line("running   " + s.printable(statusLine(o, st, a.now())))
	}
	if st.Hints > 0 {
		a.line("hints     " + plural(st.Hints, "hint") + " not yet read by a proposer")
	}
	if st.Ideas > 0 {
		a.line("ideas     " + plural(st.Ideas, "idea") + " of yours not yet in an experiment")
	}
	for _, t := range slices.DeleteFunc(append([]string{st.Trouble}, work.trouble...), func(t string) bool { return t == "" }) {
		a.line("trouble   " + s.paint(mild, s.printable(t)))
	}
	if st.StopReason != "" {
		a.line("ended     " + s.printable(st.StopReason))
	}
	for _, b := range st.Recent {
		a.line("  " + briefLine(b, s))
	}
}

// of is the work that was looked at, or else what the status alone tells.
func (l look) of(st experiment.Status) []ongoing {
	if l.ongoing != nil {
		return l.ongoing
	}
	return combine(st.Running, make([][]step, len(st.Running)))
}

// statusLine is one experiment that is not decided:
//
//	#12 train   62%  37s of 60s  step 1240  loss 2.3123: raise MatrixLR from 0.02 to 0.03
//	#13 awaits approval until 14:05, then it is accepted: autoresearch approve 13 --tag mar5 (or reject)  lower Depth from 4 to 3
//	#14 ready  3s: lower Window from 256 to 128 (revision 1, a change to #12)
//	#15 propose 12s
func statusLine(o ongoing, st experiment.Status, now time.Time) string {
	if o.Stage == experiment.Awaiting {
		return askLine(o.Ongoing, st.Approval, st.Campaign)
	}
	text := o.head()
	if done, ok := o.done(); ok {
		text += "  " + strings.Join(figures(*o.progress, done), "  ")
	} else if wait := o.waits(now); wait != "" {
		text += "  " + wait
	}
	if o.Title != "" {
		text += ": " + o.Title
	}
	if o.Revision > 0 {
		text += fmt.Sprintf(" (revision %d, a change to #%d)", o.Revision, o.Parent)
	}
	return text
}

// unwellLine is a slot that is not well:
//
//	train-cuda@vm/GPU-1234 quarantined, 2m ago: 3 uncorrectable memory errors (ECC) ...
func unwellLine(h experiment.SlotHealth, now time.Time) string {
	text := fmt.Sprintf("%s %s", h.Queue, h.State)
	if ago := now.Sub(h.At).Truncate(time.Second); ago > 0 {
		text += fmt.Sprintf(", %s ago", span(ago))
	}
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

// slotsLine is "2, busy 99.3 % (idle 0.41 s per training, median); 1 waits for a
// candidate, 2m3s".
func slotsLine(st experiment.Status, idle time.Duration, now time.Time) string {
	text := fmt.Sprint(st.Limits.Slots())
	if share := st.Slots.BusyShare; share != nil {
		text += ", busy " + percent(*share)
	}
	if idle > 0 {
		text += fmt.Sprintf(" (idle %.2f s per training, median)", idle.Seconds())
	}
	if wait := now.Sub(st.Slots.FreeSince).Truncate(time.Second); st.Slots.Free == 1 && wait > 0 {
		text += fmt.Sprintf("; 1 waits for a candidate, %s", span(wait))
	} else if st.Slots.Free > 1 && wait > 0 {
		text += fmt.Sprintf("; %d wait for a candidate, %s", st.Slots.Free, span(wait))
	}
	return text
}

// idle is how long the slots stood still before a training run, by the ledger:
// the median, since one outage would hide all the rest in a mean. It is 0 where
// nothing is known.
func (a *app) idle(ctx context.Context, tag string) time.Duration {
	results, err := a.ledgerOf().Results(ctx, tag)
	if err != nil {
		return 0 // the status stands without it
	}
	return medianIdle(results)
}

func medianIdle(results []experiment.Result) time.Duration {
	var all []float64
	for _, r := range results {
		for _, m := range r.Measurements {
			if m.IdleSeconds > 0 {
				all = append(all, m.IdleSeconds)
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2] * float64(time.Second))
}

// spentLine is "12.3k tokens read, 2.1k written, $0.0421".
func spentLine(s experiment.Spent) string {
	text := fmt.Sprintf("%s tokens read, %s written", count(float64(s.PromptTokens)), count(float64(s.CompletionTokens)))
	if s.CostUSD > 0 {
		return text + ", " + dollars(s.CostUSD)
	}
	return text + ", price not known"
}

// limits is how a campaign ends.
func limits(l experiment.Limits) string {
	var parts []string
	if l.Experiments > 0 {
		parts = append(parts, plural(l.Experiments, "experiment"))
	}
	if l.WallTime > 0 {
		parts = append(parts, span(l.WallTime.Std())+" of wall time")
	}
	if l.Plateau > 0 {
		parts = append(parts, plural(l.Plateau, "experiment")+" without a keep")
	}
	return cmp.Or(strings.Join(parts, ", or "), "none, it goes on until it is stopped")
}

// briefLine is an experiment in one line, as far as a Brief knows it.
func briefLine(b experiment.Brief, s style) string {
	return eventLine(experiment.Result{
		Experiment: b.Experiment, Verdict: b.Verdict, Reason: b.Reason, ValBpb: b.ValBpb, Title: b.Title, Check: b.Check,
	}, s)
}
