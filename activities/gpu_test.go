package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

// board is the GPU of a test: what a look at it shows, and what is told of it.
type board struct {
	mu    sync.Mutex
	now   health.Snapshot
	err   error
	tests int
	fails error // of the self-test
	told  []experiment.SlotHealth
	clock time.Time
}

func (b *board) set(change func(*board)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *board) show(s health.Snapshot) { b.set(func(b *board) { b.now = s }) }

func (b *board) states() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.told {
		all = append(all, string(h.State))
	}
	return all
}

func (b *board) reason() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told[len(b.told)-1].Reason
}

// plays is the target noop, whose runs on a GPU do what a test says.
type plays struct {
	target.Noop
	mu    sync.Mutex
	runs  []target.TrainSpec
	train func(s target.TrainSpec) (target.Record, error)
}

func (p *plays) Train(ctx context.Context, s target.TrainSpec, report func(target.Progress)) (target.Record, error) {
	p.mu.Lock()
	p.runs = append(p.runs, s)
	p.mu.Unlock()
	if p.train != nil {
		if r, err := p.train(s); err != nil || r.Failure != nil {
			return r, err
		}
	}
	return p.Noop.Train(ctx, s, report)
}

var fine = health.Snapshot{Total: 8 << 30, ClockMHz: 1900, TempC: 50, Watts: 500}

// gpuSlot is a slot with a GPU and a target. Every look at the clock is a second
// later, so every call of Watch is a sample.
func gpuSlot(t *testing.T, s slot, host *Host, uuid string, p *plays) (slot, *board) {
	b := &board{now: fine, clock: testClock}
	s.Train = &Train{Home: s.Home, Store: s.Store, Cores: s.Cores, Memory: s.Memory}
	s.Slot = "train-cuda@vm/" + uuid
	s.in.Campaign.Settings.Device = experiment.CUDA
	s.Targets = func(string) (target.Target, error) { return p, nil }
	s.GPU = NewGPU(&GPU{
		UUID: uuid, Name: "NVIDIA H200", Class: "cuda/nvidia-h200", Queue: s.Slot, Book: filepath.Join(string(s.Home), uuid+".json"),
		Look: func(context.Context) (health.Snapshot, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now, b.err
		},
		Test: func(context.Context) (float64, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.tests++
			return 700, b.fails
		},
		Tell: func(h experiment.SlotHealth) { b.set(func(b *board) { b.told = append(b.told, h) }) },
		now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.clock = b.clock.Add(time.Second)
			return b.clock
		},
		pause: time.Millisecond, settle: time.Millisecond,
	}, host)
	return s, b
}

func oneGPU(t *testing.T, train func(s target.TrainSpec) (target.Record, error)) (slot, *board, *plays) {
	p := &plays{train: train}
	s, b := gpuSlot(t, noopSlot(t), &Host{}, "GPU-1", p)
	return s, b, p
}

// fails trains and wants an error of the GPU that is retried.
func (s slot) fails(t *testing.T, says string) {
	t.Helper()
	_, err := s.environment().ExecuteActivity(s.Train.Train, s.in)
	require.ErrorContains(t, err, says)
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, ErrGPU, app.Type(), "%v", err)
	require.False(t, app.NonRetryable())
	require.Equal(t, elsewhere, app.NextRetryDelay())
}

// watched is a run of so many samples.
func watched(s target.TrainSpec, samples int) error { return watchedAs(0, s, samples) }

func watchedAs(pid int, s target.TrainSpec, samples int) error {
	for range samples {
		if err := s.GPU.Watch(pid); err != nil {
			return fmt.Errorf("the trainer was stopped: %w", err)
		}
	}
	return nil
}

// A run on a GPU says what was seen of it, and is told which it has.
func TestRunOnGPU(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	p.train = func(spec target.TrainSpec) (target.Record, error) {
		b.show(health.Snapshot{ClockMHz: 1900, TempC: 64, Watts: 600, Processes: []health.Process{{PID: 4711, Bytes: 3 << 30}}})
		defer b.show(fine)
		return target.Record{}, watched(spec, 12)
	}
	m := s.train(t).Measurement
	require.Nil(t, m.Failure)
	require.Equal(t, &experiment.GPU{UUID: "GPU-1", Name: "NVIDIA H200", Samples: 12, ClockMHz: 1900, MinClockMHz: 1900, MaxTempC: 64, MeanWatts: 600}, m.GPU)
	require.Equal(t, "cuda/nvidia-h200", m.Class)
	require.EqualValues(t, 3<<30, m.PeakBytes, "as NVML saw it")
	require.Equal(t, "GPU-1", p.runs[0].GPU.UUID)
	require.Equal(t, string(target.CandidateCUDA), filepath.Base(p.runs[0].Program))
	require.Equal(t, 1, b.tests, "before its first run")
	require.Equal(t, []string{"healthy"}, b.states())

	s.in.Number++
	s.train(t)
	require.Equal(t, 1, b.tests, "it was tested a moment ago")
	b.set(func(b *board) { b.clock = b.clock.Add(2 * testEvery) })
	s.in.Number++
	s.train(t)
	require.Equal(t, 2, b.tests)
}

// Somebody else's process: the slot steps back, says why, and goes on by itself.
func TestGPUBusy(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	busy := fine
	busy.Processes = []health.Process{{PID: 4711, Name: "python3", Bytes: 18 << 30}}
	b.show(busy)
	s.fails(t, "GPU-1: the GPU is busy with process 4711 (python3), 18432 MiB")
	require.Empty(t, p.runs)
	require.Equal(t, []string{"waiting"}, b.states())

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.Error(t, s.GPU.Ready(short), "it asks for nothing meanwhile")
	require.Equal(t, []string{"waiting"}, b.states(), "said once")
	b.show(fine)
	require.NoError(t, s.GPU.Ready(t.Context()))
	require.NoError(t, s.GPU.Fit(t.Context()))
	require.Equal(t, []string{"waiting", "healthy"}, b.states())
	require.Nil(t, s.train(t).Measurement.Failure)
}

// A GPU that breaks while it works is quarantined; the run goes on from where it
// was on another GPU of the host, and is charged once.
func TestGPUBreaks(t *testing.T) {
	for name, broken := range map[string]func(*board){
		"errors":   func(b *board) { b.now.ECC = 3 },
		"Xid":      func(b *board) { b.now.Xids = []health.Xid{{Code: 95}} },
		"disabled": func(b *board) { b.err = health.ErrUnknown },
		"silent":   func(b *board) { b.err = health.ErrSilent },
	} {
		t.Run(name, func(t *testing.T) {
			s, b, p := oneGPU(t, nil)
			other, _ := gpuSlot(t, s, s.GPU.Host, "GPU-2", p)
			p.train = func(spec target.TrainSpec) (target.Record, error) {
				if spec.GPU.UUID == "GPU-1" {
					require.NoError(t, watched(spec, 2))
					b.set(broken)
					return target.Record{}, watched(spec, 2)
				}
				return target.Record{}, watched(spec, 3)
			}
			s.fails(t, "GPU-1: ")
			require.Equal(t, []string{"healthy", "quarantined"}, b.states())
			b.set(func(b *board) { b.now, b.err = fine, nil })
			s.fails(t, b.reason())
			require.Len(t, p.runs, 1, "it stays so, until somebody starts its worker again")
			m := other.train(t).Measurement
			require.Nil(t, m.Failure)
			require.Equal(t, "GPU-2", m.GPU.UUID)
			require.Equal(t, 2, m.Attempts)
			require.Zero(t, m.GPU.Voids, "what was done before is good")
			require.Equal(t, []string{p.runs[0].Dir}, p.runs[1].Resume)
		})
	}
}

// A GPU that falls off its bus takes its host along: no slot there takes a new
// run. What has been trained is evaluated.
func TestGPULost(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	other, told := gpuSlot(t, s, s.GPU.Host, "GPU-2", p)
	p.train = func(spec target.TrainSpec) (target.Record, error) {
		if spec.GPU.UUID == "GPU-2" {
			return target.Record{}, nil
		}
		b.set(func(b *board) { b.err = fmt.Errorf("nvmlDeviceGetMemoryInfo: %w", health.ErrLost) })
		return target.Record{Failure: &experiment.Failure{Reason: experiment.RunFailed, Message: "CUDA_ERROR_UNKNOWN"}}, nil
	}
	trained := other.train(t)
	s.in.Number++
	s.fails(t, "has fallen off its bus")
	require.Equal(t, []string{"healthy", "drained"}, b.states())
	require.Equal(t, []string{"healthy", "drained"}, told.states())
	require.Contains(t, told.reason(), "GPU-1: the GPU is lost")
	other.in.Number += 2
	other.fails(t, "the host takes no new work: GPU-1")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.Error(t, other.GPU.Ready(short))
	require.NoError(t, other.GPU.Fit(t.Context()))
	other.in.Number -= 2
	require.Positive(t, other.evaluateIt(t, other.evaluation(trained)).ValBpb)
	require.Equal(t, []string{"healthy", "drained"}, told.states(), "it does not look healthy meanwhile")
}

// A run that its GPU holds back is void: nothing of it is recorded, charged or
// built on, and it is done again. After three in a row it is enough.
func TestThrottledRunIsVoid(t *testing.T) {
	for name, tc := range map[string]struct {
		spoilt int
		bad    health.Snapshot
		says   string
	}{
		"one":     {1, health.Snapshot{ClockMHz: 1200, Held: health.Thermal, TempC: 92}, ""},
		"two":     {2, health.Snapshot{ClockMHz: 1200, Held: health.PowerBrake}, ""},
		"slow":    {2, health.Snapshot{ClockMHz: 345}, ""},
		"enough":  {3, health.Snapshot{ClockMHz: 1200, Held: health.Thermal, TempC: 92}, "throttling: 3 runs in a row did not count, the last one because the GPU was held back by heat in "},
		"slowest": {3, health.Snapshot{ClockMHz: 345}, "throttling: 3 runs in a row did not count, the last one because the GPU ran at 345 MHz, and usually runs at 1900"},
	} {
		t.Run(name, func(t *testing.T) {
			s, b, p := oneGPU(t, nil)
			s.GPU.usual.Clocks = []int{1900, 1950, 1850}
			p.train = func(spec target.TrainSpec) (target.Record, error) {
				if len(p.runs) <= tc.spoilt {
					b.show(tc.bad)
					defer b.show(fine)
				}
				return target.Record{}, watched(spec, 8)
			}
			if tc.says != "" {
				s.fails(t, tc.says)
				require.Equal(t, []string{"healthy", "quarantined"}, b.states())
				return
			}
			m := s.train(t).Measurement
			require.Equal(t, tc.spoilt, m.GPU.Voids)
			require.Equal(t, 1, m.Attempts)
			require.InDelta(t, s.in.Campaign.Settings.Budget.Seconds(), m.ChargedSeconds, 1e-6)
			for _, spec := range p.runs {
				require.Empty(t, spec.Resume)
			}
			require.Equal(t, []string{"healthy"}, b.states())
			s.evaluateIt(t, s.evaluation(TrainResult{Measurement: m, Model: s.train(t).Model}))
			left, err := filepath.Glob(filepath.Join(string(s.Home), "runs", "mar5", "0007*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// Somebody comes while a run has the GPU: the run is void.
func TestSharedRunIsVoid(t *testing.T) {
	for _, known := range []bool{true, false} {
		if known && !health.PIDsTold() {
			continue // such a container
		}
		t.Run(fmt.Sprintf("ids are known: %v", known), func(t *testing.T) { sharedRunIsVoid(t, known) })
	}
}

func sharedRunIsVoid(t *testing.T, known bool) {
	s, b, p := oneGPU(t, nil)
	p.train = func(spec target.TrainSpec) (target.Record, error) {
		if len(p.runs) > 1 {
			return target.Record{}, nil
		}
		with := fine
		with.Processes = []health.Process{{PID: 1 << 30, Bytes: 1 << 30}}
		b.show(with)
		if !known { // then the first one to come is ours
			require.NoError(t, watched(spec, 1))
			with.Processes = append(with.Processes, health.Process{PID: 1<<30 + 1})
			b.show(with)
			return target.Record{}, watched(spec, 1)
		}
		return target.Record{}, watchedAs(os.Getpid(), spec, 1)
	}
	s.fails(t, "the GPU is busy with process")
	require.Equal(t, []string{"healthy", "waiting"}, b.states())
	b.show(fine)
	m := s.train(t).Measurement
	require.Equal(t, 1, m.GPU.Voids)
	require.Empty(t, p.runs[1].Resume)
}

func failing(reason experiment.Reason) (target.Record, error) {
	return target.Record{Failure: &experiment.Failure{Reason: reason, Message: "as played"}}, nil
}

// Whose failure it is.
func TestBlame(t *testing.T) {
	foreign := fine
	foreign.Processes = []health.Process{{PID: 4711, Bytes: 100 << 30}}
	for name, tc := range map[string]struct {
		reason experiment.Reason
		after  func(*board)
		says   string // of the GPU; "" is the candidate's
		tests  int
	}{
		"a bug":                        {experiment.RunFailed, nil, "", 2},
		"no memory":                    {experiment.OOM, nil, "", 1},
		"no memory, somebody has it":   {experiment.OOM, func(b *board) { b.now = foreign }, "busy with process 4711", 1},
		"not a number":                 {experiment.NaN, nil, "", 1},
		"a hang":                       {experiment.Timeout, nil, "", 2},
		"a hang of the GPU":            {experiment.Timeout, func(b *board) { b.fails = errors.New("no answer within 1m0s") }, "the self-test failed: no answer", 2},
		"a fault of the GPU":           {experiment.RunFailed, func(b *board) { b.fails = errors.New("wrong product") }, "wrong product", 2},
		"an illegal address":           {experiment.RunFailed, func(b *board) { b.now.Xids = []health.Xid{{Code: 31}} }, "", 2},
		"memory errors, also of a NaN": {experiment.NaN, func(b *board) { b.now.ECC = 1 }, "uncorrectable memory errors", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, b, p := oneGPU(t, nil)
			p.train = func(target.TrainSpec) (target.Record, error) {
				if tc.after != nil {
					b.set(tc.after)
				}
				return failing(tc.reason)
			}
			if tc.says != "" {
				s.fails(t, tc.says)
			} else {
				require.Equal(t, tc.reason, s.train(t).Measurement.Failure.Reason)
			}
			require.Equal(t, tc.tests, b.tests)
		})
	}
}

// A run's own word that the GPU has failed is looked into. It takes no GPU out of
// use where nothing is found; but that of another run does. And a program
// that says it everywhere is the one that fails.
func TestUnprovenGPUError(t *testing.T) {
	claim := func(target.TrainSpec) (target.Record, error) {
		return target.Record{}, fmt.Errorf("training: %w: CUDA_ERROR_ECC_UNCORRECTABLE (214)", target.ErrGPU)
	}
	s, b, p := oneGPU(t, claim)
	s.fails(t, "CUDA_ERROR_ECC_UNCORRECTABLE")
	require.Equal(t, []string{"healthy"}, b.states())
	require.Equal(t, 2, b.tests)
	s.fails(t, "CUDA_ERROR_ECC_UNCORRECTABLE")
	require.Equal(t, []string{"healthy"}, b.states(), "one run proves nothing, however often it says so")
	s.in.Number++
	s.fails(t, "two runs in a row ended with its errors, the last one: training: the GPU failed: CUDA_ERROR_ECC_UNCORRECTABLE (214)")
	require.Equal(t, []string{"healthy", "quarantined"}, b.states())

	s.in.Number++
	for i := range maxBlames {
		other, _ := gpuSlot(t, s, &Host{}, fmt.Sprintf("GPU-%d", i+2), p)
		if i+1 < maxBlames {
			other.fails(t, "CUDA_ERROR_ECC_UNCORRECTABLE")
			continue
		}
		f := other.train(t).Measurement.Failure
		require.Equal(t, experiment.RunFailed, f.Reason)
		require.Contains(t, f.Message, "3 attempts ended with an error of the GPU, and no GPU has one")
	}
}

// The counters may come after the error that the run was told of.
func TestProvenGPUError(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	p.train = func(target.TrainSpec) (target.Record, error) {
		b.set(func(b *board) { b.now.ECC = 1 })
		return target.Record{}, target.ErrGPU
	}
	s.fails(t, "1 uncorrectable memory errors")
	require.Equal(t, []string{"healthy", "quarantined"}, b.states())
}

// The evaluator is ours: what it says of the GPU is believed.
func TestEvaluationOnABrokenGPU(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	in := s.evaluation(s.train(t))
	broken := &brokenEvaluator{plays: p, err: fmt.Errorf("evaluating: %w", target.ErrGPU)}
	s.Targets = func(string) (target.Target, error) { return broken, nil }
	_, err := s.environment().ExecuteActivity(s.Evaluate, in)
	require.ErrorContains(t, err, "the GPU failed")
	require.Equal(t, []string{"healthy", "quarantined"}, b.states())
	require.Equal(t, "GPU-1", broken.spec.GPU.UUID)
	require.Nil(t, broken.spec.GPU.Watch)

	other, _ := gpuSlot(t, s, s.GPU.Host, "GPU-2", p)
	require.Positive(t, other.evaluateIt(t, in).ValBpb, "another GPU does it")
}

type brokenEvaluator struct {
	*plays
	err  error
	spec target.EvaluateSpec
}

func (e *brokenEvaluator) Evaluate(_ context.Context, s target.EvaluateSpec) (target.Score, error) {
	e.spec = s
	return target.Score{}, e.err
}

// A slot that is stopped while it trains says nothing about its GPU.
func TestStoppedRunOnGPU(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	p.train = func(spec target.TrainSpec) (target.Record, error) {
		b.set(func(b *board) { b.fails, b.now.Held = errors.New("unlucky"), health.Thermal })
		require.NoError(t, watched(spec, 1))
		cancel()
		require.NoError(t, spec.GPU.Watch(0))
		return target.Record{}, ctx.Err()
	}
	_, err := s.Train.Train(ctx, s.in)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"healthy"}, b.states())
	left, _ := filepath.Glob(filepath.Join(string(s.Home), "runs", "mar5", "0007-0-1*"))
	require.Empty(t, left, "but what was throttled is not built on")
}

// While a run has the GPU its own queue may be asked, since a task there waits;
// the shared one not.
func TestReadyAndFit(t *testing.T) {
	s, b, p := oneGPU(t, nil)
	p.train = func(target.TrainSpec) (target.Record, error) {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		require.NoError(t, s.GPU.Fit(t.Context()))
		require.Error(t, s.GPU.Ready(short))
		return target.Record{}, nil
	}
	s.train(t)
	s.GPU.quarantine("a test")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.Error(t, s.GPU.Fit(short))
	require.Error(t, s.GPU.Ready(short))
	require.Equal(t, experiment.SlotQuarantined, s.GPU.Health().State)
	require.Equal(t, []string{"healthy", "quarantined"}, b.states())
}

// What is usual outlives the worker.
func TestGPUBook(t *testing.T) {
	s, b, p := oneGPU(t, func(spec target.TrainSpec) (target.Record, error) { return target.Record{}, watched(spec, 6) })
	for range 3 {
		s.in.Number++
		s.train(t)
	}
	again, _ := gpuSlot(t, s, &Host{}, "GPU-1", p)
	require.Equal(t, 1900, again.GPU.clockOf())
	require.NoError(t, os.WriteFile(again.GPU.Book, []byte("{"), 0o644))
	broken, _ := gpuSlot(t, s, &Host{}, "GPU-1", p)
	require.Zero(t, broken.GPU.clockOf())

	s.GPU.Test = func(context.Context) (float64, error) { return 300, nil }
	s.GPU.doubt()
	require.NoError(t, s.GPU.Ready(t.Context()))
	require.Equal(t, experiment.SlotHealthy, s.GPU.Health().State)
	require.Contains(t, b.reason(), "the self-test reaches 300.0 TFLOP/s, and has reached 700.0 before")
}

// A campaign's scores come from one kind of slot.
func TestWrongDevice(t *testing.T) {
	s, _, _ := oneGPU(t, nil)
	s.in.Campaign.Settings.Device = ""
	_, err := s.environment().ExecuteActivity(s.Train.Train, s.in)
	require.ErrorContains(t, err, "campaign mar5 trains on cpu, and the slot train-cuda@vm/GPU-1 does not")
	cpu := noopSlot(t)
	cpu.in.Campaign.Settings.Device = experiment.CUDA
	_, err = cpu.environment().ExecuteActivity(cpu.Train.Train, cpu.in)
	require.ErrorContains(t, err, "trains on cuda")
}

func TestDescends(t *testing.T) {
	require.True(t, descends(os.Getpid(), os.Getpid()))
	require.True(t, descends(os.Getpid(), os.Getppid()))
	require.False(t, descends(os.Getppid(), os.Getpid()))
	require.False(t, descends(1<<30, os.Getpid()))
}
