package activities

import (
	"path"
	"testing"
)

func TestRoundNames(t *testing.T) {
	for _, k := range []kind{proposalKind, failureKind, applyKind} {
		for _, at := range [][2]int{{0, 0}, {0, 2}, {12, 1}} {
			name := path.Base(roundKey(k, "mar5", 7, at[0], at[1]))
			if revision, round, ok := parseRound(k, name); !ok || revision != at[0] || round != at[1] {
				t.Errorf("%s is revision %d, round %d, %v", name, revision, round, ok)
			}
		}
	}
	for _, name := range []string{"proposal.md", "proposal-1.json", "proposal-0-0", "proposal-a-0.json", "proposal-0-0-0.json", "proposal--1-0.json", "failure-0-0.json", "note-0-0-call.json"} {
		if _, _, ok := parseRound(proposalKind, name); ok {
			t.Errorf("%s passes as a proposal", name)
		}
	}
}
