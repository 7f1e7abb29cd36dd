// Command keeps asks whether the keeps of a finished campaign are true: it trains
// each of them, and the one before it in the line, with seeds that nobody has
// seen, and compares the two.
//
//	go run ./bench/keeps -home .autoresearch -tag mar5 -seeds 10 -out keeps.jsonl
//
// It reads the campaign's home and changes nothing there: runs are made and stored
// in a directory of its own (-work), and each one is a line of -out at once. A run
// that is there is not made again, so a run of this program that was killed goes
// on where it was. Runs follow one another on all cores of the campaign; nothing
// else should run on the machine.
//
// Confirmed keeps come first: their share of false ones is what the campaign
// states. With -all the others follow, those that were rolled back too.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// options are the command line.
type options struct {
	home, tag, out, work string
	seeds                int
	all                  bool
	sandbox              string
}

func main() {
	var o options
	flag.StringVar(&o.home, "home", experiment.HomeDir, "the campaign's home, a `directory`")
	flag.StringVar(&o.tag, "tag", "", "the campaign")
	flag.StringVar(&o.out, "out", "keeps.jsonl", "where each run becomes a line, a `file`")
	flag.StringVar(&o.work, "work", "keeps.work", "a `directory` for runs; it may be removed in the end")
	flag.IntVar(&o.seeds, "seeds", 10, "fresh seeds of each candidate")
	flag.BoolVar(&o.all, "all", false, "provisional keeps and those that were rolled back, too")
	flag.StringVar(&o.sandbox, "sandbox", "auto", "auto, required or off")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "keeps:", err)
		os.Exit(1)
	}
}

// run measures what is missing, and prints the table.
func (o options) run(ctx context.Context, out io.Writer) error {
	if err := experiment.ValidateTag(o.tag); err != nil {
		return fmt.Errorf("-tag: %w", err)
	}
	if o.seeds < 2 || flag.NArg() > 0 {
		return fmt.Errorf("want -seeds of 2 or more, and no further arguments")
	}
	home := experiment.Home(o.home)
	store := artifact.NewFile(home.Artifacts())
	campaign, err := campaignOf(ctx, store, o.tag)
	if err != nil {
		return err
	}
	results, err := (&ledger.Ledger{Home: home, Store: store}).Results(ctx, o.tag)
	if err != nil {
		return fmt.Errorf("reading the ledger of %s: %w", o.tag, err)
	}
	claims := claimsOf(results, o.all)
	if len(claims) == 0 {
		return fmt.Errorf("campaign %s in %s has no keep to measure: -all also measures those that are not confirmed", o.tag, o.home)
	}
	work, err := filepath.Abs(o.work)
	if err != nil {
		return err
	}
	m, err := newMachine(work, store, campaign, o.sandbox)
	if err != nil {
		return err
	}
	scores, err := measure(ctx, o, m, results, claims)
	if err != nil {
		return err
	}
	report(out, campaign, results, claims, scores)
	return nil
}
