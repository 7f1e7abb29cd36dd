package ledger_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// chained records experiments as Decide does, each after the one before it.
func chained(t *testing.T, l *ledger.Ledger, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		head, err := l.Head(t.Context(), "mar5")
		if err != nil {
			t.Fatal(err)
		}
		r := result(n)
		r.Sequence, r.Previous = head.Decided, head.Digest
		if _, err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func storedDigest(t *testing.T, l *ledger.Ledger, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(l.Home.Artifacts(), "mar5", name))
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Digest(b)
}

func writeCampaign(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	if _, err := l.Store.PutOnce(t.Context(), "mar5/campaign.json", []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
}

// Head is that of the files, whoever wrote them and whatever was read before.
func TestHead(t *testing.T) {
	l := newLedger(t)
	if h, err := l.Head(t.Context(), "mar5"); err != nil || h != (ledger.Head{}) {
		t.Errorf("Head of nothing = %+v, %v", h, err)
	}
	writeCampaign(t, l)
	if h, err := l.Head(t.Context(), "mar5"); err != nil || h.Digest != storedDigest(t, l, "campaign.json") || h.Decided != 0 {
		t.Errorf("Head before the baseline = %+v, %v", h, err)
	}
	other := &ledger.Ledger{Home: l.Home, Store: l.Store}
	chained(t, l, 0, 2)
	chained(t, other, 1) // another process, as after a restart
	chained(t, l, 3)
	for who, l := range map[string]*ledger.Ledger{"writer": l, "other": other, "fresh": {Home: l.Home, Store: l.Store}} {
		h, err := l.Head(t.Context(), "mar5")
		if err != nil || h.Decided != 4 || h.Digest != storedDigest(t, l, "0003/result.json") {
			t.Errorf("%s: Head = %+v, %v", who, h, err)
		}
	}
	for n, before := range map[int]string{0: "campaign.json", 2: "0000/result.json", 1: "0002/result.json", 3: "0001/result.json"} {
		r, err := l.Decided(t.Context(), "mar5", n)
		if err != nil || r.Previous != storedDigest(t, l, before) {
			t.Errorf("experiment %d binds %v, %v; want %s", n, r, err, before)
		}
	}
}

// A second Record of the same experiment does not move the head.
func TestRecordAgainKeepsTheHead(t *testing.T) {
	l := newLedger(t)
	writeCampaign(t, l)
	chained(t, l, 0)
	want, err := l.Head(t.Context(), "mar5")
	if err != nil {
		t.Fatal(err)
	}
	r := result(0)
	r.Title, r.Previous = "another decision", want.Digest
	if _, err := l.Record(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if h, err := l.Head(t.Context(), "mar5"); err != nil || h != want {
		t.Errorf("Head = %+v, %v; want %+v", h, err, want)
	}
}

// Repair tells of a chain that does not hold. Decisions of versions without one
// come before it.
func TestRepairSeesABrokenChain(t *testing.T) {
	for what, c := range map[string]struct {
		previous func(n int, head ledger.Head) string
		broken   string
	}{
		"chained":       {func(_ int, h ledger.Head) string { return h.Digest }, ""},
		"unchained":     {func(int, ledger.Head) string { return "" }, ""},
		"chained later": {func(n int, h ledger.Head) string { return map[bool]string{true: h.Digest}[n >= 2] }, ""},
		"left off":      {func(n int, h ledger.Head) string { return map[bool]string{true: h.Digest}[n != 2] }, "mar5/0002/result.json"},
		"another":       {func(n int, h ledger.Head) string { return map[bool]string{true: h.Digest, false: "ab"}[n < 3] }, "mar5/0003/result.json"},
	} {
		l := newLedger(t)
		writeCampaign(t, l)
		for n := range 4 {
			h, err := l.Head(t.Context(), "mar5")
			if err != nil {
				t.Fatal(err)
			}
			r := result(n)
			r.Previous = c.previous(n, h)
			if _, err := l.Record(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		notices, err := l.Repair(t.Context(), "mar5")
		if err != nil || (len(notices) > 0) != (c.broken != "") {
			t.Errorf("%s: notices %q, %v", what, notices, err)
		}
		if len(notices) > 0 && !strings.Contains(string(notices[0]), c.broken+" does not follow") {
			t.Errorf("%s: notice %q does not name %s", what, notices[0], c.broken)
		}
	}
}

// A check is counted apart from experiments.
func TestChecksAreCountedApart(t *testing.T) {
	l := newLedger(t)
	chained(t, l, 0, 3)
	r := result(4)
	r.Sequence, r.Verdict, r.Reason, r.Check = 2, experiment.Keep, experiment.Confirmed, &experiment.Check{Of: 3, Purpose: experiment.Confirm}
	if _, err := l.Record(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s, err := l.State(t.Context(), "mar5")
	if want := (experiment.Tally{Experiments: 1, Kept: 1, Checks: 1, Confirmed: 1}); err != nil || s.Tally != want {
		t.Errorf("Tally = %+v, %v; want %+v", s.Tally, err, want)
	}
}
