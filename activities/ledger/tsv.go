package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The columns of results/<tag>.tsv. The first five are Karpathy's, in his
// units and with his zeros for crashes, so that scripts written for his tables
// read ours; the others are ours, new ones at the end. Rows are in order of
// decision. The baseline is one row, whatever its runs.
var columns = []column{
	{"commit", func(r experiment.Result) string { return experiment.ShortCommit(r.Commit) }},
	{"val_bpb", func(r experiment.Result) string { return number(deref(r.ValBpb), 6) }},
	{"memory_gb", memory},
	{"status", status},
	{"description", func(r experiment.Result) string { return r.Title }},

	{"experiment", func(r experiment.Result) string { return strconv.Itoa(r.Experiment) }},
	{"parent", func(r experiment.Result) string { return experiment.ShortCommit(r.Parent) }},
	{"reason", func(r experiment.Result) string { return string(r.Reason) }},
	{"runs", func(r experiment.Result) string { return strconv.Itoa(len(r.Measurements)) }},
	{"charged_seconds", func(r experiment.Result) string { return number(r.ChargedSeconds, 1) }},
	{"wall_seconds", func(r experiment.Result) string { return number(r.WallSeconds, 1) }},
	{"tokens", func(r experiment.Result) string { return strconv.FormatInt(r.Tokens, 10) }},
	{"syntax_tokens", func(r experiment.Result) string { return strconv.Itoa(r.SyntaxTokens) }},
	{"proposer", func(r experiment.Result) string { return r.Proposer }},
	{"policy", func(r experiment.Result) string { return r.Policy }},
	{"threshold", func(r experiment.Result) string { return number(r.Threshold, 6) }},
	{"decided_at", func(r experiment.Result) string { return r.DecidedAt.UTC().Format("2006-01-02T15:04:05Z") }},
	{"message", func(r experiment.Result) string { return r.Message }},
	{"sequence", func(r experiment.Result) string { return strconv.Itoa(r.Sequence) }},
	{"prompt_tokens", func(r experiment.Result) string { return strconv.FormatInt(r.Spent.PromptTokens, 10) }},
	{"completion_tokens", func(r experiment.Result) string { return strconv.FormatInt(r.Spent.CompletionTokens, 10) }},
	{"cost_usd", func(r experiment.Result) string { return number(r.Spent.CostUSD, 6) }},

	// Of policies that confirm. What is confirmed is what was after this decision.
	{"check_of", ofCheck(func(c experiment.Check) string { return strconv.Itoa(c.Of) })},
	{"purpose", ofCheck(func(c experiment.Check) string { return string(c.Purpose) })},
	{"audit_bpb", audit},
	{"class", ofRun(func(m experiment.Measurement) string { return m.Class })},
	{"sandbox", ofRun(func(m experiment.Measurement) string { return m.Sandbox })},
	{"confirmed", ofConfirmed(func(in experiment.Incumbent) string { return strconv.Itoa(in.Experiment) })},
	{"confirmed_bpb", ofFresh(func(e experiment.Estimate) string { return number(e.ValBpb, 6) })},
	{"confirmed_low", ofFresh(func(e experiment.Estimate) string { return number(e.Low, 6) })},
	{"confirmed_high", ofFresh(func(e experiment.Estimate) string { return number(e.High, 6) })},
	{"confirmed_runs", ofFresh(func(e experiment.Estimate) string { return strconv.Itoa(e.Runs) })},
}

// status is the verdict. A check is none of a new candidate: whoever looks for
// the lowest score that was kept shall not find one run of an old one.
func status(r experiment.Result) string {
	if r.Check != nil {
		return "check"
	}
	return string(r.Verdict)
}

// What follows leaves a cell empty where there is nothing.

func ofCheck(f func(experiment.Check) string) func(experiment.Result) string {
	return func(r experiment.Result) string {
		if r.Check == nil {
			return ""
		}
		return f(*r.Check)
	}
}

func ofRun(f func(experiment.Measurement) string) func(experiment.Result) string {
	return func(r experiment.Result) string {
		if len(r.Measurements) == 0 {
			return ""
		}
		return f(r.Measurements[0])
	}
}

func ofConfirmed(f func(experiment.Incumbent) string) func(experiment.Result) string {
	return func(r experiment.Result) string {
		if in := Confirmed(r.Line); in != nil {
			return f(*in)
		}
		return ""
	}
}

func ofFresh(f func(experiment.Estimate) string) func(experiment.Result) string {
	return ofConfirmed(func(in experiment.Incumbent) string {
		if in.Fresh == nil {
			return ""
		}
		return f(*in.Fresh)
	})
}

// audit is the mean over the runs that were measured on the audit split.
func audit(r experiment.Result) string {
	sum, n := 0.0, 0
	for _, m := range r.Measurements {
		if m.Failure == nil && m.AuditBpb > 0 {
			sum, n = sum+m.AuditBpb, n+1
		}
	}
	if n == 0 {
		return ""
	}
	return number(sum/float64(n), 6)
}

type column struct {
	name string
	of   func(experiment.Result) string
}

// Table renders results as tab-separated values with a header. It is a pure
// function of them.
func Table(results []experiment.Result) []byte {
	table := header()
	for _, r := range results {
		table = appendRow(table, r)
	}
	return table
}

func header() []byte {
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	return []byte(strings.Join(names, "\t") + "\n")
}

func appendRow(table []byte, r experiment.Result) []byte {
	for i, c := range columns {
		if i > 0 {
			table = append(table, '\t')
		}
		table = append(table, clean(c.of(r))...)
	}
	return append(table, '\n')
}

// clean keeps a cell in its row and column.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// memory is the peak in units of 2^30 bytes, as in his tables; 0.0 for a crash.
func memory(r experiment.Result) string {
	if r.Verdict == experiment.Crash {
		return "0.0"
	}
	return number(float64(r.PeakBytes)/(1<<30), 1)
}

func number(v float64, digits int) string { return fmt.Sprintf("%.*f", digits, v) }

func deref(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
