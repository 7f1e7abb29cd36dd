package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// contestant is a policy and how its checks are scheduled.
type contestant struct {
	name   string
	policy policy.Policy
	share  float64 // of the runs that checks may take while candidates wait
	seeds  int     // of the baseline
}

// outcome is what a campaign has come to, by the truth.
type outcome struct {
	line, best  float64 // true gain of the incumbent, and of the best that is claimed
	inflation   float64 // how much better the reported best is said to be than it is
	kept        int
	claimed     int // keeps that are reported as true
	false       int // of them, those that are no improvement on the one before
	again       int // of them, those that ten fresh seeds of both do not find better
	checks      int
	runs        int
	intervals   int // of the confirmed best
	covered     int
	experiments int
	drifted     int
	voids       int
}

const baseScore = 1.0

// campaign is a simulated campaign: a queue of candidates that is never empty,
// slots that take one run each, and decisions in the order in which runs end.
type campaign struct {
	world
	contestant
	all     []float64
	rng     *rand.Rand
	seedRng *rand.Rand // of measurements
	budget  int
	slots   int

	truth   map[int]float64
	results []experiment.Result
	byN     map[int]int
	inc     *experiment.Incumbent
	line    []experiment.Incumbent
	noise   experiment.Noise
	wanted  []experiment.Check
	running []*trial
	next    int
	ideas   int
	started int
	out     outcome
	events  []event
}

// event is a claim: which keep, and what it was said to be better than.
type event struct{ result, of, over int }

// trial is what runs on a slot.
type trial struct {
	number int
	check  *experiment.Check
	parent experiment.Incumbent
	truth  float64
	slot   int
	run    int // which run of the campaign it is, from 1
}

func (c *campaign) run() outcome {
	c.truth, c.byN = map[int]float64{0: baseScore}, map[int]int{}
	base := trial{truth: baseScore}
	var ms []experiment.Measurement
	for k := range c.seeds {
		c.started++
		base.run, base.slot = c.started, k%c.slots
		ms = append(ms, c.measured(base, uint64(k)))
	}
	c.decide(base, ms)
	c.next = 1
	for c.fill(); len(c.running) > 0; c.fill() {
		t := c.running[0]
		c.running = c.running[1:]
		c.decide(*t, []experiment.Measurement{c.measured(*t, 0)})
	}
	c.conclude()
	return c.out
}

// fill gives the free slots something to do, as the workflow does: a check if
// checks have had less than their share, otherwise a candidate. The last runs
// are for the checks that are wanted then.
func (c *campaign) fill() {
	for len(c.running) < c.slots && c.started < c.budget {
		last := c.budget-c.started <= c.reserve()
		check := c.nextCheck(last)
		if check != nil && (last || float64(c.out.checks+1) <= c.share*float64(c.started+1)) {
			c.out.checks++
			c.start(trial{number: c.next, check: check, parent: *c.inc, truth: c.truth[check.Of]})
			continue
		}
		gain := c.idea(c.all, c.ideas, c.rng)
		c.ideas++
		t := trial{number: c.next, parent: *c.inc, truth: c.truth[c.inc.Experiment] - gain}
		c.truth[c.next] = t.truth
		c.start(t)
	}
}

func (c *campaign) start(t trial) {
	c.next++
	c.started++
	t.run = c.started
	used := map[int]bool{}
	for _, r := range c.running {
		used[r.slot] = true
	}
	for used[t.slot] {
		t.slot++
	}
	c.running = append(c.running, &t)
}

// nextCheck is the most urgent check that is not being run already.
func (c *campaign) nextCheck(spare bool) *experiment.Check {
	for i := range c.wanted {
		k := c.wanted[i]
		busy := false
		for _, r := range c.running {
			busy = busy || r.check != nil && r.check.Of == k.Of && r.check.Purpose == k.Purpose && r.check.Slot == k.Slot
		}
		if !busy && c.share > 0 && (spare || !k.Spare) {
			return &k
		}
	}
	return nil
}

// reserve is how many runs are kept for the checks that are wanted when the
// search ends: a few for each provisional keep.
func (c *campaign) reserve() int {
	n := 0
	for _, k := range c.wanted {
		if k.Purpose != experiment.Drift {
			n += 2
		}
	}
	if c.share == 0 {
		return 0
	}
	return min(n, 6)
}

func (c *campaign) measured(t trial, seed uint64) experiment.Measurement {
	m := experiment.Measurement{Seed: seed, Slot: fmt.Sprintf("slot-%d", t.slot)}
	if math.IsNaN(t.truth) {
		m.Failure = &experiment.Failure{Reason: experiment.RunFailed, Message: "exit status 1"}
		return m
	}
	m.ValBpb = c.measure(t.truth, c.seedRng)
	if c.drifts > 0 && t.slot == 0 && t.run >= c.drifts && (c.recovers == 0 || t.run < c.recovers) {
		m.ValBpb += c.shift
	}
	return m
}

func (c *campaign) decide(t trial, ms []experiment.Measurement) {
	in := policy.Input{
		Experiment: t.number, Commit: fmt.Sprint("c", t.number), Parent: t.parent.Commit, Title: "idea", SyntaxTokens: 1000,
		PriorStdDev: c.prior * c.world.noise, Measurements: ms, Incumbent: c.inc, Noise: c.noise, Line: c.line, Past: c.results,
	}
	if t.check != nil {
		in.Check, in.Commit = t.check, fmt.Sprint("c", t.check.Of)
	}
	d := c.policy.Decide(in)
	r := experiment.Result{
		Experiment: t.number, Sequence: len(c.results), Commit: in.Commit, Parent: in.Parent, Verdict: d.Verdict, Reason: d.Reason, ValBpb: d.ValBpb,
		Measurements: ms, SyntaxTokens: 1000, Against: c.inc, Noise: c.noise, Threshold: d.Threshold, Incumbent: d.Incumbent, NoiseAfter: d.Noise,
		Check: t.check, Line: d.Line, Checks: d.Checks, Voids: d.Voids,
	}
	c.note(r)
	c.results = append(c.results, r)
	inc := d.Incumbent
	c.inc, c.line, c.noise, c.wanted = &inc, d.Line, d.Noise, d.Checks
}

// note counts what is claimed.
func (c *campaign) note(r experiment.Result) {
	c.out.runs += len(r.Measurements)
	c.out.voids += len(r.Voids)
	switch {
	case r.Check == nil && r.Against != nil:
		c.out.experiments++
		if r.Verdict != experiment.Keep {
			return
		}
		c.out.kept++
		if len(r.Line) == 0 {
			c.events = append(c.events, event{r.Experiment, r.Experiment, r.Against.Experiment})
		}
	case r.Reason == experiment.Drifted:
		c.out.drifted++
	case r.Reason == experiment.Confirmed:
		for i := range r.Line {
			if i > 0 && r.Line[i].Experiment == r.Check.Of {
				c.events = append(c.events, event{r.Experiment, r.Check.Of, r.Line[i-1].Experiment})
			}
		}
	}
}

// conclude compares what is claimed in the end with the truth.
func (c *campaign) conclude() {
	void := map[int]bool{}
	for _, r := range c.results {
		for _, n := range r.Voids {
			void[n] = true
		}
	}
	for _, e := range c.events {
		if void[e.result] {
			continue
		}
		c.out.claimed++
		if !(c.truth[e.of] < c.truth[e.over]) {
			c.out.false++
		}
		if gain := c.mean10(e.over) - c.mean10(e.of); gain <= 0 {
			c.out.again++
		}
	}
	best := *c.inc
	for _, x := range c.line {
		if x.Confirmed {
			best = x
		}
	}
	c.out.line = baseScore - c.truth[c.inc.Experiment]
	c.out.best = baseScore - c.truth[best.Experiment]
	c.out.inflation = c.truth[best.Experiment] - best.ValBpb
	if best.Fresh != nil && best.Experiment != 0 {
		c.out.intervals++
		if x := c.truth[best.Experiment]; best.Fresh.Low <= x && x <= best.Fresh.High {
			c.out.covered++
		}
	}
}

// mean10 measures a candidate with ten fresh seeds.
func (c *campaign) mean10(of int) float64 {
	sum := 0.0
	for range 10 {
		sum += c.measure(c.truth[of], c.seedRng)
	}
	return sum / 10
}
