//go:build cuda

package gpu

import (
	"slices"
	"testing"
	"time"
)

// race is a tuner on a clock of its own and what its variants take.
type race struct {
	tuner
	clock time.Time
	took  map[variant]time.Duration // those missing cannot run
	runs  map[variant]int
}

func newRace(memory *choices, took map[variant]time.Duration) *race {
	r := &race{took: took, runs: map[variant]int{}, clock: time.Unix(0, 0)}
	r.tuner = tuner{memory: memory, now: func() time.Time { return r.clock }}
	return r
}

func (r *race) run(v variant, rounds int) (time.Duration, bool) {
	r.runs[v] += rounds
	d, ok := r.took[v]
	r.clock = r.clock.Add(time.Duration(rounds) * d)
	return d, ok
}

func TestChooseTheFastest(t *testing.T) {
	const us = time.Microsecond
	all := []variant{{0, 0}, {1, 0}, {2, 0}, {0, 4}}
	for _, c := range []struct {
		name string
		took map[variant]time.Duration
		want variant
		ok   bool
	}{
		{"first", map[variant]time.Duration{{0, 0}: us, {1, 0}: 2 * us, {2, 0}: 3 * us, {0, 4}: 2 * us}, variant{0, 0}, true},
		{"later", map[variant]time.Duration{{0, 0}: 3 * us, {1, 0}: 2 * us, {2, 0}: us, {0, 4}: 2 * us}, variant{2, 0}, true},
		{"split", map[variant]time.Duration{{0, 0}: 3 * us, {1, 0}: 2 * us, {2, 0}: 4 * us, {0, 4}: us}, variant{0, 4}, true},
		{"first fails", map[variant]time.Duration{{1, 0}: 2 * us, {2, 0}: 3 * us}, variant{1, 0}, true},
		{"none", nil, variant{}, false},
	} {
		r := newRace(openChoices("", "gpu", 1), c.took)
		got, ok := r.choose("key", all, r.run)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: chose %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

// TestChooseInTime: a shape takes its share of the time at most, and when all of
// it is spent the library's first guess is taken.
func TestChooseInTime(t *testing.T) {
	took := map[variant]time.Duration{}
	var all []variant
	for i := range maxCandidates {
		v := variant{Index: i}
		took[v], all = 40*time.Millisecond-time.Duration(i), append(all, v)
	}
	delete(took, all[0])
	r := newRace(openChoices("", "gpu", 1), took)
	for i := 0; r.spent < tuneInAll; i++ {
		before := r.clock
		if _, ok := r.choose(string(rune('a'+i)), all, r.run); !ok {
			t.Fatal("nothing was chosen")
		}
		if d := r.clock.Sub(before); d > tunePerShape+2*40*time.Millisecond {
			t.Fatalf("shape %d took %v", i, d)
		}
	}
	shapes := r.shapes
	clear(r.runs)
	v, ok := r.choose("too late", all, r.run)
	if v != all[0] || !ok || len(r.runs) != 0 || r.shapes != shapes {
		t.Errorf("chose %v after running %v, want the first, untried", v, r.runs)
	}
}

// TestChoiceIsKept: the second time, and in the next process, nothing is run;
// what is no longer on offer is chosen anew.
func TestChoiceIsKept(t *testing.T) {
	dir := t.TempDir()
	all := []variant{{0, 0}, {1, 0}}
	took := map[variant]time.Duration{{0, 0}: 2000, {1, 0}: 1000}
	r := newRace(openChoices(dir, "NVIDIA  H200", 130401), took)
	r.choose("key", all, r.run)
	for name, m := range map[string]*choices{"memory": r.memory, "file": openChoices(dir, "NVIDIA H200", 130401)} {
		again := newRace(m, took)
		if v, ok := again.choose("key", all, again.run); v != all[1] || !ok || len(again.runs) > 0 {
			t.Errorf("%s: chose %v after running %v, want what was chosen", name, v, again.runs)
		}
	}
	for name, m := range map[string]*choices{"library": openChoices(dir, "NVIDIA H200", 130402), "GPU": openChoices(dir, "NVIDIA H100", 130401)} {
		other := newRace(m, took)
		if other.choose("key", all, other.run); len(other.runs) == 0 {
			t.Errorf("another %s took a choice that is not its own", name)
		}
	}
	fewer := newRace(openChoices(dir, "NVIDIA H200", 130401), took)
	if v, ok := fewer.choose("key", all[:1], fewer.run); v != all[0] || !ok {
		t.Errorf("chose %v, which is not on offer", v)
	}
}

// TestSplitsWhereKIsLong: gradients of weights are computed in as many parts of K
// as it takes to fill a GPU.
func TestSplitsWhereKIsLong(t *testing.T) {
	for _, c := range []struct {
		m, n, k int
		want    []int
	}{
		{512, 2048, 262144, []int{2, 4, 8, 16}}, {512, 512, 262144, []int{2, 4, 8, 16, 32, 64}}, {32, 4, 262144, []int{32, 64}},
		{262144, 2048, 512, nil}, {512, 512, 512, nil}, {8192, 8192, 8192, nil},
	} {
		var got []int
		for _, v := range splits(productKey{M: c.m, N: c.n, K: c.k, Batch: 1}, []variant{{Index: 0}, {Index: 2}}) {
			if v.Index == 2 {
				got = append(got, v.Splits)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%dx%dx%d: splits %v, want %v", c.m, c.n, c.k, got, c.want)
		}
	}
}

func TestChoiceKeys(t *testing.T) {
	p := Product{M: 2, N: 3, K: 4, A: 256, B: 512 + 16, C: 1024 + 2, In: BF16, Out: F32, TransB: true}
	if got, want := choiceKey(keyOf(p, false)), "bfloat16-float32-TN m3 n2 k4 b1 ld4,4,3 s0,0,0 a16,256,2 exact=false"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
	q := p
	q.Accumulate, q.Alpha = true, 2 // what an algorithm does not depend on
	if choiceKey(keyOf(q, false)) != choiceKey(keyOf(p, false)) {
		t.Error("adding to C has a key of its own")
	}
	q = p
	q.LDC = 8
	if choiceKey(keyOf(q, false)) == choiceKey(keyOf(p, false)) {
		t.Error("other strides have the same key")
	}
}
