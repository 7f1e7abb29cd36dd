// Command slots measures how busy the slots of a campaign are: how long a slot
// has nothing to do between the end of one candidate's work and the start of the
// next training.
//
//	go run ./bench/slots simulate    in virtual time: runs of five minutes, a language model of one minute
//	go run ./bench/slots engine      on a real engine: how long it takes from one candidate to the next, and where the time goes
//
// The tables are Markdown, on standard output. It leaves nothing behind, and
// fails with what it was doing.
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
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "slots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to measure: simulate or engine")
	}
	flags := flag.NewFlagSet("slots "+args[0], flag.ExitOnError)
	slots := flags.String("slots", "1,2,4,8", "numbers of slots")
	proposers := flags.String("proposers", "hpo,llm", "who proposes")
	experiments := flags.Int("experiments", 40, "of each simulated campaign, for each slot")
	times := flags.Int("times", 3, "campaigns of each kind")
	gaps := flags.Duration("gaps", 0, "list gaps of at least this, with what was done meanwhile")
	_ = flags.Parse(args[1:])
	var counts []int
	for _, text := range strings.Split(*slots, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-slots is %q: numbers such as 1,2,4", *slots)
		}
		counts = append(counts, n)
	}
	switch names := strings.Split(*proposers, ","); args[0] {
	case "simulate":
		return simulate(names, counts, *experiments, *times, *gaps)
	case "engine":
		found, err := onEngine(ctx, names, counts, *times, *gaps)
		if err != nil {
			return err
		}
		printEngine(names, counts, found)
		return nil
	default:
		return fmt.Errorf("%q cannot be measured: simulate or engine", args[0])
	}
}
