package experiment

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
)

// tagPattern keeps a tag valid as a file name, a git ref component and a
// workflow id at once.
var tagPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// ValidateTag says what is wrong with a campaign tag.
func ValidateTag(tag string) error {
	switch {
	case tag == "":
		return fmt.Errorf("tag is empty: give the campaign a name such as mar5")
	case !tagPattern.MatchString(tag):
		const shown = 80 // somebody may have given a file
		return fmt.Errorf("tag %.*q is not usable: letters, digits, '-' and '_' only, at most 64, starting with a letter or digit", shown, tag)
	}
	return nil
}

// ResearchID is the workflow id of a campaign.
func ResearchID(tag string) string { return "research-" + tag }

// ExperimentID is the workflow id of experiment n of a campaign.
func ExperimentID(tag string, n int) string { return fmt.Sprintf("research-%s-%04d", tag, n) }

// TagOf returns the tag in a campaign's workflow id.
func TagOf(researchID string) (string, bool) { return strings.CutPrefix(researchID, "research-") }

// Branch is the name of the branch that holds a campaign's incumbent line.
func Branch(tag string) string { return "autoresearch/" + tag }

// CandidateRef is the git ref that keeps the candidate of experiment n.
func CandidateRef(tag string, n int) string { return fmt.Sprintf("refs/experiments/%s/%04d", tag, n) }

// ShortCommit is the form of a commit that people read.
func ShortCommit(commit string) string {
	if len(commit) > 7 {
		return commit[:7]
	}
	return commit
}

// seedShift leaves 53 bits: a seed that passes through a tool that reads JSON
// numbers as floating point, as browsers do, stays the same seed.
const seedShift = 11

// Seed derives the seed of run k of experiment n from the campaign's seed: no
// two runs share one, and the same campaign always gives the same.
func Seed(campaign uint64, n, k int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%d/%d", campaign, n, k)
	return h.Sum64() >> seedShift
}

// seedOfTag is a campaign's root seed when none is given: two campaigns differ,
// and starting the same one again gives the same random choices.
func seedOfTag(tag string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(tag))
	return h.Sum64()>>seedShift | 1
}
