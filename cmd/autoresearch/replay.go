package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const replayHelp = `Replay decides a past campaign again, under any policy, from its recorded scores.
Nothing is trained. FILE is a results.tsv: the columns commit, val_bpb, memory_gb,
status and description of karpathy/autoresearch, in that order or named by a
header, in the order of the experiments, the baseline first. Without FILE it is a
campaign of this home.

What a replay cannot know: which candidates another policy's incumbents would have
led to; what fresh seeds would have said of a keep that was measured once, which
stays provisional; and, for a file, how noisy the scores are (--prior-sd).`

// replayed is the answer of replay, for --json.
type replayed struct {
	Source        string           `json:"source"` // a tag, or a file
	Policy        string           `json:"policy"`
	PriorStdDev   float64          `json:"prior_sd"`
	Decisions     []replayDecision `json:"decisions"`
	Recorded      replayTotals     `json:"recorded"`
	Replayed      replayTotals     `json:"replayed"`
	Same          int              `json:"same_verdict"`
	FalseKeepRate float64          `json:"false_keep_rate,omitempty"`
	Noise         experiment.Noise `json:"noise"`
	Unknown       []string         `json:"unknown"` // what a replay cannot say of it
}

// replayDecision is one line: what was recorded, and what the policy says.
type replayDecision struct {
	Experiment int                `json:"experiment"`
	Commit     string             `json:"commit"`
	Title      string             `json:"title"`
	ValBpb     *float64           `json:"val_bpb"`
	Recorded   experiment.Verdict `json:"recorded_verdict"`
	Verdict    experiment.Verdict `json:"verdict"`
	Reason     experiment.Reason  `json:"reason"`
	Message    string             `json:"message"`
	Threshold  float64            `json:"threshold"`
	Incumbent  int                `json:"incumbent"` // afterwards, under the policy
	Check      *experiment.Check  `json:"check,omitempty"`
}

// replayTotals sums up one side.
type replayTotals struct {
	experiment.Tally
	Best        int      `json:"best"` // the incumbent in the end
	ValBpb      *float64 `json:"val_bpb"`
	Provisional int      `json:"provisional"` // keeps in the end that no fresh seed has confirmed
}

// newReplay makes "replay".
func newReplay(a *app) *cobra.Command {
	var tag, name string
	var prior float64
	c := &cobra.Command{
		Use: "replay [FILE]", Short: "decide a past campaign again under another policy", Long: replayHelp, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			judge, err := policy.ByName(name)
			if err != nil {
				return usage("the policies there are: "+strings.Join(policy.Names(), ", "), "%w", err)
			}
			if cmd.Flags().Changed("prior-sd") && !(prior > 0 && prior < math.Inf(1)) {
				return usage("it is the standard deviation of val_bpb between seeds, such as 0.001", "--prior-sd is %v", prior)
			}
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			if file != "" && tag != "" {
				return usage("give one of them", "a file and --tag %s", tag)
			}
			source, results, known, err := a.toReplay(cmd.Context(), tag, file)
			if err != nil {
				return err
			}
			if prior == 0 {
				prior = known
			}
			r := replay(judge, prior, results)
			r.Source = source
			if a.json {
				return a.object(r)
			}
			a.printReplay(r)
			return nil
		},
	}
	tagFlag(c, &tag)
	c.Flags().StringVar(&name, "policy", "confirm/1", "`NAME` of the policy")
	c.Flags().Float64Var(&prior, "prior-sd", 0, "standard deviation of val_bpb between seeds (default: the campaign's; 0.0005 for a file)")
	return c
}

// filePrior is about the seed noise of a five-minute run on an H100, for files
// that do not say.
const filePrior = 0.0005

// toReplay reads what is to be decided again, and how noisy it is.
func (a *app) toReplay(ctx context.Context, tag, file string) (source string, results []experiment.Result, prior float64, err error) {
	if file == "" {
		tag, results, err = a.results(ctx, tag)
		if err != nil {
			return "", nil, 0, err
		}
		c, _, err := a.campaign(ctx, tag)
		if len(results) == 0 && err == nil {
			err = notFound("its baseline comes first: autoresearch status", "campaign %s has no decided experiment", tag)
		}
		return tag, results, c.PriorStdDev, err
	}
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", nil, 0, notFound("give the path of a results.tsv, or --tag for a campaign of this home", "no file %s", file)
		}
		return "", nil, 0, fmt.Errorf("read %s: %w", file, err)
	}
	defer f.Close()
	results, err = readTSV(f)
	if err != nil {
		return "", nil, 0, failed("it must have the columns commit, val_bpb, memory_gb, status and description, separated by tabs", "read %s: %w", file, err)
	}
	return file, results, filePrior, nil
}

// replay decides results again.
func replay(judge policy.Policy, prior float64, results []experiment.Result) replayed {
	results = slices.Clone(results)
	slices.SortStableFunc(results, func(x, y experiment.Result) int { return x.Sequence - y.Sequence })
	out := replayed{Policy: judge.Name(), PriorStdDev: prior}
	decisions := policy.Replay(judge, prior, results)
	checks := 0
	for i, d := range decisions {
		r := results[i]
		out.Decisions = append(out.Decisions, replayDecision{
			Experiment: r.Experiment, Commit: r.Commit, Title: r.Title, ValBpb: d.ValBpb, Recorded: r.Verdict,
			Verdict: d.Verdict, Reason: d.Reason, Message: d.Message, Threshold: d.Threshold, Incumbent: d.Incumbent.Experiment, Check: r.Check,
		})
		if r.Verdict == d.Verdict {
			out.Same++
		}
		if r.Check != nil {
			checks++
		}
		out.Recorded.count(r.Brief(), r.Incumbent)
		out.Replayed.count(experiment.Brief{Experiment: r.Experiment, Verdict: d.Verdict, Reason: d.Reason, ValBpb: d.ValBpb, Check: r.Check}, d.Incumbent)
		out.Noise, out.FalseKeepRate = d.Noise, d.FalseKeepRate
	}
	if n := len(decisions); n > 0 {
		for _, c := range decisions[n-1].Line {
			if !c.Confirmed {
				out.Replayed.Provisional++
			}
		}
	}
	out.Unknown = unknowns(out, len(results), checks)
	return out
}

// count adds one decision. Records of others have no incumbent: there it is what
// was kept last.
func (t *replayTotals) count(b experiment.Brief, in experiment.Incumbent) {
	if b.Experiment > 0 {
		t.Count(b)
	}
	switch {
	case in.Commit != "":
		v := in.ValBpb
		t.Best, t.ValBpb = in.Experiment, &v
	case b.Verdict == experiment.Keep:
		t.Best, t.ValBpb = b.Experiment, b.ValBpb
	}
}

// unknowns says what the replay could not know.
func unknowns(r replayed, recorded, checks int) []string {
	out := []string{"which candidates another incumbent would have led to: each is judged as it was measured"}
	if checks == 0 && r.FalseKeepRate > 0 {
		out = append(out, fmt.Sprintf("whether keeps are true: no run was repeated with a fresh seed, so %d stay provisional", r.Replayed.Provisional))
	}
	if n := len(r.Decisions); n < recorded {
		out = append(out, fmt.Sprintf("the %d after a baseline that failed", recorded-n))
	}
	return append(out, fmt.Sprintf("the noise: it starts from a standard deviation of %g (--prior-sd)", r.PriorStdDev))
}

// printReplay writes both verdicts side by side.
func (a *app) printReplay(r replayed) {
	s := a.styleOf(a.stdout)
	width, terminal := a.size(a.stdout)
	if !terminal {
		width = 1 << 20
	}
	const format = "%4s  %-8s  %-8s  %-12s  %8s  %8s  "
	a.line(s.paint(loud, s.clip(fmt.Sprintf(format, "#", "recorded", "replayed", "reason", "val_bpb", "needed")+"title", width)))
	for _, d := range r.Decisions {
		needed := "-"
		if d.Threshold != 0 {
			needed = fmt.Sprintf("%.4f", d.Threshold)
		}
		row := fmt.Sprintf(format, fmt.Sprint(d.Experiment), d.Recorded, d.Verdict, d.Reason, bpb(d.ValBpb), needed)
		a.line(s.paint(rowColor(d.Verdict), s.clip(row+s.printable(d.Title), width)))
	}
	a.line(fmt.Sprintf("recorded  %s", r.Recorded))
	a.line(fmt.Sprintf("replayed  %s, by %s", r.Replayed, r.Policy))
	a.line(fmt.Sprintf("same      %d of %d verdicts; noise %.4f in the end", r.Same, len(r.Decisions), r.Noise.StdDev))
	for _, u := range r.Unknown {
		a.note("not known: %s", u)
	}
}

func (t replayTotals) String() string {
	text := fmt.Sprintf("%d kept  %d discarded  %d crashed", t.Kept, t.Discarded, t.Crashed)
	if t.Checks > 0 {
		text += fmt.Sprintf("  %d checks: %d confirmed  %d rolled back", t.Checks, t.Confirmed, t.RolledBack)
	}
	return text + fmt.Sprintf("  best %s (#%d)", bpb(t.ValBpb), t.Best)
}

// tsvColumns are those of karpathy/autoresearch.
var tsvColumns = []string{"commit", "val_bpb", "memory_gb", "status", "description"}

// readTSV reads the results of somebody else's loop. A row whose status is crash,
// or whose score is 0 or no number, has no score.
func readTSV(in io.Reader) ([]experiment.Result, error) {
	at := map[string]int{}
	for i, name := range tsvColumns {
		at[name] = i
	}
	var out []experiment.Result
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		cells := strings.Split(strings.TrimRight(lines.Text(), "\r"), "\t")
		if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
			continue
		}
		if len(out) == 0 && slices.Contains(cells, "val_bpb") {
			clear(at)
			for i, name := range cells {
				at[name] = i
			}
			for _, name := range []string{"val_bpb", "status"} {
				if _, ok := at[name]; !ok {
					return nil, fmt.Errorf("line %d: the header has no column %s", n, name)
				}
			}
			continue
		}
		r, err := rowOf(cells, at, len(out))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("it has no rows")
	}
	return out, nil
}

// rowOf is experiment n.
func rowOf(cells []string, at map[string]int, n int) (experiment.Result, error) {
	cell := func(name string) string {
		if i, ok := at[name]; ok && i < len(cells) {
			return strings.TrimSpace(cells[i])
		}
		return ""
	}
	r := experiment.Result{Experiment: n, Sequence: n, Commit: cell("commit"), Title: cell("description"), Verdict: experiment.Verdict(cell("status"))}
	if r.Commit == "" {
		r.Commit = fmt.Sprintf("row-%d", n)
	}
	if r.Verdict != experiment.Keep && r.Verdict != experiment.Discard && r.Verdict != experiment.Crash {
		return r, fmt.Errorf("the status is %q: keep, discard or crash", r.Verdict)
	}
	val, err := strconv.ParseFloat(cell("val_bpb"), 64)
	m := experiment.Measurement{ValBpb: val}
	switch {
	case r.Verdict == experiment.Crash || err == nil && val == 0:
		m.ValBpb, m.Failure = 0, &experiment.Failure{Reason: experiment.RunFailed, Message: "recorded as a crash"}
	case err != nil:
		return r, fmt.Errorf("val_bpb is %q: a number", cell("val_bpb"))
	default:
		r.ValBpb = &m.ValBpb
	}
	r.Measurements = []experiment.Measurement{m}
	return r, nil
}
