package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestPlan(t *testing.T) {
	recorded := experiment.Settings{Tag: "mar5", Limits: experiment.Limits{Experiments: 10}}.WithDefaults()
	open := &execution{open: true, state: "running"}
	complete := &execution{state: "completed"}
	ten := experiment.Tally{Experiments: 10, SinceKeep: 4}
	more := func(n int) experiment.Settings {
		return experiment.Settings{Tag: "mar5", Limits: experiment.Limits{Experiments: n}}
	}
	for name, c := range map[string]struct {
		given experiment.Settings
		g     given
		k     known
		want  action
		limit int // of the settings to start with
	}{
		"nothing is known":                    {more(3), given{experiments: true}, known{}, begin, 3},
		"started this moment":                 {more(0), given{}, known{workflow: open}, attach, 0},
		"failed before it was recorded":       {more(0), given{}, known{workflow: &execution{state: "failed"}}, begin, 0},
		"it runs":                             {more(0), given{}, known{recorded: &recorded, workflow: open}, attach, 10},
		"it runs, larger limit":               {more(20), given{experiments: true}, known{recorded: &recorded, workflow: open}, attach, 20},
		"complete":                            {more(0), given{}, known{recorded: &recorded, tally: ten, workflow: complete}, finished, 10},
		"complete, the same command again":    {more(10), given{experiments: true}, known{recorded: &recorded, tally: ten, workflow: complete}, finished, 10},
		"complete, smaller limit":             {more(5), given{experiments: true}, known{recorded: &recorded, tally: ten, workflow: complete}, finished, 5},
		"complete, larger limit":              {more(20), given{experiments: true}, known{recorded: &recorded, tally: ten, workflow: complete}, goOn, 20},
		"complete, no limit from now on":      {more(0), given{experiments: true}, known{recorded: &recorded, tally: ten, workflow: complete}, goOn, 0},
		"stopped, the same command again":     {more(10), given{experiments: true}, known{recorded: &recorded, tally: experiment.Tally{Experiments: 4}, workflow: complete}, goOn, 10},
		"failed":                              {more(0), given{}, known{recorded: &recorded, workflow: &execution{state: "failed"}}, goOn, 10},
		"temporal lost it":                    {more(0), given{}, known{recorded: &recorded, tally: experiment.Tally{Experiments: 4}}, goOn, 10},
		"temporal lost it, but it is through": {more(0), given{}, known{recorded: &recorded, tally: ten}, finished, 10},
		"temporal lost it before the checks":  {more(0), given{}, known{recorded: &recorded, tally: ten, checks: true}, goOn, 10},
	} {
		t.Run(name, func(t *testing.T) {
			got, settings, err := plan(c.given, c.g, c.k)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			require.Equal(t, c.limit, settings.Experiments)
			require.NoError(t, settings.Validate())
		})
	}
}

func TestPlanRefusesOtherSettings(t *testing.T) {
	recorded := experiment.Settings{Tag: "mar5"}.WithDefaults()
	for name, other := range map[string]experiment.Settings{
		"budget": {Tag: "mar5", Budget: experiment.Duration(time.Second)},
		"seeds":  {Tag: "mar5", Seeds: 5},
		"seed":   {Tag: "mar5", Seed: 99},
	} {
		_, _, err := plan(other, given{}, known{recorded: &recorded, workflow: &execution{open: true}})
		require.ErrorContains(t, err, "campaign mar5 exists with other settings: "+name)
		f := classify(err)
		require.Equal(t, exitConflict, f.code)
		require.Contains(t, f.hint, "--tag")
	}
}

func TestDateTag(t *testing.T) {
	used := map[string]bool{"mar5": true, "mar5-2": true}
	tag, err := dateTag(madeAt, func(tag string) (bool, error) { return used[tag], nil })
	require.NoError(t, err)
	require.Equal(t, "mar5-3", tag)
	require.NoError(t, experiment.ValidateTag(tag))
}

func TestDurationFlag(t *testing.T) {
	for text, want := range map[string]time.Duration{"2s": 2 * time.Second, "90": 90 * time.Second, "-1s": -time.Second, "8h": 8 * time.Hour} {
		var d durationFlag
		require.NoError(t, d.Set(text))
		require.Equal(t, want, time.Duration(d), text)
	}
	var d durationFlag
	require.ErrorContains(t, d.Set("soon"), `not "soon"`)
	require.Error(t, d.Set(`"`))
}

func TestPlanMergesWhatMayChange(t *testing.T) {
	recorded := experiment.Settings{
		Tag: "mar5", Cores: 2, Limits: experiment.Limits{Experiments: 10, Parallel: 2},
		Approval: experiment.Approval{Approve: experiment.ApproveAccept, ApproveWithin: experiment.Duration(time.Minute)},
	}.WithDefaults()
	lost := known{recorded: &recorded}
	_, same, err := plan(experiment.Settings{Tag: "mar5", Cores: 2}, given{}, lost)
	require.NoError(t, err)
	require.Equal(t, recorded, same)

	other := experiment.Settings{Tag: "mar5", Limits: experiment.Limits{Parallel: 8}, Approval: experiment.Approval{Approve: experiment.ApproveOff}}
	_, changed, err := plan(other, given{parallel: true, approve: true}, lost)
	require.NoError(t, err)
	require.Equal(t, experiment.Limits{Experiments: 10, Parallel: 8}, changed.Limits)
	require.Equal(t, experiment.Approval{Approve: experiment.ApproveOff, ApproveWithin: recorded.ApproveWithin}, changed.Approval)

	_, _, err = plan(experiment.Settings{Tag: "mar5", Cores: 1}, given{}, lost)
	require.ErrorContains(t, err, "cores is 2 there, not 1")
	require.Equal(t, exitConflict, classify(err).code)
	recorded.Cores = 0 // it is older than the setting
	_, _, err = plan(experiment.Settings{Tag: "mar5", Cores: 1}, given{}, lost)
	require.NoError(t, err)
}

// A change that is not asked for is not sent.
func TestChangeSaysOnlyWhatWasGiven(t *testing.T) {
	b, err := json.Marshal(given{parallel: true}.change(experiment.Limits{Experiments: 3, Parallel: 4}))
	require.NoError(t, err)
	require.JSONEq(t, `{"parallel":4}`, string(b))
}
