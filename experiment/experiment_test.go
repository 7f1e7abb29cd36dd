package experiment

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSettingsFromJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want string // text in the refusal; "" when valid
	}{
		"tag alone":         {`{"tag":"mar5"}`, ""},
		"all":               {`{"tag":"mar5","target":"gogpt","budget":"2s","seeds":1,"seed":7,"proposer":"hpo","policy":"threshold/1","experiments":3,"wall_time":"8h","plateau":20}`, ""},
		"seconds as number": {`{"tag":"mar5","budget":2.5}`, ""},
		"unknown field":     {`{"tag":"mar5","experimnets":3}`, `unknown settings field "experimnets"`},
		"empty tag":         {`{}`, "tag is empty"},
		"spaces":            {`{"tag":"mar 5"}`, "tag \"mar 5\" is not usable"},
		"dots":              {`{"tag":".."}`, "not usable"},
		"slash":             {`{"tag":"a/b"}`, "not usable"},
		"newline":           {`{"tag":"a\n"}`, "not usable"},
		"long":              {`{"tag":"` + strings.Repeat("x", 65) + `"}`, "not usable"},
		"negative budget":   {`{"tag":"a","budget":"-2s"}`, "budget is -2s"},
		"number for a tag":  {`{"tag":5}`, "tag is a number: it must be text"},
		"text for a number": {`{"tag":"a","seeds":"three"}`, "seeds is a string: it must be a whole number"},
		"half a seed":       {`{"tag":"a","seeds":1.5}`, "seeds is a number 1.5: it must be a whole number"},
		"text for a limit":  {`{"tag":"a","experiments":"3"}`, "experiments is a string: it must be a whole number"},
		"negative seed":     {`{"tag":"a","seed":-1}`, "seed is a number -1: it must be a whole number that is not negative"},
		"no duration":       {`{"tag":"a","budget":"soon"}`, `a duration is text such as "60s" or "8h", not "soon"`},
		"endless seconds":   {`{"tag":"a","budget":1e300}`, "a duration of 1e300 seconds is too long"},
		"only text":         {`"mar5"`, `the settings are string: they must be an object such as {"tag":"mar5"}`},
		"a list":            {`[1,2]`, "the settings are array"},
		"endless budget":    {`{"tag":"a","budget":"2000h"}`, "budget is 2000h0m0s: at most 1000h0m0s"},
		"tag that is text":  {`{"tag":"` + strings.Repeat("x", 5000) + `"}`, `tag "` + strings.Repeat("x", 80) + `" is not usable`},
		"tiny budget":       {`{"tag":"a","budget":"1ms"}`, "at least 100ms"},
		"negative count":    {`{"tag":"a","experiments":-1}`, "experiments is -1"},
		"negative wall":     {`{"tag":"a","wall_time":"-1h"}`, "wall_time is"},
		"negative plateau":  {`{"tag":"a","plateau":-3}`, "plateau is -3"},
		"seeds":             {`{"tag":"a","seeds":101}`, "seeds is 101"},
		"seed":              {`{"tag":"a","seed":9007199254740993}`, "seed is 9007199254740993"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Settings
			require.NoError(t, json.Unmarshal([]byte(tc.in), &s))
			err := s.Validate()
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestDefaultsAreStable(t *testing.T) {
	a, b := Settings{Tag: "mar5"}.WithDefaults(), Settings{Tag: "mar5"}.WithDefaults()
	require.Equal(t, a, b)
	require.NoError(t, a.Validate())
	require.Equal(t, Duration(time.Minute), a.Budget)
	require.Equal(t, 3, a.Seeds)
	require.NotEqual(t, a.Seed, Settings{Tag: "mar6"}.WithDefaults().Seed)
}

func TestConflictIgnoresLimits(t *testing.T) {
	have := Settings{Tag: "mar5"}.WithDefaults()
	require.Empty(t, have.Conflict(Settings{Tag: "mar5", Limits: Limits{Experiments: 9}}))
	require.Empty(t, have.Conflict(have))
	require.Contains(t, have.Conflict(Settings{Budget: Duration(2 * time.Second)}), "budget is 1m0s there, not 2s")
	require.Contains(t, have.Conflict(Settings{Seeds: 1}), "seeds")
}

func TestSettingsRoundTrip(t *testing.T) {
	in := Settings{Tag: "mar5", Limits: Limits{Experiments: 3, WallTime: Duration(time.Hour)}}.WithDefaults()
	b, err := json.Marshal(in)
	require.NoError(t, err)
	var out Settings
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, in, out)
}

// Every field that marshals must be accepted again, or a campaign could not be
// started from the settings that it prints.
func TestEverySettingIsKnown(t *testing.T) {
	b, err := json.Marshal(Settings{Tag: "a", Limits: Limits{Experiments: 1, WallTime: 1, Plateau: 1}}.WithDefaults())
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(b, &fields))
	require.Len(t, fields, len(settingsFields))
	for name := range fields {
		require.True(t, known(name), name)
	}
}

func TestSeedsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for n := range 50 {
		for k := range 5 {
			s := Seed(42, n, k)
			require.False(t, seen[s])
			require.Less(t, s, uint64(1)<<53)
			seen[s] = true
		}
	}
}

func TestTally(t *testing.T) {
	var tally Tally
	for _, v := range []Verdict{Discard, Keep, Crash, Discard} {
		tally.Add(v)
	}
	require.Equal(t, Tally{Experiments: 4, Kept: 1, Discarded: 2, Crashed: 1, SinceKeep: 2}, tally)
}

func TestIDs(t *testing.T) {
	require.Equal(t, "research-mar5-0007", ExperimentID("mar5", 7))
	tag, ok := TagOf(ResearchID("mar5"))
	require.True(t, ok)
	require.Equal(t, "mar5", tag)
	_, ok = TagOf("other")
	require.False(t, ok)
}

func TestProposalMarkdownShowsTheEdit(t *testing.T) {
	md := Proposal{Title: "raise LR", Proposer: "hpo", Parent: "0123456789", Edits: []Edit{{Path: "trainer/train.go", Search: "LR = 1", Replace: "LR = 2"}}}.Markdown()
	require.Contains(t, md, "# raise LR")
	require.Contains(t, md, "<<<<<<< SEARCH\nLR = 1\n=======\nLR = 2\n>>>>>>> REPLACE")
}
