package main

import (
	"fmt"
	"os"
	"time"

	"github.com/autoresearch-go/autoresearch/bench/slots/sim"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// simulated are the kinds of campaigns, by proposer.
var simulated = map[string][]func(slots, experiments int) sim.Campaign{
	"llm": {sim.LLM, sim.Conflicting},
	"hpo": {sim.HPO},
}

func simulate(proposers []string, slots []int, experiments, times int, from time.Duration) error {
	fmt.Println("| proposer | slots | kept, discarded, crashed | gaps | median s | p90 | p99 | longest | busy |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, p := range proposers {
		for _, kind := range simulated[p] {
			for _, n := range slots {
				if err := simulateOne(kind(n, n*experiments), times, from); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// simulateOne prints one row: several campaigns of a kind, with other seeds.
func simulateOne(c sim.Campaign, times int, from time.Duration) error {
	var busy, idle time.Duration
	var gaps []time.Duration
	var t experiment.Tally
	for seed := range times {
		c.Seed = uint64(seed + 1)
		r, err := c.Run()
		if err != nil {
			return err
		}
		if from > 0 {
			fmt.Fprintf(os.Stderr, "%s, seed %d: busy %s\n", c.Name, c.Seed, percent(r.Busy, r.Busy+r.Idle))
		}
		busy, idle = busy+r.Busy, idle+r.Idle
		t.Kept, t.Discarded, t.Crashed = t.Kept+r.Tally.Kept, t.Discarded+r.Tally.Discarded, t.Crashed+r.Tally.Crashed
		for _, g := range r.Gaps {
			gaps = append(gaps, g.Idle)
			if from > 0 && g.Idle >= from {
				fmt.Fprintf(os.Stderr, "%s, seed %d, %v\n", c.Name, c.Seed, g)
			}
		}
	}
	fmt.Printf("| %s | %d | %d, %d, %d | %s | %s |\n", c.Name, c.Slots, t.Kept, t.Discarded, t.Crashed, sorted(gaps).row(), percent(busy, busy+idle))
	return nil
}
