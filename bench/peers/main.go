// Command peers compares a whole training step of the trainer with PyTorch on
// the same machine: the model and optimizers of trainer/train.go at three
// sizes against model.py, its equal, eager and compiled.
//
//	go run ./bench/peers -python /path/to/python
//
// The trainer is the real one: train.go with the size's constants, under its
// harness. The peers are processes that live side by side while one at a time
// takes steps: all take a block of steps in each round, so that what slows the
// machine down slows all of them. Clocks, CPU time and memory are read from
// outside, the same way for all (Linux only). Compilation and warm-up are not
// counted. The tables go to standard output as Markdown, all else to standard
// error.
//
//	go run ./bench/peers twin -python /path/to/python
//
// trains the same model from the same weights on the same batches in both, and
// records what trainer/twin_test.go compares with.
//
// It fails when a peer does not start or dies, with what the peer printed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run, args := compare, os.Args[1:]
	if len(args) > 0 && args[0] == "twin" {
		run, args = twin, args[1:]
	}
	if err := run(ctx, args); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

// options are the command line of the comparison.
type options struct {
	python    string
	peers     string
	sizes     []size
	threads   []int
	rounds    int
	optimizer string
	llmc      string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&o.python, "python", "", "Python `interpreter` with torch and numpy; README.md says how to install them")
	f.StringVar(&o.peers, "peers", "eager,compile,eager512,compile512", "what to compare with; those in 512 let MKL use AVX-512 on a CPU that is not Intel's")
	f.StringVar(&o.optimizer, "optimizer", "muon", "muon (as train.go: Muon and AdamW) or adamw (AdamW alone, to compare engines)")
	f.StringVar(&o.llmc, "llmc", "", "checkout of llm.c to measure beside, for reference")
	f.IntVar(&o.rounds, "rounds", 5, "blocks of steps that each peer takes")
	names := f.String("sizes", "default,depth4,depth8", "sizes to measure, of "+sizeNames())
	threads := f.String("threads", "2", "numbers of threads to measure with, such as 1,2")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.python == "" && o.peers != "" || o.rounds < 1 || f.NArg() > 0 || o.optimizer != "muon" && o.optimizer != "adamw" {
		return o, fmt.Errorf("usage: go run ./bench/peers -python PYTHON [flags]; -help lists them")
	}
	for name := range strings.SplitSeq(*names, ",") {
		s, ok := sizes[name]
		if !ok {
			return o, fmt.Errorf("there is no size %q; give some of %s", name, sizeNames())
		}
		o.sizes = append(o.sizes, s)
	}
	for text := range strings.SplitSeq(*threads, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-threads %q: give numbers such as 1,2", *threads)
		}
		o.threads = append(o.threads, n)
	}
	return o, nil
}

// compare prints one table for each size and number of threads.
func compare(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	about, err := describe(ctx, o.python)
	if err != nil {
		return err
	}
	fmt.Print(about)
	for _, s := range o.sizes {
		for _, threads := range o.threads {
			b := bench{options: o, size: s, threads: threads, dir: dir}
			if err := b.run(ctx); err != nil {
				return fmt.Errorf("size %s, %d threads: %w", s.name, threads, err)
			}
		}
	}
	return nil
}
