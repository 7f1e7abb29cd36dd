package experiment

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Share is a proposer and its share of a campaign's experiments.
type Share struct {
	Proposer string
	Weight   float64 // relative to the others
}

// Person names the proposer of an idea that somebody sent.
const Person = "person"

var proposerPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// ParseProposers reads the setting "proposer": one name, or several with their
// shares, such as "llm,hpo" (half each) or "llm:3,hpo" (three of four).
func ParseProposers(text string) ([]Share, error) {
	var shares []Share
	for part := range strings.SplitSeq(text, ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(part), ":")
		s := Share{Proposer: strings.TrimSpace(name), Weight: 1}
		if !proposerPattern.MatchString(s.Proposer) || s.Proposer == Person {
			return nil, fmt.Errorf("proposer is %.80q: a name such as hpo, or several with shares such as llm:3,hpo:1", text)
		}
		if weighted {
			v, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
			if err != nil || !(v > 0 && v <= 1e6) {
				return nil, fmt.Errorf("proposer is %.80q: the share of %s must be a number above 0", text, s.Proposer)
			}
			s.Weight = v
		}
		for _, other := range shares {
			if other.Proposer == s.Proposer {
				return nil, fmt.Errorf("proposer is %.80q: %s stands there twice", text, s.Proposer)
			}
		}
		shares = append(shares, s)
	}
	return shares, nil
}

// ProposerOf says whose turn experiment n is. Over any stretch of experiments
// each proposer comes as close to its share as whole numbers allow (smooth
// weighted round robin), and nothing but the shares and n decides.
func ProposerOf(shares []Share, n int) string {
	credit := make([]float64, len(shares))
	var total float64
	for _, s := range shares {
		total += s.Weight
	}
	chosen := 0
	for range max(1, n) {
		chosen = 0
		for i, s := range shares {
			credit[i] += s.Weight
			if credit[i] > credit[chosen]+1e-9*total {
				chosen = i
			}
		}
		credit[chosen] -= total
	}
	return shares[chosen].Proposer
}
