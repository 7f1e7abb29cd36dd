package activities

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The artifacts of a proposal, below <tag>/<number>/. A revision gives the
// experiment another parent, a round repairs what its proposer got wrong:
//
//	proposal-<revision>-<round>.json     the answer, stored before it is used
//	failure-<revision>-<round>.json      what is wrong with it, in full
//	apply-<revision>-<round>.json        what became of it; written last
//	note-<revision>-<round>-<name>       what its proposer keeps: see proposer.Notes
//	proposal.md candidate.patch *.log    the newest, for people
//
// A check has no proposal. Its apply-0-0.json is that of the candidate which it
// measures again, and it has
//
//	check.json                           what it measures; nothing else is run under its number
//
// and of the whole campaign, below <tag>/:
//
//	syntax/<digest>.json                 who came first with a program; -1, -2, ... when an earlier claim is void
//	ideas/<digest>.json                  a person's own proposal
//	program-<digest>.md                  a text that experiments name
//	program.md                           the text that set_program gave; empty when it was taken away

// kind is the first word of an artifact of a round.
type kind string

const (
	proposalKind kind = "proposal"
	failureKind  kind = "failure"
	applyKind    kind = "apply"
)

func roundKey(k kind, tag string, n, revision, round int) string {
	return experiment.Key(tag, n, fmt.Sprintf("%s-%d-%d.json", k, revision, round))
}

func proposalKey(tag string, n, revision, round int) string {
	return roundKey(proposalKind, tag, n, revision, round)
}

func failureKey(tag string, n, revision, round int) string {
	return roundKey(failureKind, tag, n, revision, round)
}

func applyKey(tag string, n, revision, round int) string {
	return roundKey(applyKind, tag, n, revision, round)
}

func noteKey(tag string, n, revision, round int, name string) string {
	return experiment.Key(tag, n, fmt.Sprintf("note-%d-%d-%s", revision, round, name))
}

// claimKey is the claim to a program, after so many earlier ones that are void.
func claimKey(tag, digest string, void int) string {
	if void > 0 {
		digest += fmt.Sprintf("-%d", void)
	}
	return experiment.CampaignKey(tag, "syntax/"+digest+".json")
}

func ideaKey(tag, digest string) string { return experiment.CampaignKey(tag, "ideas/"+digest+".json") }

// parseRound reads the name of an artifact of a round, without its directory.
func parseRound(k kind, name string) (revision, round int, ok bool) {
	rest, isKind := strings.CutPrefix(name, string(k)+"-")
	rest, isJSON := strings.CutSuffix(rest, ".json")
	a, b, two := strings.Cut(rest, "-")
	revision, errA := strconv.Atoi(a)
	round, errB := strconv.Atoi(b)
	ok = isKind && isJSON && two && errA == nil && errB == nil && revision >= 0 && round >= 0
	return revision, round, ok
}
