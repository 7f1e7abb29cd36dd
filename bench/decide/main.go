// Command decide simulates campaigns whose truth is known, and says what decision
// policies make of them: what they gain, what they claim, and how much of that is
// true.
//
//	go run ./bench/decide                 every table of docs/decisions.md, in about two minutes on two cores
//	go run ./bench/decide -table noise    one of them: noise, hostile, slots, drift
//	go run ./bench/decide -dev            with the half of the effects and the seeds that the rules were chosen on
//
// The policies are the real ones, and checks are scheduled as the workflow does
// it. All policies have the same number of runs on slots, checks and the
// baseline's seeds included. Tables are Markdown on standard output; the same
// seed gives the same numbers.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/autoresearch-go/autoresearch/activities/policy"
)

// noises are standard deviations of val_bpb between seeds.
var noises = []float64{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02}

// options are the command line.
type options struct {
	table     string
	campaigns int
	budget    int
	seed      uint64
	dev       bool
}

func main() {
	var o options
	flag.StringVar(&o.table, "table", "all", "which table: noise, hostile, slots, drift or all")
	flag.IntVar(&o.campaigns, "campaigns", 400, "simulated for each row")
	flag.IntVar(&o.budget, "budget", 126, "runs of each campaign; the night had 126")
	flag.Uint64Var(&o.seed, "seed", 1001, "of the simulation")
	flag.BoolVar(&o.dev, "dev", false, "use the half of the effects that the rules were chosen on")
	flag.Parse()
	if err := o.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "decide:", err)
		os.Exit(1)
	}
}

func (o options) run(out io.Writer) error {
	tables := map[string]func(io.Writer){"noise": o.noise, "hostile": o.hostile, "slots": o.slots, "drift": o.drift}
	if o.campaigns < 2 || o.budget < 10 || flag.NArg() > 0 {
		return fmt.Errorf("want -campaigns of 2 or more, a -budget of 10 or more, and no further arguments")
	}
	if o.table != "all" && tables[o.table] == nil {
		return fmt.Errorf("-table is %q: noise, hostile, slots, drift or all", o.table)
	}
	for _, name := range []string{"noise", "hostile", "slots", "drift"} {
		if o.table == "all" || o.table == name {
			tables[name](out)
		}
	}
	return nil
}

// world is what the reported tables are about: the other half of the effects
// than the one the rules were chosen on.
func (o options) world(noise float64) world {
	w := world{noise: noise, prior: 1, kind: "night", half: 1, window: window}
	if o.dev {
		w.half = 0
	}
	return w
}

var (
	byGreedy    = contestant{"greedy", greedy{}, 0, 1}
	byThreshold = contestant{"threshold/1", policy.Threshold{}, 0, 3}
	byConfirm   = contestant{"confirm/1", policy.Confirm{}, 0.5, 3}
	byConfirm25 = contestant{"confirm/1, share 0.25", policy.Confirm{}, 0.25, 3}
	never       = contestant{"confirm/1 without checks", policy.Confirm{}, 0, 3}
	strict      = contestant{"strict gate", policy.Confirm{Rules: eager()}, 1, 3}
)

// eager are rules by which every keep is confirmed before the search goes on.
func eager() *policy.Rules {
	r := policy.ConfirmRules
	r.Worth, r.Clear = 1e9, 1e9
	return &r
}

func (o options) noise(out io.Writer) {
	fmt.Fprintf(out, "\nBy noise, one slot, %d campaigns of %d runs:\n\n", o.campaigns, o.budget)
	header(out)
	for _, n := range noises {
		o.rows(out, o.world(n), 1, byGreedy, byThreshold, never, strict, byConfirm, byConfirm25)
	}
}

// rows prints one world under several policies.
func (o options) rows(out io.Writer, w world, slots int, list ...contestant) {
	var first summary
	for i, k := range list {
		s := study(w, k, o.campaigns, o.budget, slots, o.seed)
		if i == 0 {
			first = s
		}
		s.row(out, w, first)
	}
}

func (o options) hostile(out io.Writer) {
	fmt.Fprintf(out, "\nWorlds that make it hard to be true, one slot:\n\n")
	for _, c := range []struct {
		name   string
		change func(*world)
	}{
		{"no candidate has any effect", func(w *world) { w.kind = "null" }},
		{"effects of a tenth of the noise, half of them good", func(w *world) { w.kind = "tiny" }},
		{"heavy tails: Student's t with 3 degrees of freedom", func(w *world) { w.heavy = true }},
		{"the target says half of the noise there is", func(w *world) { w.prior = 0.5 }},
		{"the target says twice the noise there is", func(w *world) { w.prior = 2 }},
		{"large effects at any time of the night", func(w *world) { w.window = len(observed) }},
	} {
		fmt.Fprintf(out, "\n%s:\n\n", c.name)
		header(out)
		for _, n := range []float64{0.0002, 0.001, 0.005} {
			w := o.world(n)
			c.change(&w)
			o.rows(out, w, 1, byGreedy, byThreshold, byConfirm, byConfirm25)
		}
	}
}

func (o options) slots(out io.Writer) {
	fmt.Fprintf(out, "\nFour slots side by side, the same number of runs:\n\n")
	header(out)
	for _, n := range []float64{0.0002, 0.001, 0.005, 0.02} {
		o.rows(out, o.world(n), 4, byGreedy, byThreshold, byConfirm, byConfirm25)
	}
}

func (o options) drift(out io.Writer) {
	for _, recovers := range []int{0, 100} {
		text := "for good"
		if recovers > 0 {
			text = "until run 100"
		}
		for slots := 1; slots <= 2; slots++ {
			fmt.Fprintf(out, "\nThe first of %d slots is worse by 0.017 from run 60 on, %s:\n\n", slots, text)
			header(out)
			for _, n := range []float64{0.0002, 0.001, 0.005} {
				w := o.world(n)
				w.drifts, w.shift, w.recovers = 60, 0.017, recovers
				o.rows(out, w, slots, byGreedy, byThreshold, byConfirm)
			}
		}
	}
}
