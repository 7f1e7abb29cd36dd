// Command gpu compares a training step on a GPU with PyTorch on the same GPU, in
// one run: trainer/train.go with the sizes of Karpathy's train.py (depth 8, 512
// channels, 4 heads of 128, 2,048 tokens of context, vocabulary 8,192, 524,288
// tokens a step, windows SSSL) against step.py, the same model in PyTorch with
// FlashAttention 3, where that is installed, else FlexAttention.
//
//	go run ./bench/gpu build DIR                 # on a machine with Go
//	DIR/run.sh                                   # on the one with the GPU, which needs no Go
//	DIR/bench time -dir DIR -python python3      # the comparison alone
//
// Build makes DIR, which holds all that the other machine needs: the trainer and
// the tests of the GPU packages as binaries, made data, the twin and run.sh, which
// tests, times, and checks with compute-sanitizer, in parts (see there). Time lets the peers take blocks of steps in turns (package race) and
// prints a Markdown table: tokens a second, the ratio to each twin by round, model
// FLOP utilization. It fails with the output of the peer that failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench/gpu: %v\n", err)
		os.Exit(1)
	}
}

const usage = "usage: go run ./bench/gpu build DIR, or DIR/bench time -dir DIR; -help lists the flags"

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s", usage)
	}
	switch args[0] {
	case "build":
		f := flag.NewFlagSet("build", flag.ContinueOnError)
		if err := f.Parse(args[1:]); err != nil {
			return err
		}
		if f.NArg() != 1 {
			return fmt.Errorf("%s", usage)
		}
		return build(f.Arg(0))
	case "time":
		o, err := parse(args[1:])
		if err != nil {
			return err
		}
		return o.compare(ctx)
	}
	return fmt.Errorf("%s", usage)
}

// options are the command line of the comparison.
type options struct {
	dir     string
	python  string
	device  string
	rounds  int
	steps   int // in a block
	compile bool
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("time", flag.ContinueOnError)
	f.StringVar(&o.dir, "dir", ".", "`directory` that build made")
	f.StringVar(&o.python, "python", "python3", "Python `interpreter` with torch; empty measures ours alone")
	f.StringVar(&o.device, "device", "cuda", "cuda, or cpu to try the benchmark out")
	f.IntVar(&o.rounds, "rounds", 5, "blocks of steps that each peer takes")
	f.IntVar(&o.steps, "steps", 10, "steps in a block")
	f.BoolVar(&o.compile, "compile", true, "compile the twins, as they are meant to be measured")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.steps < 1 || f.NArg() > 0 || o.device != "cuda" && o.device != "cpu" {
		return o, fmt.Errorf("%s", usage)
	}
	return o, nil
}
