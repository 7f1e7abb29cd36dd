package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The scheduler: which experiments begin, on which parent, and which of them
// get a slot. It looks again whenever something has happened.
//
// A slot must not wait for an idea, whatever the next verdict is. So with N
// slots there are N experiments that prepare a change to the incumbent, for
// when the candidates that train are discarded; and one more that prepares a
// change to the candidate which is decided next, for when it is kept. A verdict
// makes one of them stale, and those are made again on the new incumbent. Who
// has a slot keeps it: it is measured as it is.

// schedule does all that can be done now.
func (r *research) schedule(ctx workflow.Context) {
	if !r.prepared() || ctx.Err() != nil {
		return
	}
	if r.searchEnded() {
		r.dismiss()
	}
	r.revise(ctx)
	r.grant(ctx)
	if !r.searchEnded() && !r.Paused {
		r.fill(ctx)
	}
	r.countFree(ctx)
}

// countFree notes how many slots wait for a candidate, and since when. While the
// campaign is paused or ends, and before there is anything to compare with,
// nothing waits.
func (r *research) countFree(ctx workflow.Context) {
	free := 0
	if r.Baseline != nil && !r.Paused && !r.searchEnded() {
		free = max(0, r.Limits.Slots()-r.taken())
	}
	if free != r.Slots.Free {
		r.Slots.Free, r.Slots.FreeSince = free, workflow.Now(ctx)
	}
	if free == 0 {
		r.Slots.FreeSince = time.Time{}
	}
}

// dismiss ends what has no slot: a campaign that stops pays for nothing more.
// Proposals are stored, and found again if the campaign goes on.
func (r *research) dismiss() {
	for _, run := range r.running {
		paid := run.Stage == experiment.Training || run.Stage == experiment.Ready && run.needsNoSlot() && r.Baseline != nil
		if !paid && !run.settled() {
			run.cancel()
		}
	}
}

// revise makes what is prepared on a parent that has lost its point again, as a
// change to the incumbent.
func (r *research) revise(ctx workflow.Context) {
	if r.Incumbent == nil || r.searchEnded() || r.Paused {
		return
	}
	for _, run := range r.running {
		prepared := run.Stage == experiment.Ready || run.Stage == experiment.Awaiting
		if !prepared || run.needsNoSlot() || run.Trained || r.hasPoint(run.Parent.Commit) {
			continue
		}
		order := Order{Revision: run.Revision, Parent: r.Incumbent, Next: run.Revision + 1}
		run.Revision, run.Parent = order.Next, *r.Incumbent
		run.enter(ctx, experiment.Proposing)
		r.tell(ctx, run.id, SignalOrder, order)
	}
}

// hasPoint says whether a change to this commit may still become the incumbent's
// successor: it is the incumbent, or a candidate that is not decided yet.
func (r *research) hasPoint(commit string) bool {
	return commit == r.incumbentCommit() || slices.ContainsFunc(r.running, func(run *running) bool {
		return run.Stage == experiment.Training && run.candidate() && run.Commit == commit && !run.settled()
	})
}

// grant gives free slots to the candidates that are ready and to checks, and
// lets those be decided that need none.
func (r *research) grant(ctx workflow.Context) {
	if r.Baseline == nil {
		return // there is nothing yet that a candidate could be compared with
	}
	for _, run := range r.running {
		if run.Stage == experiment.Ready && run.needsNoSlot() {
			r.train(ctx, run)
		}
	}
	if r.Paused || r.StopReason != "" {
		return
	}
	for free := r.Limits.Slots() - r.taken(); free > 0; free-- {
		run := r.nextToTrain()
		check, wanted := r.nextCheck(run == nil)
		switch {
		case wanted && (run == nil || r.mayDelay()):
			r.begin(ctx, check)
		case run != nil:
			r.train(ctx, run)
		default:
			return
		}
	}
}

func (r *research) train(ctx workflow.Context, run *running) {
	if !run.needsNoSlot() {
		r.Runs++
	}
	run.enter(ctx, experiment.Training)
	r.tell(ctx, run.id, SignalOrder, Order{Revision: run.Revision, Rejected: run.Rejected})
}

// taken counts the slots in use.
func (r *research) taken() (n int) {
	for _, run := range r.running {
		if !run.settled() {
			n += run.slots(r.Limits.Slots(), r.settings().Seeds)
		}
	}
	return n
}

// nextToTrain is a ready change to the incumbent: a person's first, then in
// order of number. What is trained already needs no fresh parent.
func (r *research) nextToTrain() *running {
	if r.searchEnded() {
		return nil
	}
	var next *running
	for _, run := range r.running {
		if run.Stage != experiment.Ready || run.Parent.Commit != r.incumbentCommit() && !run.Trained {
			continue
		}
		if next == nil || next.Idea == "" && run.Idea != "" {
			next = run
		}
	}
	return next
}

// fill begins experiments until enough is being prepared.
func (r *research) fill(ctx workflow.Context) {
	if r.Baseline == nil && r.find(0) == nil {
		r.Next = max(r.Next, 1)
		r.begin(ctx, Entry{Parent: r.incumbent(), Stage: experiment.Training, Title: "baseline", Commit: r.Campaign.Base})
	}
	for r.mayBegin() {
		e, ok := r.nextEntry()
		if !ok {
			return
		}
		r.begin(ctx, e)
	}
}

// mayBegin: the limit counts what is under way, so nothing is prepared in vain.
func (r *research) mayBegin() bool {
	underway := 0
	for _, run := range r.running {
		if run.candidate() && !run.settled() {
			underway++
		}
	}
	limit := r.Limits.Experiments
	return r.Exhausted == "" && (limit == 0 || r.Tally.Experiments+underway < limit)
}

// nextEntry says what to begin, if anything.
func (r *research) nextEntry() (Entry, bool) {
	var shelf, ideas int // being prepared: on the incumbent, or soon to be; people's among them
	next := r.decidedNext()
	ahead := next != nil && !r.NoAhead
	for _, run := range r.running {
		switch {
		case run.Stage == experiment.Training || run.settled() || run.needsNoSlot():
		case next != nil && run.Parent.Commit == next.Commit:
			ahead = false // there is one already
		case run.Idea != "":
			ideas++
			shelf++
		default:
			shelf++
		}
	}
	switch e := (Entry{Parent: r.incumbent(), Stage: experiment.Proposing}); {
	case len(r.Ideas) > 0 && ideas < r.Limits.Slots():
		e.Idea, r.Ideas = r.Ideas[0].Idea, r.Ideas[1:]
		return e, true
	case shelf < r.Limits.Slots():
		return e, true
	case ahead:
		e.Parent = experiment.Incumbent{Experiment: next.Number, Commit: next.Commit, Title: next.Title, EvalSeconds: r.incumbent().EvalSeconds}
		return e, true
	}
	return Entry{}, false
}

// decidedNext is the candidate that has been training for longest.
func (r *research) decidedNext() (next *running) {
	for _, run := range r.running {
		if run.Stage == experiment.Training && run.candidate() && !run.settled() && run.slots(1, 1) > 0 && run.Commit != "" &&
			(next == nil || run.Since.Before(next.Since)) {
			next = run
		}
	}
	return next
}

// begin gives an experiment its number and starts it. Numbers that were begun
// before come first, with what was paid for them.
func (r *research) begin(ctx workflow.Context, e Entry) {
	again := slices.IndexFunc(r.Open, func(o activities.OpenExperiment) bool {
		return (o.Check == nil) == (e.Check == nil) && (e.Check == nil || o.Number == e.Number)
	})
	switch {
	case e.Check == nil && e.Stage == experiment.Training: // the baseline
	case again >= 0 && e.Idea == "":
		if e.Check == nil {
			e = reopen(r.Open[again], e)
		}
		r.Open = slices.Delete(r.Open, again, again+1)
	default:
		e.Number = r.Next
		r.Next++
	}
	if e.Check != nil {
		r.Runs++
		r.CheckRuns++
	}
	if e.candidate() && e.Idea == "" && r.reads(e.Number) {
		e.Hints, r.Hints = r.Hints, nil
	}
	run := &running{Entry: e, id: experiment.ExperimentID(r.Campaign.Tag(), e.Number)}
	run.enter(ctx, e.Stage)
	r.launch(ctx, run)
}

// reads says whether the proposer whose turn experiment n is reads hints. Where
// nobody does they go with the next proposal, so that they do not pile up.
func (r *research) reads(n int) bool {
	shares, err := experiment.ParseProposers(r.settings().Proposer)
	if err != nil {
		return true
	}
	readers := slices.DeleteFunc(slices.Clone(shares), func(s experiment.Share) bool { return s.Proposer == experiment.DefaultProposer })
	return len(readers) == 0 || experiment.ProposerOf(shares, n) != experiment.DefaultProposer
}

// reopen is a new run of an experiment that ended undecided. Its stored proposal
// holds if it is a change to the same parent, or if it has been trained.
func reopen(open activities.OpenExperiment, e Entry) Entry {
	e.Number, e.Revision = open.Number, open.Revision
	switch {
	case open.Trained:
		e.Trained, e.Parent = true, open.Parent
	case open.Parent.Commit != "" && open.Parent.Commit != e.Parent.Commit:
		e.Revision++
	}
	return e
}

// exhaust notes that the proposers have nothing left for this experiment, whose
// number goes to the next one.
func (r *research) exhaust(run *running, reason string) {
	if run.Parent.Commit == r.incumbentCommit() {
		r.Exhausted = reason
	} else {
		r.NoAhead = true
	}
	r.giveBack(run)
}

// giveBack makes a number free that has no proposal for its present parent.
func (r *research) giveBack(run *running) {
	if run.Number == r.Next-1 && run.Revision == 0 {
		r.Next--
		return
	}
	r.Open = append(r.Open, activities.OpenExperiment{Number: run.Number, Revision: run.Revision})
	slices.SortFunc(r.Open, func(a, b activities.OpenExperiment) int { return a.Number - b.Number })
}

// incumbent is the parent of the next change; before the baseline is measured,
// the target as it stands.
func (r *research) incumbent() experiment.Incumbent {
	if r.Incumbent != nil {
		return *r.Incumbent
	}
	return experiment.Incumbent{Commit: r.Campaign.Base, Title: "baseline"}
}

func (r *research) incumbentCommit() string { return r.incumbent().Commit }

// find returns the experiment of this number, if it is begun and not decided.
func (r *research) find(number int) *running {
	for _, run := range r.running {
		if run.Number == number && !run.settled() {
			return run
		}
	}
	return nil
}
