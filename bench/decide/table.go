package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
)

// summary is what many campaigns of one kind came to.
type summary struct {
	name                         string
	line, best, inflation, share sample
	runs, experiments, kept      sample
	drifted, voids, rate, claims sample
	claimed, false, again        int
	lines                        []float64
	intervals, covered           int
}

// sample adds up numbers for a mean and its standard error.
type sample struct{ n, sum, squares float64 }

func (s *sample) add(x float64) { s.n++; s.sum += x; s.squares += x * x }
func (s sample) mean() float64  { return s.sum / s.n }
func (s sample) err() float64 {
	m := s.mean()
	return math.Sqrt(max(0, s.squares/s.n-m*m) / (s.n - 1))
}

// study runs campaigns of one world under one contestant. Campaign i of a world
// has the same ideas in the same order whoever judges them.
func study(w world, k contestant, campaigns, budget, slots int, seed uint64) summary {
	all := effects()
	outcomes := make([]outcome, campaigns)
	var wg sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := worker; i < campaigns; i += runtime.GOMAXPROCS(0) {
				c := campaign{
					world: w, contestant: k, all: all, budget: budget, slots: slots,
					rng: rand.New(rand.NewPCG(seed, uint64(i))), seedRng: rand.New(rand.NewPCG(seed+1, uint64(i))),
				}
				outcomes[i] = c.run()
			}
		}()
	}
	wg.Wait()
	s := summary{name: k.name}
	for _, o := range outcomes {
		s.add(o)
	}
	return s
}

func (s *summary) add(o outcome) {
	s.line.add(o.line)
	s.lines = append(s.lines, o.line)
	s.best.add(o.best)
	s.inflation.add(o.inflation)
	s.runs.add(float64(o.runs))
	s.share.add(float64(o.checks) / float64(o.runs))
	s.experiments.add(float64(o.experiments))
	s.kept.add(float64(o.kept))
	s.drifted.add(float64(o.drifted))
	s.voids.add(float64(o.voids))
	s.rate.add(float64(o.false) / max(1, float64(o.claimed)))
	s.claims.add(float64(o.claimed))
	s.claimed += o.claimed
	s.false += o.false
	s.again += o.again
	s.intervals += o.intervals
	s.covered += o.covered
}

func percent(a, b int) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(a)/float64(b))
}

func header(out io.Writer) {
	fmt.Fprintln(out, "| noise | policy | gain of the line, mbpb | gain of the best claimed | gain per run, greedy = 1 | claims | false, per campaign | false, of all | by 10 fresh seeds | inflation, noise units | interval covers | kept | checks | drifts seen |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
}

// row prints a world under one policy, next to what the first one gained.
func (s summary) row(out io.Writer, w world, first summary) {
	ratio := "-"
	if first.line.mean() > 2*first.line.err() {
		per := s.line.mean() / s.runs.mean() / (first.line.mean() / first.runs.mean())
		ratio = fmt.Sprintf("%.2f ± %.2f", per, s.ratioErr(first))
	}
	fmt.Fprintf(out, "| %g | %s | %.2f ± %.2f | %.2f | %s | %.1f | %.1f %% | %s | %s | %.2f | %s | %.1f | %.0f %% | %.1f |\n",
		w.noise, s.name, 1e3*s.line.mean(), 1e3*s.line.err(), 1e3*s.best.mean(), ratio, s.claims.mean(), 100*s.rate.mean(), percent(s.false, s.claimed),
		percent(s.again, s.claimed), s.inflation.mean()/w.noise, percent(s.covered, s.intervals), s.kept.mean(), 100*s.share.mean(), s.drifted.mean())
}

// ratioErr is the standard error of the ratio of two policies' gains over the
// same campaigns.
func (s summary) ratioErr(of summary) float64 {
	ratio := s.line.mean() / of.line.mean()
	var d sample
	for i := range s.lines {
		d.add(s.lines[i] - ratio*of.lines[i])
	}
	return d.err() / math.Abs(of.line.mean())
}
