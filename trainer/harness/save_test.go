package harness

import (
	"slices"
	"testing"
	"time"
)

// Before it is known what a checkpoint costs, the size of the model says.
func TestFirstCheckpointOfALargeModel(t *testing.T) {
	r := benchRun(t, 5_000_000)
	if c := r.saver.cost; c < 15*time.Millisecond || c > 30*time.Millisecond {
		t.Errorf("20 MB on two cores are taken to cost %v, want 20ms", c)
	}
	if r.saver.due(r.saver.last+900*time.Millisecond, 1, options{budget: time.Second}) {
		t.Error("a checkpoint is due that would take more than two percent")
	}
}

// The cost of a checkpoint is measured, and the copy's memory is used again.
func TestCheckpointIsCounted(t *testing.T) {
	r := benchRun(t, 2_000_000)
	var slab *float32
	for step := range int64(3) {
		r.step = step + 1
		r.saver.cost = 0
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
		if err := r.collect(true); err != nil {
			t.Fatal(err)
		}
		if r.saver.cost <= 0 || r.saver.total < r.saver.cost {
			t.Errorf("step %d: a cost of %v, %v in all", r.step, r.saver.cost, r.saver.total)
		}
		if now := &r.saver.slab[0]; slab != nil && now != slab {
			t.Error("the copy has new memory")
		} else {
			slab = now
		}
	}
	if got := len(listCheckpoints(r.checkpoints())); got != checkpointsKept {
		t.Errorf("%d checkpoints", got)
	}
}

// Without memory for a copy the steps wait, and the checkpoint is the same.
func TestNoRoomForTheCopy(t *testing.T) {
	r := benchRun(t, 100_000)
	r.opts.memory = memoryUsed()
	r.step = 1
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if r.saver.slab != nil || r.saver.writing != nil {
		t.Error("it was copied")
	}
	c, err := openCheckpoint(checkpointPath(r.checkpoints(), 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	p := r.dev.Persistent()[3]
	want := p.Host()
	p.Fill(7)
	if err := c.load(r.dev.Persistent()); err != nil || !slices.Equal(p.Host(), want) {
		t.Errorf("%s came back otherwise (%v)", p.Name(), err)
	}
	r.opts.memory = 0
	if r.step++; r.save() != nil || r.saver.slab == nil {
		t.Error("with memory it was not copied")
	}
}
