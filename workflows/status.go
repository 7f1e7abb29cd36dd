package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The search attributes. The campaign has those of its last decided experiment.
var (
	attrCampaign     = temporal.NewSearchAttributeKeyKeyword("Campaign")
	attrPhase        = temporal.NewSearchAttributeKeyKeyword("Phase")
	attrExperimentNo = temporal.NewSearchAttributeKeyInt64("ExperimentNo")
	attrVerdict      = temporal.NewSearchAttributeKeyKeyword("Verdict")
	attrValBpb       = temporal.NewSearchAttributeKeyFloat64("ValBpb")
	attrBestValBpb   = temporal.NewSearchAttributeKeyFloat64("BestValBpb")
)

func (r *research) phase() experiment.Phase {
	switch {
	case r.end != "":
		return r.end
	case r.StopReason != "", r.Closing != "" && !(r.Paused && r.checksLeft()):
		return experiment.Stopping
	case r.Paused:
		return experiment.Paused
	case !r.prepared():
		return experiment.Preparing
	case r.Baseline == nil:
		return experiment.Measuring
	}
	return experiment.Running
}

func (r *research) best() experiment.Best {
	b := experiment.Best{Campaign: r.given.Tag, Phase: r.phase(), Tally: r.Tally}
	if i := r.Incumbent; i != nil {
		b.Experiment, b.Commit, b.Title = i.Experiment, i.Commit, i.Title
		b.ValBpb = &i.ValBpb
		b.Provisional = i.Experiment != 0 && !i.Confirmed
	}
	b.Confirmed, b.RawMinimum, b.FalseKeepRate = r.Confirmed, r.RawMinimum, r.FalseKeepRate
	return b
}

func (r *research) status() experiment.Status {
	s := experiment.Status{
		Best: r.best(), Limits: r.Limits, Budget: r.settings().Budget, Proposer: r.settings().Proposer,
		StartedAt: r.StartedAt, Baseline: r.Baseline, Noise: r.Noise, Recent: lastBriefs(r.Recent),
		Trouble: r.Trouble, StopReason: r.ending(), Hints: len(r.Hints), Ideas: len(r.Ideas),
		Slots: r.Slots, Spent: r.Spent, Approval: r.Approval, Running: []experiment.Ongoing{},
		Unwell: slices.Clone(r.Unwell),
	}
	if r.settings().OnGPU() {
		s.Device = experiment.CUDA
	}
	for _, run := range r.running {
		if !run.settled() {
			s.Running = append(s.Running, experiment.Ongoing{
				Experiment: run.Number, WorkflowID: run.id, Stage: run.Stage, Parent: run.Parent.Experiment, Title: run.Title,
				Commit: run.Commit, StartedAt: run.Since, Deadline: run.Deadline, Revision: run.Revision, Check: run.Check,
			})
		}
	}
	return s
}

// publish shows where the campaign stands to those who only see Temporal. It
// sets the search attributes that have changed, in one event or none.
func (r *research) publish(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, r.details(workflow.Now(ctx)))
	var changes []temporal.SearchAttributeUpdate
	add := func(name string, value any, update temporal.SearchAttributeUpdate) {
		if r.published[name] != value {
			r.published[name] = value
			changes = append(changes, update)
		}
	}
	add("Campaign", r.given.Tag, attrCampaign.ValueSet(r.given.Tag))
	add("Phase", r.phase(), attrPhase.ValueSet(string(r.phase())))
	if len(r.Recent) > 0 {
		n := int64(r.last.Experiment)
		add("ExperimentNo", n, attrExperimentNo.ValueSet(n))
		add("Verdict", r.last.Verdict, attrVerdict.ValueSet(string(r.last.Verdict)))
		if v := r.last.ValBpb; v != nil {
			add("ValBpb", *v, attrValBpb.ValueSet(*v))
		}
	}
	if i := r.Incumbent; i != nil {
		add("BestValBpb", i.ValBpb, attrBestValBpb.ValueSet(i.ValBpb))
	}
	if len(changes) > 0 {
		upsert(ctx, changes...)
	}
}

// sleep is a pause that says in the timeline what it is for.
func sleep(ctx workflow.Context, d time.Duration, what string) error {
	return workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: what}).Get(ctx, nil)
}

// upsert sets search attributes. It fails only for a key that is no attribute
// at all, which the tests would see; the campaign itself does not need them.
func upsert(ctx workflow.Context, changes ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, changes...); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes are not set", "error", err)
	}
}

// details is the campaign as a page of Markdown.
func (r *research) details(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: %s", r.given.Tag, r.phase())
	if why := r.ending(); why != "" {
		fmt.Fprintf(&b, " (%s)", why)
	}
	b.WriteString("\n\n")
	if r.Trouble != "" {
		fmt.Fprintf(&b, "**Trouble:** %s\n\nResume it when that is cured.\n\n", oneLine(r.Trouble))
	}
	writeUnwell(&b, r.Unwell)
	b.WriteString("| | |\n|---|---|\n")
	if i := r.Incumbent; i != nil {
		fmt.Fprintf(&b, "| best | **%.4f** val_bpb, experiment %d, `%s`: %s |\n", i.ValBpb, i.Experiment, experiment.ShortCommit(i.Commit), oneLine(i.Title))
	}
	r.writeConfirmed(&b)
	if i := r.Baseline; i != nil {
		fmt.Fprintf(&b, "| baseline | %.4f val_bpb, noise %.4f |\n", i.ValBpb, r.Noise.StdDev)
	}
	t := r.Tally
	fmt.Fprintf(&b, "| experiments | %d: %d kept, %d discarded, %d crashed; %d since the last keep |\n", t.Experiments, t.Kept, t.Discarded, t.Crashed, t.SinceKeep)
	if hours := now.Sub(r.StartedAt).Hours(); hours > 0 && t.Experiments > r.Before {
		fmt.Fprintf(&b, "| rate | %.1f experiments per hour |\n", float64(t.Experiments-r.Before)/hours)
	}
	if r.settings().OnGPU() {
		fmt.Fprintf(&b, "| device | %s: slots serve the task queue %s |\n", experiment.CUDA, CUDAQueue)
	}
	fmt.Fprintf(&b, "| limits | %s |\n| budget | %v of charged training per run |\n", limitsText(r.Limits), r.settings().Budget)
	if share := r.Slots.BusyShare; share != nil {
		fmt.Fprintf(&b, "| slots | %d, busy %.1f %% of the time |\n", r.Limits.Slots(), 100**share)
	}
	if s := r.Spent; s.PromptTokens+s.CompletionTokens > 0 {
		fmt.Fprintf(&b, "| language model | %d tokens read, %d written", s.PromptTokens, s.CompletionTokens)
		if s.CostUSD > 0 {
			fmt.Fprintf(&b, ", $%.2f", s.CostUSD)
		}
		b.WriteString(" |\n")
	}
	writeRunning(&b, r.status().Running)
	writeRecent(&b, r.Recent)
	return b.String()
}

// writeConfirmed shows what fresh seeds say, beside the best score, which they
// may not have seen yet.
func (r *research) writeConfirmed(b *strings.Builder) {
	if i := r.Confirmed; i != nil {
		fmt.Fprintf(b, "| confirmed best | %s, experiment %d, `%s`: %s |\n", freshScore(*i), i.Experiment, experiment.ShortCommit(i.Commit), oneLine(i.Title))
	}
	t, wanted := r.Tally, 0
	for _, c := range r.Checks {
		wanted += max(1, c.Runs)
	}
	if t.Checks+wanted > 0 {
		fmt.Fprintf(b, "| checks | %d made, %d wanted: %s confirmed, %d rolled back |\n", t.Checks, wanted, count(t.Confirmed, "keep"), t.RolledBack)
	}
	if rate := r.FalseKeepRate; rate > 0 {
		fmt.Fprintf(b, "| false keeps | at most %.3g %% of the confirmed ones, by the policy's own account |\n", 100*rate)
	}
}

// freshScore is what is known of a confirmed candidate: of seeds that had no
// part in selecting it, if there are such.
func freshScore(i experiment.Incumbent) string {
	if e := i.Fresh; e != nil {
		return fmt.Sprintf("%.4f val_bpb (95 %%: %.4f to %.4f, %s)", e.ValBpb, e.Low, e.High, count(e.Runs, "fresh seed"))
	}
	return fmt.Sprintf("%.4f val_bpb (%s)", i.ValBpb, count(i.Runs, "seed"))
}

// writeUnwell lists the slots that are not well.
func writeUnwell(b *strings.Builder, unwell []experiment.SlotHealth) {
	if len(unwell) == 0 {
		return
	}
	b.WriteString("| slot | is | why | since |\n|---|---|---|---|\n")
	for _, h := range unwell {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", oneLine(h.Queue), h.State, oneLine(h.Reason), h.At.UTC().Format("2006-01-02 15:04 MST"))
	}
	b.WriteString("\n")
}

// writeRunning lists what is under way, and how to answer what waits.
func writeRunning(b *strings.Builder, running []experiment.Ongoing) {
	if len(running) == 0 {
		return
	}
	b.WriteString("\n| # | stage | change to | what |\n|---|---|---|---|\n")
	waiting := false
	for _, e := range running {
		parent, stage := fmt.Sprintf("#%d", e.Parent), string(e.Stage)
		if e.Experiment == 0 || e.Check != nil {
			parent = ""
		}
		if e.Stage == experiment.Awaiting {
			waiting = true
			stage = "awaiting approval until " + e.Deadline.UTC().Format("15:04 MST")
		}
		fmt.Fprintf(b, "| %d | %s | %s | %s |\n", e.Experiment, stage, parent, oneLine(e.Title))
	}
	if waiting {
		b.WriteString("\nAnswer with the Update or signal `approve`: `{\"experiment\":N,\"accept\":true}`.\n")
	}
}

func writeRecent(b *strings.Builder, recent []experiment.Brief) {
	if len(recent) == 0 {
		return
	}
	b.WriteString("\n| # | verdict | val_bpb | what |\n|---|---|---|---|\n")
	for _, e := range recent {
		score := ""
		if e.ValBpb != nil {
			score = fmt.Sprintf("%.4f", *e.ValBpb)
		}
		fmt.Fprintf(b, "| %d | %s, %s | %s | %s |\n", e.Experiment, e.Verdict, e.Reason, score, oneLine(e.Title))
	}
}

// publish shows the verdict on the experiment's own row.
func (t *trial) publish(ctx workflow.Context, brief experiment.Brief) {
	changes := []temporal.SearchAttributeUpdate{attrVerdict.ValueSet(string(brief.Verdict))}
	score := ""
	if v := brief.ValBpb; v != nil {
		changes = append(changes, attrValBpb.ValueSet(*v))
		score = fmt.Sprintf(", val_bpb %.4f", *v)
	}
	upsert(ctx, changes...)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s**\n\n%s: %s%s, commit `%s`\n", oneLine(brief.Title), brief.Verdict, brief.Reason, score, experiment.ShortCommit(brief.Commit)))
}

// summary is the line that an activity gets in the timeline: "#7 train: raise
// MatrixLR from 0.02 to 0.031".
func (t *trial) summary(step string, again int) string {
	switch {
	case step == "propose" && again == 0:
		if t.in.Revision > 0 {
			return fmt.Sprintf("#%d propose: again, as a change to #%d", t.in.Number, t.in.Parent.Experiment)
		}
		return fmt.Sprintf("#%d propose: a change to #%d", t.in.Number, t.in.Parent.Experiment)
	case again > 0 && (step == "propose" || step == "apply"):
		step = fmt.Sprintf("%s, repair %d", step, again)
	case t.baseline() && (step == "train" || step == "evaluate"):
		return fmt.Sprintf("#0 %s, seed %d of %d", step, again+1, t.in.Campaign.Settings.Seeds)
	case t.baseline():
		return "#0 " + step
	}
	return cut(fmt.Sprintf("#%d %s: %s", t.in.Number, step, t.title), 200)
}

func limitsText(l experiment.Limits) string {
	var parts []string
	if l.Experiments > 0 {
		parts = append(parts, count(l.Experiments, "experiment"))
	}
	if l.WallTime > 0 {
		parts = append(parts, l.WallTime.String()+" of wall time")
	}
	if l.Plateau > 0 {
		parts = append(parts, count(l.Plateau, "experiment")+" without a keep")
	}
	text := "none"
	if len(parts) > 0 {
		text = strings.Join(parts, " or ")
	}
	if l.ConfirmShare > 0 {
		text += fmt.Sprintf("; up to %.3g %% of the runs confirm keeps", 100*l.ConfirmShare)
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// oneLine makes foreign text safe for a cell of a Markdown table.
func oneLine(s string) string {
	return cut(strings.NewReplacer("\n", " ", "\r", " ", "|", "\\|").Replace(s), 200)
}

// cut shortens s to at most n bytes, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}
