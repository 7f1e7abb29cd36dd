package sim

import (
	"reflect"
	"testing"
	"time"
)

// Without chance everything can be counted by hand.
func TestPlainCampaign(t *testing.T) {
	c := Campaign{Name: "plain", Slots: 2, Experiments: 6, Propose: time.Second, Apply: time.Second, Train: time.Hour, Evaluate: time.Minute, Decide: time.Second}
	r, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	if r.Tally.Discarded != 6 || len(r.Gaps) != 4 {
		t.Errorf("got %+v and %d gaps: six candidates on two slots have four between them", r.Tally, len(r.Gaps))
	}
	for _, g := range r.Gaps {
		if g.Idle != c.Decide || g.Decide != c.Decide || g.Propose+g.Apply != 0 {
			t.Errorf("got %v: nothing but Decide is between two candidates", g)
		}
	}
	if want := 6 * 61 * time.Minute; r.Busy < want-2*time.Minute || r.Busy > want+2*time.Minute {
		t.Errorf("busy for %v, want about %v", r.Busy, want)
	}
}

func TestSameSeedSameCampaign(t *testing.T) {
	c := LLM(2, 20)
	first, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Run()
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("got %+v and then %+v, %v", first, second, err)
	}
	c.Seed++
	if third, err := c.Run(); err != nil || reflect.DeepEqual(first, third) {
		t.Errorf("another seed gave the same, or %v", err)
	}
}

func TestOutcomesAreShares(t *testing.T) {
	c := LLM(1, 0)
	const n = 20_000
	for name, tc := range map[string]struct {
		happens func(i int) bool
		want    float64
	}{
		"no edit builds":   {func(i int) bool { return c.broken(i, 2) }, c.Broken},
		"the first is bad": {func(i int) bool { return c.broken(i, 0) }, 1 - (1-c.Broken)*(1-c.Repairs)},
		"it dies":          {c.dies, c.Dies},
		"it is kept":       {func(i int) bool { return c.happens("keep", i, c.Keeps) }, c.Keeps},
	} {
		count := 0
		for i := range n {
			if tc.happens(i + 1) {
				count++
			}
		}
		if got := float64(count) / n; got < 0.9*tc.want || got > 1.1*tc.want {
			t.Errorf("%s: in %.3f of all experiments, want %.3f", name, got, tc.want)
		}
	}
}

func TestTwoOnOneSlot(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two candidates train on one slot, and nobody minds")
		}
	}()
	w := newWatch(1)
	w.take(time.Now(), 1)
	w.take(time.Now(), 2)
}
