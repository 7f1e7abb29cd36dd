package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quantiles of a sample. Of few values the upper ones are the largest.
type quantiles []time.Duration

func sorted(all []time.Duration) quantiles {
	all = slices.Clone(all)
	slices.Sort(all)
	return all
}

func (q quantiles) at(share float64) time.Duration {
	if len(q) == 0 {
		return 0
	}
	return q[min(len(q)-1, int(share*float64(len(q))))]
}

// row is "n | median | p90 | p99 | longest".
func (q quantiles) row() string {
	if len(q) == 0 {
		return "0 | | | |"
	}
	return fmt.Sprintf("%d | %s | %s | %s | %s", len(q), show(q.at(0.5)), show(q.at(0.9)), show(q.at(0.99)), show(q.at(1)))
}

// show is a time in seconds, with as many digits as it is worth.
func show(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 0.0995:
		return fmt.Sprintf("%.3f", s)
	case s < 9.95:
		return fmt.Sprintf("%.2f", s)
	default:
		return fmt.Sprintf("%.0f", s)
	}
}

func percent(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f %%", 100*part.Seconds()/whole.Seconds())
}

// printEngine prints what was found on the engine.
func printEngine(proposers []string, slots []int, found map[variant][]gap) {
	fmt.Println("| proposer | slots | training | next candidate | gaps | median s | p90 | p99 | longest | busy | busy at 300 s |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, p := range proposers {
		for _, n := range slots {
			v := variant{p, n}
			for _, prepared := range []bool{true, false} {
				var idle []time.Duration
				for _, g := range found[v] {
					if g.prepared == prepared {
						idle = append(idle, g.idle)
					}
				}
				busy := "| |"
				if prepared {
					busy = shares(found[v])
				}
				name := map[bool]string{true: "prepared", false: "not prepared"}[prepared]
				fmt.Printf("| %s | %d | %v | %s | %s %s\n", p, n, v.lasts(), name, sorted(idle).row(), busy)
			}
		}
	}
	printParts(slots, found)
}

// shares is the busy share as measured, and as it would be with runs of five
// minutes and the same gaps.
func shares(gaps []gap) string {
	var busy, idle time.Duration
	for _, g := range gaps {
		busy, idle = busy+g.busy, idle+g.idle
	}
	if len(gaps) == 0 {
		return "| | |"
	}
	long := time.Duration(len(gaps)) * 5 * time.Minute
	return "| " + percent(busy, busy+idle) + " | " + percent(long, long+idle) + " |"
}

// printParts prints where the time goes when the next candidate is prepared.
func printParts(slots []int, found map[variant][]gap) {
	fmt.Printf("\n| from one candidate to the next, median (p90) in ms, prepared |")
	for _, n := range slots {
		fmt.Printf(" %d slots |", n)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(slots)))
	for i, name := range partNames {
		fmt.Printf("| %s |", name)
		for _, n := range slots {
			var part []time.Duration
			for v, gaps := range found {
				for _, g := range gaps {
					if v.slots == n && g.prepared {
						part = append(part, g.parts[i])
					}
				}
			}
			q := sorted(part)
			fmt.Printf(" %d (%d) |", q.at(0.5).Milliseconds(), q.at(0.9).Milliseconds())
		}
		fmt.Println()
	}
}
