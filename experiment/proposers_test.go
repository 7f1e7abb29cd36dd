package experiment

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseProposers(t *testing.T) {
	for text, want := range map[string][]Share{
		"hpo":                   {{"hpo", 1}},
		"llm,hpo":               {{"llm", 1}, {"hpo", 1}},
		"llm:3,hpo":             {{"llm", 3}, {"hpo", 1}},
		" llm : 0.75 , hpo:.25": {{"llm", 0.75}, {"hpo", 0.25}},
		"my_own-2:1e6":          {{"my_own-2", 1e6}},
	} {
		got, err := ParseProposers(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.NoError(t, Settings{Tag: "a", Proposer: text}.Validate(), text)
	}
	for text, want := range map[string]string{
		"":                         "a name such as hpo, or several with shares such as llm:3,hpo:1",
		",":                        "a name such as hpo",
		"llm,":                     "a name such as hpo",
		",hpo":                     "a name such as hpo",
		"llm;hpo":                  "a name such as hpo",
		"llm hpo":                  "a name such as hpo",
		"LLM":                      "a name such as hpo",
		"../etc":                   "a name such as hpo",
		"llm\nhpo":                 "a name such as hpo",
		"3":                        "a name such as hpo",
		":3":                       "a name such as hpo",
		"person":                   "a name such as hpo", // who sends ideas, and has no share
		"llm,person:2":             "a name such as hpo",
		strings.Repeat("x", 33):    "a name such as hpo",
		"llm:":                     "the share of llm must be a number above 0",
		"llm:x":                    "the share of llm must be a number above 0",
		"llm:3:1":                  "the share of llm must be a number above 0",
		"hpo,llm:0":                "the share of llm must be a number above 0",
		"llm:-1":                   "the share of llm must be a number above 0",
		"llm:NaN":                  "the share of llm must be a number above 0",
		"llm:Inf":                  "the share of llm must be a number above 0",
		"llm:1e7":                  "the share of llm must be a number above 0",
		"llm:3%":                   "the share of llm must be a number above 0",
		"llm,hpo,llm:2":            "llm stands there twice",
		strings.Repeat("x,", 5000): "x stands there twice",
	} {
		_, err := ParseProposers(text)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "proposer is ", text)
		require.Less(t, len(err.Error()), 250)
	}
}

// Over any stretch of experiments, wherever it begins, each proposer gets its
// share but for less than one experiment at either end.
func TestProposerOfKeepsTheShares(t *testing.T) {
	for _, text := range []string{"hpo", "llm,hpo", "llm:3,hpo", "llm:0.1,hpo:0.2", "a:1,b:2,c:4", "a:7,b:3,c:3,d:1", "a:1000,b:1", "a:0.37,b:0.63,c:0.11", "a,b,c,d,e,f,g"} {
		shares, err := ParseProposers(text)
		require.NoError(t, err)
		var total float64
		for _, s := range shares {
			total += s.Weight
		}
		const most = 1200
		counts := make([]map[string]int, most+1)
		counts[0] = map[string]int{}
		for n := 1; n <= most; n++ {
			counts[n] = map[string]int{ProposerOf(shares, n): 1}
			for who, k := range counts[n-1] {
				counts[n][who] += k
			}
		}
		for _, s := range shares {
			for n := range most + 1 {
				expected := float64(n) * s.Weight / total
				require.Less(t, math.Abs(float64(counts[n][s.Proposer])-expected), 1.0, "%s: %s in the first %d", text, s.Proposer, n)
			}
		}
	}
}

// Whole numbers of shares come back exactly in each round of as many
// experiments as they add up to.
func TestProposerOfIsExactOverARound(t *testing.T) {
	shares, err := ParseProposers("llm:3,hpo:2,script")
	require.NoError(t, err)
	for start := 1; start < 40; start++ {
		count := map[string]int{}
		for n := start; n < start+6; n++ {
			count[ProposerOf(shares, n)]++
		}
		require.Equal(t, map[string]int{"llm": 3, "hpo": 2, "script": 1}, count, "from experiment %d", start)
	}
}

// A campaign goes on, on another machine or under a later version, with the
// turns that it began with.
func TestProposerOfIsStable(t *testing.T) {
	for text, want := range map[string]string{
		"llm,hpo":         "llm hpo llm hpo llm hpo llm hpo",
		"llm:3,hpo":       "llm llm hpo llm llm llm hpo llm",
		"llm:0.3,hpo:0.1": "llm llm hpo llm llm llm hpo llm",
		"hpo:1,llm:3":     "llm hpo llm llm llm hpo llm llm",
		"a:5,b,c":         "a a b a c a a a",
	} {
		shares, err := ParseProposers(text)
		require.NoError(t, err)
		var got []string
		for n := 1; n <= 8; n++ {
			got = append(got, ProposerOf(shares, n))
		}
		require.Equal(t, want, strings.Join(got, " "), text)
		require.Equal(t, got[0], ProposerOf(shares, 0), "the baseline has no proposer; a name comes back all the same")
	}
}
