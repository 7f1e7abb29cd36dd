package proposer

import (
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/search"
	"github.com/autoresearch-go/autoresearch/experiment"
)

const evidenceSource = `package p

const LR = 0.02 // range 0.001..1 log
const Batch = 8 // one of 2, 4, 8, 16
const Window = "SSSL" // one of L, SL, SSSL
const Decay = 0.0 // range 0..0.3
`

func TestWordsAreTrueToTheCounts(t *testing.T) {
	e, err := loadEditable(map[string][]byte{"p.go": []byte(evidenceSource)})
	if err != nil {
		t.Fatal(err)
	}
	tried := func(name, to string, gain float64) search.Trial {
		p := e.point()
		p[name] = to
		return search.Trial{Point: p, From: e.point(), Gain: gain}
	}
	crashed := tried("Batch", "4", 0)
	crashed.Failed = true
	trials := []search.Trial{
		tried("LR", "0.03", 0.01), tried("LR", "0.04", 0.025), tried("LR", "0.3", -0.2), tried("LR", "0.01", -0.1), tried("LR", "0.005", -0.2),
		crashed, tried("Window", `"L"`, -0.01),
	}
	for _, c := range []struct{ name, to, title, hypothesis, expected string }{
		{"LR", "0.05", "raise LR from 0.02 to 0.05", "2 of 3 tries with a larger LR were better than the parent, by up to 0.0250.", "val_bpb falls below the incumbent's 2.5000; a larger LR has gained up to 0.0250"},
		{"LR", "0.01", "halve LR from 0.02 to 0.01", "None of 2 tries with a smaller LR was better than its parent.", "val_bpb falls below the incumbent's 2.5000; how much is open"},
		{"Batch", "16", "double Batch from 8 to 16", "The one try with a smaller Batch was no better than its parent; a larger Batch has not been tried.", ""},
		{"Window", `"SL"`, "switch Window from SSSL to SL", "The one try with another Window was no better than its parent; Window SL has not been tried.", ""},
		{"Window", `"L"`, "switch Window from SSSL to L", "The one try with Window L was no better than its parent.", ""},
		{"Decay", "0.1", "raise Decay from 0 to 0.1", "Decay has not been changed in this campaign yet; one step shows whether it matters.", ""},
	} {
		p := e.point()
		p[c.name] = c.to
		changes := e.changes(p)
		if got := title(changes); got != c.title {
			t.Errorf("title %q; want %q", got, c.title)
		}
		if got := hypothesis(changes, trials); got != c.hypothesis {
			t.Errorf("%s: hypothesis %q; want %q", c.title, got, c.hypothesis)
		}
		if got := expected(changes, trials, experiment.Incumbent{ValBpb: 2.5, Runs: 1}); c.expected != "" && got != c.expected {
			t.Errorf("%s: expected effect %q; want %q", c.title, got, c.expected)
		}
	}
}

func TestEditsHaveUniqueSearchText(t *testing.T) {
	src := "package p\r\n\r\n// was: const LR = 0.02 // range 0.001..1 log\r\nconst LR = 0.02 // range 0.001..1 log\r\n"
	e, err := loadEditable(map[string][]byte{"p.go": []byte(src)})
	if err != nil {
		t.Fatal(err)
	}
	edits, err := e.edits(search.Point{"LR": "0.03"})
	if err != nil {
		t.Fatal(err)
	}
	got, failure := ApplyEdits(e.files, edits)
	want := src[:len(src)-len("0.02 // range 0.001..1 log\r\n")] + "0.03 // range 0.001..1 log\r\n"
	if failure != nil || string(got["p.go"]) != want {
		t.Errorf("got %q, %+v; want %q", got["p.go"], failure, want)
	}
}

// A parent that is not measured has no score to name.
func TestTheBarOfAnUnscoredParent(t *testing.T) {
	for want, parent := range map[string]experiment.Incumbent{
		"val_bpb falls below the incumbent's 2.5000; how much is open":                    {Experiment: 3, ValBpb: 2.5, Runs: 1},
		"val_bpb falls below the baseline's; how much is open":                            {},
		"val_bpb falls below that of #7, which is still being measured; how much is open": {Experiment: 7},
	} {
		if got := expected(nil, nil, parent); got != want {
			t.Errorf("%+v: %q; want %q", parent, got, want)
		}
	}
}
