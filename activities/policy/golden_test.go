package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

var update = flag.Bool("update", false, "rewrite the golden traces")

// trace is a whole campaign: the baseline's runs, then one line an experiment.
type trace struct {
	name, about string
	prior       float64
	results     []experiment.Result
	policy      Policy // nil is threshold/1
}

func (tr trace) judge() Policy {
	if tr.policy == nil {
		return Threshold{}
	}
	return tr.policy
}

// ran is an experiment with these scores; fell is one that got no candidate.
func ran(title string, tokens int, scores ...float64) experiment.Result {
	r := experiment.Result{Title: title, SyntaxTokens: tokens}
	for i, s := range scores {
		r.Measurements = append(r.Measurements, experiment.Measurement{Seed: uint64(i), ValBpb: s})
	}
	return r
}

func fell(title string, reason experiment.Reason, message string) experiment.Result {
	return experiment.Result{Title: title, Reason: reason, Message: message}
}

// broke is an experiment whose last run failed.
func broke(title string, reason experiment.Reason, message string, scores ...float64) experiment.Result {
	r := ran(title, 1000, append(scores, 0)...)
	r.Measurements[len(scores)].Failure = &experiment.Failure{Reason: reason, Message: message}
	return r
}

// made is experiment n, a change to the candidate of experiment parent.
func made(n, parent int, r experiment.Result) experiment.Result {
	r.Experiment, r.Parent = n, fmt.Sprintf("c%d", parent)
	return r
}

var thresholdTraces = []trace{
	{"ordinary", "an ordinary evening on a CPU: gains, near misses, losses", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5743, 2.5612, 2.5898),
		ran("raise MatrixLR from 0.02 to 0.031", 1000, 2.5132),
		ran("halve BatchSize from 8 to 4", 1000, 2.4701),
		ran("widen the MLP", 1010, 2.4519),
		ran("double Depth from 2 to 4", 1000, 2.6120),
		fell("raise MatrixLR from 0.02 to 0.031", experiment.Duplicate, "the same program as experiment 1"),
		ran("lower Warmup from 0.05 to 0.01", 1000, 2.4090),
		ran("switch Window from SSSL to SL", 1000, 2.4090),
	}, nil},
	{"failures", "every way to fail, and a campaign that goes on", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.58, 2.57, 2.59),
		fell("a typing error", experiment.InvalidEdit, "train.go: the search text does not stand in the file"),
		fell("an unknown name", experiment.BuildFailed, "train.go:31: undefined: Dept"),
		fell("a look ahead", experiment.NotCausal, "the logits at position 3 depend on token 4"),
		fell("a custom op", experiment.NotExportable, "op 17 is custom"),
		broke("a huge model", experiment.OOM, "killed at 4.0 GiB"),
		broke("a learning rate of 10", experiment.NaN, "loss is NaN at step 12"),
		broke("an endless loop", experiment.Timeout, "no step for 60 s"),
		broke("a hopeless start", experiment.KilledEarly, "far above the incumbent's curve at half time"),
		broke("a changed evaluator", experiment.Tampered, "the evaluator's digest differs"),
		broke("an index out of range", experiment.RunFailed, "exit status 2"),
		broke("a lost disk", experiment.Infra, "the artifact store did not answer"),
		fell("a candidate that a person rejected", experiment.Rejected, "the loss is a copy of the one in experiment 3"),
		broke("the second of two runs fails", experiment.OOM, "killed at 4.0 GiB", 2.31),
		ran("a score that is no number", 1000, nan),
		ran("no runs at all", 1000),
		fell("a failure without words", "", ""),
		ran("a good one", 1000, 2.41),
	}, nil},
	{"simpler", "simplifications: each may cost a quarter of the noise, all together one noise unit", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.5, 2.5, 2.5),
		ran("0.9 % fewer tokens are too few", 991, 2.5),
		ran("1 % fewer tokens at equal score", 990, 2.5),
		ran("a loss of more than a quarter of the noise", 900, 2.506),
		ran("a loss below a quarter", 900, 2.504),
		ran("another", 850, 2.508),
		ran("another", 800, 2.512),
		ran("another", 750, 2.516),
		ran("one too many: more than one noise unit in all", 700, 2.520),
		ran("a gain inside the noise gives nothing away", 700, 2.510),
		ran("and gives nothing back", 650, 2.514),
		ran("an improvement starts the count again", 700, 2.40),
		ran("so this may cost a quarter again", 600, 2.404),
		ran("much simpler and much worse", 100, 2.6),
	}, nil},
	{"confirmed", "several runs of a candidate: a smaller threshold, and a better estimate of the noise", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.46, 2.52, 2.58, 2.44, 2.55),
		ran("one run is not enough for this gain", 1000, 2.44),
		ran("the same gain over three runs is", 1000, 2.44, 2.46, 2.42),
		ran("five runs, no gain", 1000, 2.45, 2.43, 2.44, 2.46, 2.42),
		ran("five runs, clearly better", 1000, 2.35, 2.36, 2.34, 2.35, 2.36),
	}, nil},
	{"gpu", "a GPU with little noise and one baseline run: more decimals", 0.0005, []experiment.Result{
		ran("baseline", 4000, 0.997900),
		ran("halve batch 524K to 262K", 4000, 0.986041),
		ran("depth 9 aspect_ratio 57", 4000, 0.981773),
		ran("add 5% warmup", 4010, 0.982603),
		ran("warmdown 0.5 to 0.7", 4000, 0.981201),
		ran("depth 10 aspect 51", 4000, 0.984340),
		ran("drop the gate", 3800, 0.981700),
	}, nil},
	{"parallel", "four slots: experiments are decided in another order than they began, some from an incumbent that is none any more", 0.02, []experiment.Result{
		ran("baseline", 1000, 2.58, 2.57, 2.59),
		made(2, 0, ran("halve BatchSize from 8 to 4", 1000, 2.51)),
		made(1, 0, ran("a gain over its parent that is none over the incumbent", 1000, 2.53)),
		made(4, 0, ran("a better score than the incumbent's, from a stale parent", 1000, 2.44)),
		made(3, 0, fell("the same program as its neighbour", experiment.Duplicate, "the same program as experiment 4")),
		made(7, 2, fell("not worth a slot", experiment.Rejected, "nobody answered within 30m")),
		made(6, 2, ran("as good as the incumbent and simpler, from a stale parent", 980, 2.443)),
		made(9, 4, broke("a crash on a stale parent", experiment.NaN, "loss is NaN at step 12")),
		made(8, 4, ran("as good as the incumbent and simpler, a change to it", 980, 2.443)),
		made(10, 8, ran("a gain on the incumbent", 980, 2.37)),
	}, nil},
	{"stillborn", "a baseline that fails ends the campaign before it starts", 0.02, []experiment.Result{
		broke("baseline", experiment.Timeout, "no step for 60 s", 2.58, 2.57),
		ran("never decided", 1000, 2.0),
	}, nil},
}

var traces = append(thresholdTraces, confirmTraces...)

func (tr trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\npolicy %s, prior sd %g\n\n", tr.about, tr.judge().Name(), tr.prior)
	results := numbered(tr.results)
	for i, d := range Replay(tr.judge(), tr.prior, results) {
		r, from := results[i], ""
		if r.Parent != "" {
			from = ", a change to " + r.Parent
		}
		fmt.Fprintf(&b, "%2d  %s%s\n    %s, %s: %s\n", r.Experiment, r.Title, from, d.Verdict, d.Reason, d.Message)
		fmt.Fprintf(&b, "    val_bpb %s, threshold %.6f | incumbent %d: %.6f, %d runs, %d tokens, given away %.6f | noise %.6f, dof %g\n",
			shown(d.ValBpb), d.Threshold, d.Incumbent.Experiment, d.Incumbent.ValBpb, d.Incumbent.Runs, d.Incumbent.SyntaxTokens,
			d.Incumbent.GivenAway, d.Noise.StdDev, d.Noise.DoF)
		b.WriteString(confirming(d))
	}
	return b.String()
}

// numbered fills in what a ledger would have: the order of a trace is the order
// of decision, and that of the numbers where it says nothing else.
func numbered(results []experiment.Result) []experiment.Result {
	results = slices.Clone(results)
	for i := range results {
		r := &results[i]
		if r.Sequence = i; r.Experiment == 0 {
			r.Experiment = i
		}
		r.Commit = fmt.Sprintf("c%d", r.Experiment)
		if r.Check != nil {
			r.Commit = fmt.Sprintf("c%d", r.Check.Of)
		}
	}
	return results
}

func shown(v *float64) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprintf("%.6f", *v)
}

func TestGoldenTraces(t *testing.T) {
	for _, tr := range traces {
		t.Run(tr.name, func(t *testing.T) {
			path, got := filepath.Join("testdata", tr.name+".golden"), tr.String()
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; go test -update rewrites it\ngot:\n%s\nwant:\n%s", path, got, want)
			}
		})
	}
}

func TestTracesCoverEveryReason(t *testing.T) {
	seen := map[experiment.Reason]bool{}
	for _, tr := range traces {
		for _, d := range Replay(tr.judge(), tr.prior, numbered(tr.results)) {
			seen[d.Reason] = true
		}
	}
	for _, r := range []experiment.Reason{
		experiment.Baseline, experiment.Improved, experiment.Simpler, experiment.Worse, experiment.WithinNoise, experiment.Duplicate, experiment.Rejected,
		experiment.InvalidEdit, experiment.BuildFailed, experiment.NotCausal, experiment.NotExportable, experiment.OOM, experiment.NaN,
		experiment.Timeout, experiment.KilledEarly, experiment.Tampered, experiment.RunFailed, experiment.Infra,
		experiment.Confirmed, experiment.Unresolved, experiment.Refuted, experiment.Steady, experiment.Drifted,
	} {
		if !seen[r] {
			t.Errorf("no golden trace shows the reason %s", r)
		}
	}
}
