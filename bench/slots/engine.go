package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer/llm"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/bench/bed"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// variant is a kind of campaign on the real engine.
type variant struct {
	proposer string
	slots    int
}

// lasts is how long a training run takes. All slots, the engine and the
// activities share one machine: with more of them each must be slower, or what
// is measured is the machine and not the waiting.
func (v variant) lasts() time.Duration {
	return max(3*time.Second, time.Duration(v.slots)*1500*time.Millisecond)
}

// perSlot is how many candidates each slot trains.
const perSlot = 12

// onEngine measures all variants in turn, several times over, so that a busy
// moment of the machine meets all of them.
func onEngine(ctx context.Context, proposers []string, slots []int, times int, from time.Duration) (map[variant][]gap, error) {
	b, err := bed.Make(ctx)
	if err != nil {
		return nil, err
	}
	defer b.Close(ctx)
	gaps := map[variant][]gap{}
	for round := range times {
		for _, n := range slots {
			for _, p := range proposers {
				v := variant{p, n}
				fmt.Fprintf(os.Stderr, "round %d of %d: %s, %d slots\n", round+1, times, p, n)
				found, err := measure(ctx, b, v, fmt.Sprintf("%s-%d-%d", p, n, round))
				if err != nil {
					return nil, fmt.Errorf("measure %s with %d slots: %w", p, n, err)
				}
				gaps[v] = append(gaps[v], found...)
				for _, g := range found {
					if from > 0 && g.idle >= from {
						fmt.Fprintln(os.Stderr, g)
					}
				}
			}
		}
	}
	return gaps, nil
}

// measure runs one campaign and reads its gaps.
func measure(ctx context.Context, b *bed.Bed, v variant, tag string) ([]gap, error) {
	if v.proposer == "llm" {
		server, err := llmtest.Start(llmtest.Options{Latency: v.lasts() / 5}) // a minute for five
		if err != nil {
			return nil, err
		}
		defer server.Close()
		if err := os.Setenv(llm.EnvBaseURL, server.URL()); err != nil {
			return nil, err
		}
	}
	source := strings.Replace(target.NoopSource, ")\n", fmt.Sprintf("\tSeconds = %g\n)\n", v.lasts().Seconds()), 1)
	w, err := b.Workers(source, v.slots)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	run, err := workers.StartCampaign(ctx, b.Client, experiment.Settings{
		Tag: tag, Target: "noop", Proposer: v.proposer, Budget: experiment.Duration(v.lasts()),
		Limits: experiment.Limits{Experiments: perSlot * v.slots, Parallel: v.slots},
	})
	if err != nil {
		return nil, err
	}
	over := make(chan error, 1)
	go func() { over <- run.Get(ctx, nil) }()
	for {
		select {
		case err := <-over:
			if err != nil {
				return nil, err
			}
			return readGaps(ctx, b, tag, perSlot*v.slots)
		case err := <-w.Failed():
			return nil, err
		case <-time.After(2 * time.Second):
			if trouble := troubleOf(ctx, b, tag); trouble != "" {
				return nil, fmt.Errorf("the campaign is in trouble: %s", trouble)
			}
		}
	}
}

// troubleOf is why a campaign waits for somebody who will not come.
func troubleOf(ctx context.Context, b *bed.Bed, tag string) string {
	var s experiment.Status
	v, err := b.Client.QueryWorkflow(ctx, experiment.ResearchID(tag), "", workflows.QueryStatus)
	if err != nil || v.Get(&s) != nil {
		return "" // a busy moment
	}
	return s.Trouble
}
