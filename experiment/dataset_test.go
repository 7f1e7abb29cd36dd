package experiment

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseDataset(t *testing.T) {
	for text, want := range map[string]struct {
		set  Dataset
		name string
		err  string
	}{
		"":              {Dataset{Name: GoSource}, "go", ""},
		"go":            {Dataset{Name: GoSource}, "go", ""},
		"tinystories":   {Dataset{Name: TinyStories}, "tinystories", ""},
		"climbmix":      {Dataset{Name: ClimbMix, Shards: 10}, "climbmix", ""},
		"climbmix:10":   {Dataset{Name: ClimbMix, Shards: 10}, "climbmix", ""},
		"climbmix:4":    {Dataset{Name: ClimbMix, Shards: 4}, "climbmix:4", ""},
		"/a/b/../c/":    {Dataset{Path: "/a/c"}, "/a/c", ""},
		"climbmix:0":    {err: "climbmix has 1 to 6542 shards"},
		"climbmix:6543": {err: "climbmix has 1 to 6542 shards"},
		"climbmix:x":    {err: "climbmix has 1 to 6542 shards"},
		"TinyStory":     {err: `dataset is "TinyStory": did you mean tinystories? it is go, tinystories, climbmix, or`},
		"clmbmix:2":     {err: "did you mean climbmix?"},
		"golang":        {err: "did you mean go?"},
		"wikipedia":     {err: `dataset is "wikipedia": it is go,`},
		"corpus.txt":    {err: "the absolute path"},
		"go:1":          {err: "did you mean go?"},
	} {
		got, err := ParseDataset(text)
		if want.err != "" {
			require.ErrorContains(t, err, want.err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want.set, got, text)
		require.Equal(t, want.name, got.String())
	}
}

func TestVocab(t *testing.T) {
	for n, ok := range map[int]bool{0: true, 256: true, 257: true, 8192: true, 65536: true, -1: false, 1: false, 255: false, 65537: false} {
		err := Settings{Tag: "a", Vocab: n}.Validate()
		require.Equal(t, ok, err == nil, "%d: %v", n, err)
		if !ok {
			require.ErrorContains(t, err, "vocab is ")
		}
	}
	require.ErrorContains(t, Settings{Tag: "a", Dataset: "moon"}.Validate(), `dataset is "moon"`)
}

// The data are part of what a campaign is. Those that were recorded before the
// setting existed were made from the Go sources, in bytes.
func TestConflictOfData(t *testing.T) {
	for name, c := range map[string]struct {
		have, given Settings
		want        string
	}{
		"nothing given":     {Settings{Dataset: "climbmix", Vocab: 1024}, Settings{}, ""},
		"said in full":      {Settings{}, Settings{Dataset: "go", Vocab: 256}, ""},
		"the same":          {Settings{Dataset: "/a", Vocab: 512}, Settings{Dataset: "/a/", Vocab: 512}, ""},
		"the same shards":   {Settings{Dataset: "climbmix"}, Settings{Dataset: "climbmix:10"}, ""},
		"other shards":      {Settings{Dataset: "climbmix"}, Settings{Dataset: "climbmix:4"}, "dataset is climbmix there, not climbmix:4"},
		"other set":         {Settings{}, Settings{Dataset: "tinystories"}, "dataset is go there, not tinystories"},
		"back to the first": {Settings{Dataset: "/a"}, Settings{Dataset: "go"}, "dataset is /a there, not go"},
		"other vocabulary":  {Settings{}, Settings{Vocab: 1024}, "vocab is 256 there, not 1024"},
		"back to bytes":     {Settings{Vocab: 1024}, Settings{Vocab: 256}, "vocab is 1024 there, not 256"},
	} {
		require.Equal(t, c.want, c.have.Conflict(c.given), name)
	}
	require.True(t, Settings{}.OnDefaultData())
	require.True(t, Settings{Dataset: "go", Vocab: 256}.OnDefaultData())
	require.False(t, Settings{Vocab: 512}.OnDefaultData())
	require.False(t, Settings{Dataset: "/a"}.OnDefaultData())
}

// A campaign that says nothing of its data is written as it always was.
func TestDefaultDataLeavesNoTrace(t *testing.T) {
	b, err := json.Marshal(Settings{Tag: "mar5"}.WithDefaults())
	require.NoError(t, err)
	require.JSONEq(t, `{"tag":"mar5","target":"gogpt","budget":"1m0s","seeds":3,"seed":`+number(t, b, "seed")+`,"proposer":"hpo","policy":"confirm/1"}`, string(b))
}

func number(t *testing.T, object []byte, field string) string {
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(object, &fields))
	return string(fields[field])
}
