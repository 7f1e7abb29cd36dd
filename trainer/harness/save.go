package harness

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Checkpoints come every tenth of the run, and at least every saveEvery of
// charged time, unless that would cost more than saveShare of the time.
const (
	savesPerRun = 10
	saveEvery   = 5 * time.Second
	saveShare   = 0.02
)

// saver decides when a checkpoint is due.
type saver struct {
	last     time.Duration // charged time at the last checkpoint
	lastStep int64
	cost     time.Duration // charged time that the last one took
}

func (s *saver) due(now time.Duration, step int64, o options) bool {
	since := now - s.last
	switch {
	case step == s.lastStep:
		return false
	case o.steps > 0 && step-s.lastStep >= int64(max(1, o.steps/savesPerRun)):
		// Counted in steps, so that short runs have checkpoints too. A model so
		// big that this is dear takes long steps as well.
		return true
	case o.budget > 0 && since < min(saveEvery, o.budget/savesPerRun), o.steps > 0 && since < saveEvery:
		return false
	}
	return float64(s.cost) <= saveShare*float64(since)
}

func (r *Run) checkpoints() string { return filepath.Join(r.opts.run, "checkpoints") }

// saveOrStop runs between steps: it writes a checkpoint when one is due, and
// when the worker has asked the trainer to stop.
func (r *Run) saveOrStop() error {
	stop := false
	select {
	case <-r.signals:
		stop = true
	default:
	}
	if stop || r.saver.due(r.clock.charged(), r.step, r.opts) {
		if err := r.save(); err != nil {
			return fmt.Errorf("writing the checkpoint of step %d: %w", r.step, err)
		}
	}
	if stop {
		return errStopped
	}
	return nil
}

// save writes a checkpoint of the run as it stands between two steps.
func (r *Run) save() error {
	tensors := r.dev.Persistent()
	if have := describe(tensors); len(have) != len(r.created) {
		late := have[slices.IndexFunc(have, func(i tensorInfo) bool {
			return !slices.ContainsFunc(r.created, func(c tensorInfo) bool { return c.Name == i.Name })
		})]
		return failuref(ReasonError, "the tensor %q was created after the loop began, so a resumed run could not restore it; create every Param and State before the first run.Next()", late.Name)
	}
	// Metrics first: a checkpoint promises that the lines before it are there.
	if err := r.metrics.file.Sync(); err != nil {
		return err
	}
	rng, err := r.pcg.MarshalBinary()
	if err != nil {
		return err
	}
	start := r.clock.charged()
	err = writeCheckpoint(r.checkpoints(), checkpointHeader{
		Seed: r.opts.seed, Budget: r.opts.budget, Steps: r.opts.steps,
		Step: r.step, Tokens: r.tokens, Windows: r.windows,
		Charged: start, SmoothLoss: r.smoothLoss, RNG: rng,
	}, tensors)
	r.saver.last, r.saver.lastStep = r.clock.charged(), r.step
	r.saver.cost = r.saver.last - start
	return err
}

// restore puts the run back to where the checkpoint was written.
func (r *Run) restore() error {
	h, values, err := readCheckpoint(r.opts.resume)
	if err != nil {
		return err
	}
	tensors := r.dev.Persistent()
	if err := h.belongsTo(r.opts, tensors); err != nil {
		return err
	}
	for i, t := range tensors {
		t.SetHost(values[i])
	}
	if err := r.pcg.UnmarshalBinary(h.RNG); err != nil {
		return failuref(ReasonBadCheckpoint, "resuming from %s: its random state cannot be read: %v", r.opts.resume, err)
	}
	r.step, r.tokens, r.windows, r.smoothLoss = h.Step, h.Tokens, h.Windows, h.SmoothLoss
	r.clock.carried = h.Charged
	if r.opts.charged >= 0 {
		r.clock.carried = r.opts.charged
	}
	return nil
}
