// Command loop measures the loop itself: a campaign of many experiments of the
// target noop, which take no time, through the real engine, workers, ledger and
// repository.
//
//	go run ./bench/loop -experiments 1000
//
// It prints, for each tenth of the run, the time per experiment and the memory
// of engine and worker, and in the end what an experiment costs in history
// events and bytes. Time and memory must not grow with the number of
// experiments: the ratio of the last tenth to the first says so. It leaves
// nothing behind, and fails with what it was doing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/bench/bed"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workflows"
)

func main() {
	experiments := flag.Int("experiments", 1000, "how many, the baseline not counted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, *experiments); err != nil {
		fmt.Fprintln(os.Stderr, "loop:", err)
		os.Exit(1)
	}
}

const tag = "bench"

func measure(ctx context.Context, experiments int) error {
	c, err := bed.Make(ctx)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	w, err := c.Workers(target.NoopSource, 1)
	if err != nil {
		return err
	}
	defer w.Stop()
	run, err := workers.StartCampaign(ctx, c.Client, experiment.Settings{
		Tag: tag, Target: "noop", Budget: experiment.Duration(time.Second), Limits: experiment.Limits{Experiments: experiments},
	})
	if err != nil {
		return err
	}
	if err := watch(ctx, c, experiments, w.Failed()); err != nil {
		return err
	}
	var best experiment.Best
	if err := run.Get(ctx, &best); err != nil {
		return err
	}
	fmt.Printf("\n%d kept, %d discarded, %d crashed; best val_bpb %.4f (experiment %d)\n", best.Kept, best.Discarded, best.Crashed, *best.ValBpb, best.Experiment)
	return histories(ctx, c, experiments)
}

// watch prints a line for each tenth of the campaign.
func watch(ctx context.Context, c *bed.Bed, experiments int, failed <-chan error) error {
	fmt.Println("experiments  ms/experiment  engine MiB  worker MiB")
	tenth := max(1, experiments/10)
	var first, last float64
	done, since := -1, time.Now() // -1: the baseline is not decided
	for done < experiments {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		s, err := status(ctx, c)
		if err != nil || s.Baseline == nil {
			continue // not started yet, or a busy moment
		}
		if s.Trouble != "" || s.StopReason != "" && s.Experiments < experiments {
			return fmt.Errorf("the campaign is %s: %s%s", s.Phase, s.Trouble, s.StopReason)
		}
		if done < 0 {
			done, since = s.Experiments, time.Now()
		}
		if n := s.Experiments - done; n >= tenth || n > 0 && s.Experiments >= experiments {
			last = time.Since(since).Seconds() * 1000 / float64(n)
			if first == 0 {
				first = last
			}
			fmt.Printf("%11d  %13.1f  %10d  %10d\n", s.Experiments, last, rss(c.PID), rss(os.Getpid()))
			done, since = s.Experiments, time.Now()
		}
	}
	fmt.Printf("last tenth / first tenth: %.2f\n", last/first)
	return nil
}

func status(ctx context.Context, c *bed.Bed) (s experiment.Status, err error) {
	v, err := c.Client.QueryWorkflow(ctx, experiment.ResearchID(tag), "", workflows.QueryStatus)
	if err != nil {
		return s, err
	}
	return s, v.Get(&s)
}

// rss is the resident memory of a process in MiB, or 0 where it is not known.
func rss(pid int) (mib int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib >> 10
		}
	}
	return 0
}
