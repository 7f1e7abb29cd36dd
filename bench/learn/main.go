// Command learn measures how well trainer/train.go learns: it trains the program
// with several seeds under the budget that a campaign would charge, scores each
// model with the trusted evaluator, and prints every val_bpb, their mean and
// their standard deviation.
//
//	go run ./bench/learn -seeds 5
//	go run ./bench/learn -seeds 3 -budget 20s -set MatrixLR=0.03 -set Depth=3
//	go run ./bench/learn -seeds 3 -steps 400 -set Depth=3
//	go run ./bench/learn -seeds 5 -split val
//
// It builds the trainer and the evaluator of this checkout, the program with its
// constants changed as -set says, and makes the default corpus. Settings are
// compared on a development split, cut out of the training documents, so that
// nothing is chosen on the pinned validation files; -split val is for the numbers
// that are reported. Where xz is installed it also prints what xz -9e makes of the
// same bytes.
//
// Charged time is CPU time, so a busy machine changes the result little. Runs
// follow one another. It works in a temporary directory and fails with the
// output of the program that failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	file   string // the program
	set    map[string]string
	seeds  int
	split  string
	budget time.Duration
	steps  int // instead of the budget
	cores  int
}

func main() {
	o := options{set: map[string]string{}}
	flag.StringVar(&o.file, "file", "trainer/train.go", "the program to train, a `file`")
	flag.IntVar(&o.seeds, "seeds", 5, "how many runs, with seeds from 1 on")
	flag.StringVar(&o.split, "split", dev, "what to score on: dev or val")
	flag.DurationVar(&o.budget, "budget", time.Minute, "charged time of each run")
	flag.IntVar(&o.steps, "steps", 0, "train for this many steps instead: what a step teaches, whatever it costs")
	flag.IntVar(&o.cores, "cores", 2, "cores of each run")
	flag.Func("set", "change a constant: `Name=value`; may be given several times", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || value == "" {
			return fmt.Errorf("%q is not Name=value", text)
		}
		o.set[name] = value
		return nil
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.measure(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "learn:", err)
		os.Exit(1)
	}
}

// measure prints the table.
func (o options) measure(ctx context.Context, out io.Writer) error {
	if flag.NArg() > 0 || o.split != dev && o.split != val || o.seeds < 1 || o.budget <= 0 || o.steps < 0 || o.cores < 1 {
		return fmt.Errorf("want -split dev or val, -seeds, -budget and -cores above 0, and no further arguments")
	}
	dir, err := os.MkdirTemp("", "learn-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := prepare(ctx, dir, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s split, %s on %d cores%s\n\n", o.split, o.length(), o.cores, settings(o.set))
	fmt.Fprintf(out, "seed   val_bpb   steps     tokens   tokens per charged second\n")
	var runs []result
	for seed := 1; seed <= o.seeds; seed++ {
		r, err := b.run(ctx, seed)
		if err != nil {
			return err
		}
		runs = append(runs, r)
		fmt.Fprintf(out, "%4d    %.4f  %6d  %9d   %25.0f\n", seed, r.ValBpb, r.Steps, r.Tokens, r.speed())
	}
	summary(out, runs)
	if bits, err := xz(ctx, b.scored); err == nil {
		fmt.Fprintf(out, "xz -9e on the same bytes: %.4f\n", bits)
	}
	return nil
}

// length says how long a run is.
func (o options) length() string {
	if o.steps > 0 {
		return fmt.Sprintf("%d steps", o.steps)
	}
	return fmt.Sprintf("%v charged", o.budget)
}

func settings(set map[string]string) (text string) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		text += ", " + name + " = " + set[name]
	}
	return text
}

func summary(out io.Writer, runs []result) {
	var bpb, tokens, speed []float64
	for _, r := range runs {
		bpb = append(bpb, r.ValBpb)
		tokens = append(tokens, float64(r.Tokens))
		speed = append(speed, r.speed())
	}
	m, sd := moments(bpb)
	t, _ := moments(tokens)
	s, _ := moments(speed)
	fmt.Fprintf(out, "mean    %.4f          %9.0f   %25.0f\n", m, t, s)
	if len(runs) > 1 {
		fmt.Fprintf(out, "standard deviation %.4f (of one run)\n", sd)
	}
}

// moments are the mean and the standard deviation of one value.
func moments(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	if len(x) < 2 {
		return mean, 0
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean) / float64(len(x)-1)
	}
	return mean, math.Sqrt(sd)
}
