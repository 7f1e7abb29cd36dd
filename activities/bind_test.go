package activities

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// putFile stores an artifact of an experiment and returns its digest.
func putFile(t *testing.T, r *Research, n int, name, text string) string {
	t.Helper()
	if err := putText(t.Context(), r.Store, experiment.Key("mar5", n, name), []byte(text)); err != nil {
		t.Fatal(err)
	}
	return digestOf([]byte(text))
}

func fileDigest(t *testing.T, r *Research, key string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Home.Artifacts(), key))
	if err != nil {
		t.Fatal(err)
	}
	return digestOf(b)
}

// A decision binds the decision before it and what it rests on, as stored.
func TestDecideBinds(t *testing.T) {
	r, _, in := oneExperiment(t)
	records := map[string]string{
		"run-0.json":      putFile(t, r, 1, "run-0.json", `{"source":"`+strings.Repeat("ab", 32)+`"}`),
		"evaluation.json": putFile(t, r, 1, "evaluation.json", `{"measurement":{"val_bpb":2.2}}`),
	}
	must(t, r, r.Decide, in)
	base, err := r.Ledger.Decided(t.Context(), "mar5", 0)
	if err != nil {
		t.Fatal(err)
	}
	one, err := r.Ledger.Decided(t.Context(), "mar5", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"the baseline's previous", base.Previous, fileDigest(t, r, "mar5/campaign.json")},
		{"the baseline's patch", base.Patch, ""},
		{"the baseline's proposal", base.Proposed, ""},
		{"the baseline's source", base.Source, in.Campaign.Evaluator},
		{"evaluator", one.Evaluator, in.Campaign.Evaluator},
		{"previous", one.Previous, fileDigest(t, r, "mar5/0000/result.json")},
		{"patch", one.Patch, fileDigest(t, r, "mar5/0001/candidate.patch")},
		{"proposal", one.Proposed, fileDigest(t, r, "mar5/0001/proposal-0-0.json")},
		{"source", one.Source, strings.Repeat("ab", 32)},
		{"records", asJSON(t, one.Records), asJSON(t, records)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
		}
	}
}

// Of a revised and repaired proposal, and of a run that was trained again, the
// last counts. Without a commit the patch is that of an earlier round.
func TestBindTakesTheLast(t *testing.T) {
	r, _, in := oneExperiment(t)
	var want [3]string
	for _, name := range []string{"proposal-0-2.json", "proposal-1-0.json", "run-0.json", "run-0-rev-1.json", "evaluation.json"} {
		putFile(t, r, 1, name, "{}")
	}
	for i, name := range []string{"proposal-1-1.json", "run-0-rev-1-again-1.json", "evaluation-rev-1.json"} {
		want[i] = putFile(t, r, 1, name, `{"source":"`+name+`"}`)
	}
	in.Commit = ""
	must(t, r, r.Decide, in)
	got, err := r.Ledger.Decided(t.Context(), "mar5", 1)
	if err != nil {
		t.Fatal(err)
	}
	if got.Proposed != want[0] || got.Patch != "" || len(got.Records) != 2 || got.Records["run-0-rev-1-again-1.json"] != want[1] ||
		got.Records["evaluation-rev-1.json"] != want[2] || got.Source != "run-0-rev-1-again-1.json" {
		t.Errorf("bound %s", asJSON(t, got))
	}
}

// A ledger of a version without a chain goes on: the first chained decision
// binds the last unchained one.
func TestBindAfterAnOldLedger(t *testing.T) {
	r, dir, in := oneExperiment(t)
	key := "mar5/0000/result.json"
	old, err := r.Ledger.Decided(t.Context(), "mar5", 0)
	if err != nil {
		t.Fatal(err)
	}
	old.Previous, old.Evaluator, old.Source = "", "", ""
	putFile(t, r, 0, "result.json", asJSON(t, old))
	r = newResearch(t, dir, nil)
	must(t, r, r.Decide, in)
	if got, err := r.Ledger.Decided(t.Context(), "mar5", 1); err != nil || got.Previous != fileDigest(t, r, key) {
		t.Errorf("experiment 1 binds %v, %v", got, err)
	}
	if notices, err := r.Ledger.Repair(t.Context(), "mar5"); err != nil || len(notices) > 0 {
		t.Errorf("Repair = %q, %v", notices, err)
	}
}
