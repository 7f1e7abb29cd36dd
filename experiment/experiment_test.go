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
		"all of a fleet":    {`{"tag":"mar5","cores":4,"proposer":"llm:3,hpo","approve":"reject","approve_within":"90m","parallel":8}`, ""},
		"approval off":      {`{"tag":"mar5","approve":"off","approve_within":0}`, ""},
		"most":              {`{"tag":"mar5","cores":1024,"parallel":64}`, ""},
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
		"negative cores":    {`{"tag":"a","cores":-1}`, "cores is -1: a training run has 1 to 1024 CPU cores"},
		"too many cores":    {`{"tag":"a","cores":1025}`, "cores is 1025"},
		"half a core":       {`{"tag":"a","cores":0.5}`, "cores is a number 0.5: it must be a whole number"},
		"negative slots":    {`{"tag":"a","parallel":-1}`, "parallel is -1: 1 to 64 training runs side by side"},
		"too many slots":    {`{"tag":"a","parallel":65}`, "parallel is 65"},
		"text for slots":    {`{"tag":"a","parallel":"all"}`, "parallel is a string: it must be a whole number"},
		"approve of course": {`{"tag":"a","approve":"yes"}`, `approve is "yes": it is off, accept or reject`},
		"approve true":      {`{"tag":"a","approve":true}`, "approve is a bool: it must be text"},
		"negative wait":     {`{"tag":"a","approve_within":"-1s"}`, "approve_within is -1s"},
		"endless wait":      {`{"tag":"a","approve_within":"2000h"}`, "approve_within is 2000h0m0s: a duration up to 1000h0m0s"},
		"wait in words":     {`{"tag":"a","approve_within":"soon"}`, `a duration is text such as "60s" or "8h", not "soon"`},
		"a share of 0":      {`{"tag":"a","proposer":"llm:0,hpo"}`, `proposer is "llm:0,hpo": the share of llm must be a number above 0`},
		"a list of mixes":   {`{"tag":"a","proposer":["llm","hpo"]}`, "proposer is an array: it must be text"},
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
	require.Empty(t, have.Conflict(Settings{Approval: Approval{Approve: ApproveReject, ApproveWithin: 1}, Limits: Limits{Parallel: 8}}))
	require.Empty(t, have.Conflict(have))
	require.Contains(t, have.Conflict(Settings{Budget: Duration(2 * time.Second)}), "budget is 1m0s there, not 2s")
	require.Contains(t, have.Conflict(Settings{Seeds: 1}), "seeds")
}

// Charged time is divided by the cores, so they are part of what a campaign is.
// Campaigns that were recorded without them take any.
func TestConflictOfCores(t *testing.T) {
	for _, c := range []struct {
		have, given int
		want        string
	}{
		{4, 4, ""}, {4, 0, ""}, {0, 2, ""}, {0, 0, ""},
		{4, 2, "cores is 4 there, not 2"},
	} {
		require.Equal(t, c.want, Settings{Cores: c.have}.Conflict(Settings{Cores: c.given}))
	}
	require.Equal(t, "proposer is llm there, not llm,hpo", Settings{Proposer: "llm"}.Conflict(Settings{Proposer: "llm,hpo"}))
}

func TestApproval(t *testing.T) {
	for approve, on := range map[string]bool{"": false, ApproveOff: false, ApproveAccept: true, ApproveReject: true} {
		a := Approval{Approve: approve}
		require.NoError(t, a.Validate())
		require.Equal(t, on, a.On(), approve)
		require.Equal(t, 30*time.Minute, a.Within())
	}
	require.Equal(t, 90*time.Second, Approval{ApproveWithin: Duration(90 * time.Second)}.Within())
	require.Equal(t, 1, Limits{}.Slots())
	require.Equal(t, 8, Limits{Parallel: 8}.Slots())
}

func TestSettingsRoundTrip(t *testing.T) {
	in := Settings{
		Tag: "mar5", Cores: 2, Dataset: "climbmix:4", Vocab: 1024, Proposer: "llm:3,hpo", Approval: Approval{Approve: ApproveAccept, ApproveWithin: Duration(time.Minute)},
		Limits: Limits{Experiments: 3, WallTime: Duration(time.Hour), Parallel: 4},
	}.WithDefaults()
	b, err := json.Marshal(in)
	require.NoError(t, err)
	var out Settings
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, in, out)
}

// Every field that marshals must be accepted again, or a campaign could not be
// started from the settings that it prints.
func TestEverySettingIsKnown(t *testing.T) {
	b, err := json.Marshal(Settings{
		Tag: "a", Device: CPU, Cores: 1, Dataset: ClimbMix, Vocab: 512, Approval: Approval{Approve: ApproveOff, ApproveWithin: 1},
		Limits: Limits{Experiments: 1, WallTime: 1, Plateau: 1, Parallel: 1, ConfirmShare: 0.5},
	}.WithDefaults())
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

func TestSlotTime(t *testing.T) {
	var slots SlotTime
	b, err := json.Marshal(slots)
	require.NoError(t, err)
	require.JSONEq(t, `{"busy_seconds":0,"idle_seconds":0,"busy_share":null}`, string(b))
	slots.Add(0, 0)
	require.Nil(t, slots.BusyShare, "nothing was measured")
	slots.Add(300, 1)
	slots.Add(297, 2)
	require.InDelta(t, 597.0/600, *slots.BusyShare, 1e-12)
	require.Equal(t, 597.0, slots.BusySeconds)
	before := slots
	slots.Add(0, 600)
	require.InDelta(t, 597.0/600, *before.BusyShare, 1e-12, "a copy changes with its original")
}

func TestSpent(t *testing.T) {
	spent := Spent{PromptTokens: 17_000, CompletionTokens: 900, CostUSD: 0.02}
	spent.Add(Spent{PromptTokens: 1000, CompletionTokens: 100, CostUSD: 0.005})
	require.Equal(t, int64(18_000), spent.PromptTokens)
	require.Equal(t, int64(1000), spent.CompletionTokens)
	require.InDelta(t, 0.025, spent.CostUSD, 1e-12)
	b, err := json.Marshal(Result{})
	require.NoError(t, err)
	require.NotContains(t, string(b), "spent", "an experiment that cost nothing says so in its record")
}

func TestBriefKnowsItsPlace(t *testing.T) {
	got := Result{Experiment: 7, Sequence: 5, Verdict: Discard, Reason: Rejected, Title: "idea"}.Brief()
	require.Equal(t, Brief{Experiment: 7, Sequence: 5, Verdict: Discard, Reason: Rejected, Title: "idea"}, got)
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

// A slot that waits now is not busy, though no training has measured that yet.
func TestSlotsThatWait(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var slots SlotTime
	slots.Add(300, 0)
	require.InDelta(t, 1, *slots.At(now).BusyShare, 1e-12, "none waits")
	slots.Free, slots.FreeSince = 2, now.Add(-50*time.Second)
	require.InDelta(t, 0.75, *slots.At(now).BusyShare, 1e-12)
	require.InDelta(t, 1, *slots.BusyShare, 1e-12, "what is measured stays")
}
