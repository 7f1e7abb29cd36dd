package activities

import (
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// claimant is a campaign whose proposers say what the test says.
func claimant(t *testing.T) (r *Research, c experiment.Campaign, try func(n, revision int, value string) ApplyResult) {
	t.Helper()
	value := ""
	r = newResearch(t, newCheckout(t), answers(func(q proposer.Request) (proposer.Answer, error) { return lrAnswer(q, value), nil }))
	renewed := r.Proposers
	r.Proposers = func(name string) (proposer.Proposer, error) { // or a new revision would have the old change
		p, err := renewed(name)
		return renewer{p.(answers)}, err
	}
	c = prepared(t, r)
	baseline(t, r, c)
	return r, c, func(n, revision int, v string) ApplyResult {
		t.Helper()
		value = v
		in := onBase(c, n)
		in.Revision = revision
		must(t, r, r.Propose, in)
		return must(t, r, r.Apply, ApplyInput{Campaign: c, Number: n, Revision: revision, Parent: c.Base})
	}
}

func wantDuplicate(t *testing.T, got ApplyResult, of string) {
	t.Helper()
	switch {
	case of == "" && got.Failure != nil:
		t.Errorf("the candidate fails: %+v", got.Failure)
	case of != "" && (got.Failure == nil || got.Failure.Reason != experiment.Duplicate || !strings.Contains(got.Failure.Message, of)):
		t.Errorf("the candidate is %+v, %+v; want a duplicate of %s", got, got.Failure, of)
	}
}

// A program that an experiment gave up is free again, as often as that happens;
// one that it still has is not.
func TestClaimsOfRevisions(t *testing.T) {
	_, _, try := claimant(t)
	wantDuplicate(t, try(8, 0, "0.011"), "")
	wantDuplicate(t, try(9, 0, "0.011"), "experiment 8, which is running")
	wantDuplicate(t, try(8, 1, "0.012"), "")
	wantDuplicate(t, try(10, 0, "0.011"), "") // a claim after one that is void
	wantDuplicate(t, try(11, 0, "0.011"), "experiment 10, which is running")
	wantDuplicate(t, try(10, 1, "0.013"), "")
	wantDuplicate(t, try(10, 2, "0.011"), "") // its own, after two that are void
	wantDuplicate(t, try(12, 0, "0.011"), "experiment 10, which is running")
	wantDuplicate(t, try(10, 3, "0.011"), "") // the same again, on another parent say
	wantDuplicate(t, try(13, 0, "0.011"), "experiment 10, which is running")
	wantDuplicate(t, try(14, 0, "0.03"), "experiment 0 (keep, baseline, val_bpb 2.5050)")
}

// What a decision says about a program, and what it does not.
func TestClaimsOfDecisions(t *testing.T) {
	r, c, try := claimant(t)
	decide := func(n int, commit string, failure *experiment.Failure, scores ...float64) {
		t.Helper()
		in := DecideInput{Campaign: c, Number: n, Parent: c.Base, Commit: commit, Title: "x", Failure: failure, Measurements: measured(scores...)}
		must(t, r, r.Decide, in)
	}
	trained := try(1, 0, "0.011")
	decide(1, trained.Commit, nil, 2.9)
	wantDuplicate(t, try(21, 0, "0.011"), "experiment 1 (discard, worse, val_bpb 2.9000)")

	rejected := try(2, 0, "0.012")
	decide(2, rejected.Commit, &experiment.Failure{Reason: experiment.Rejected, Message: "rejected by a person"})
	wantDuplicate(t, try(22, 0, "0.012"), "")
	wantDuplicate(t, try(32, 0, "0.012"), "experiment 22, which is running")

	try(3, 0, "0.013")
	other := try(3, 1, "0.014")
	decide(3, other.Commit, nil, 2.8)
	wantDuplicate(t, try(23, 0, "0.013"), "")
	wantDuplicate(t, try(33, 0, "0.014"), "experiment 3 (discard, worse, val_bpb 2.8000)")

	infra := try(4, 0, "0.015")
	decide(4, infra.Commit, &experiment.Failure{Reason: experiment.Infra, Message: "the slot burned down"})
	wantDuplicate(t, try(24, 0, "0.015"), "")
	wantDuplicate(t, try(34, 0, "0.015"), "experiment 24, which is running")
}
