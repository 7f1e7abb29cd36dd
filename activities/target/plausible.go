package target

import (
	"fmt"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// A trainer says how many steps it took over how many tokens, in which charged
// time and memory. Charged time, wall time and peak memory in our results are
// measured from outside; steps and tokens only the trainer can know. Here its
// figures are held against what was measured.
//
// The score depends on none of them. So a bound has to be one that no honest
// run can cross, be it resumed, starved by other programs, or over in a blink:
// to accuse one falsely would be worse than to miss a lie that gains nothing.
// What a contradiction does show is that something other than our harness has
// written the figures, and then nothing else of the run is to be believed.
//
// Left out, for honest runs that would cross them:
//
//   - steps x batch x context = tokens: a program may change its batch as it
//     goes, and may step twice on one batch;
//   - six operations for each parameter and token: most parameters of a model
//     may be tables, of which a token uses one row;
//   - the order of the files' times: a clock may be set while a run goes on, and
//     a program may export its best model so far and train on. That a model is
//     the run's own is certain without: the directory had none before. That it
//     stays the same is, too: its digest is taken after the last process has
//     ended, and the evaluator's copy has to have it.
const (
	// claimSlack is what figures of charged time may differ from ours, in
	// seconds, and claimShare as a share. The harness reads its clock before the
	// process ends, and the kernel's books are kept in ticks.
	claimSlack = 2.0
	claimShare = 0.1
	// maxTokenRate and maxStepRate are for each second of CPU time, or of wall time
	// on a GPU, whose tokens one thread reads and sends there. To read a token takes
	// 1.5 ns and more, and a step some microseconds, if nothing is computed at all.
	maxTokenRate = 1e10
	maxStepRate  = 1e7
	// freeMemory is what a process may hold and not know of, or write and not
	// have held.
	freeMemory = 256 << 20
)

// claims are what a trainer says about its run.
type claims struct {
	done         *done   // nil for a run that did not end well
	last         metrics // the newest line of metrics.jsonl
	contradicted string  // what is wrong in metrics.jsonl itself
}

// measured is what is known from outside.
type measured struct {
	low, high time.Duration // bounds of the charged time of the whole run
	computing time.Duration // in which it can have computed, on a GPU or on one core
	held      int64         // bytes that the process held before it wrote the newest line
	peak      int64         // bytes
	model     int64         // bytes of the exported model
}

// plausible returns the failure of a run whose figures cannot be, and nil for
// what can.
func plausible(c claims, m measured) *experiment.Failure {
	if c.contradicted != "" {
		return tampered("the run's metrics contradict themselves: %s", c.contradicted)
	}
	steps, tokens, charged := c.last.Step, c.last.Tokens, c.last.Charged
	if c.done != nil {
		if c.done.Steps < steps || c.done.Tokens < tokens {
			return tampered("the run says that it ended after %d steps and %d tokens, and before that it had %d and %d", c.done.Steps, c.done.Tokens, steps, tokens)
		}
		steps, tokens, charged = c.done.Steps, c.done.Tokens, c.done.ChargedSeconds
	}
	computing := m.computing.Seconds()
	slack := claimSlack + claimShare*m.high.Seconds()
	switch {
	case steps < 0 || tokens < 0 || charged < 0:
		return tampered("the run says that it took %d steps over %d tokens in %g s", steps, tokens, charged)
	case charged > m.high.Seconds()+slack:
		return tampered("the run says that it was charged %.1f s, and used %.1f s at most", charged, m.high.Seconds())
	case c.done != nil && charged < m.low.Seconds()-slack:
		return tampered("the run says that it was charged %.1f s, and used %.1f s at least", charged, m.low.Seconds())
	case float64(tokens) > maxTokenRate*computing:
		return tampered("the run says that it read %d tokens, which no processor does in %.1f s", tokens, computing)
	case float64(steps) > maxStepRate*computing:
		return tampered("the run says that it took %d steps, which no processor does in %.1f s", steps, computing)
	case c.last.Memory > 0 && 2*c.last.Memory+freeMemory < m.held:
		return tampered("the run says that it held %d MiB at most, and held %d MiB", c.last.Memory>>20, m.held>>20)
	case c.done != nil && m.model > 2*m.peak+freeMemory:
		return tampered("the run left a model of %d MiB, and held %d MiB at most", m.model>>20, m.peak>>20)
	}
	return nil
}

func tampered(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.Tampered, Message: fmt.Sprintf(format, args...)}
}

// scoreFloor is the share of the uniform model's score below which a score is
// not believed. A byte is eight bits to a model that knows nothing, so this is
// 0.08 bits per byte. xz takes the default training text to 1.5, the strongest
// compressors to about 1, and people's guesses of English were estimated at 0.6
// to 1.3 (Shannon 1951, "Prediction and Entropy of Printed English"). A model
// that gets below has seen the text, or the text repeats itself a hundred times
// over and measures nothing.
const scoreFloor = 0.01

// PlausibleScore returns the failure for a score that no model can have reached
// by learning. uniform is the score of the model that finds every token equally
// likely, in the same unit: 8 bits per byte where tokens are bytes.
//
// It is a floor for impossible scores and no judge of good ones. A gain that is
// only surprising, however large, is what the search is for: it is measured
// again with fresh seeds, and on the audit split, before it is believed.
func PlausibleScore(valBpb, uniform float64) *experiment.Failure {
	if valBpb >= scoreFloor*uniform || !(uniform > 0) {
		return nil
	}
	return tampered("a score of %.4f is below %.2f, which no model reaches by learning: it has seen the text, or the text repeats itself", valBpb, scoreFloor*uniform)
}
