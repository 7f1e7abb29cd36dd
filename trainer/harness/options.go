package harness

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// options are the trainer's command line; see the package comment.
type options struct {
	run, data string
	seed      uint64
	budget    time.Duration // 0 with steps
	steps     int           // 0 with budget
	cores     int
	resume    string
	charged   time.Duration // negative: take it from the checkpoint
	memory    int64         // bytes; 0 means no limit
	evalBatch int
	kernels   string
	device    string // "" or "cpu", "cuda", or "cuda:" and a UUID
	precision string
	cache     string
	rows      int // 0 bounds nothing
}

// onGPU says whether the run trains on a GPU.
func (o options) onGPU() bool { return strings.HasPrefix(o.device, "cuda") }

func parseOptions(args []string, usage io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("trainer", flag.ContinueOnError)
	f.SetOutput(usage)
	f.StringVar(&o.run, "run", "", "run `directory`, for everything this run writes")
	f.StringVar(&o.data, "data", "", "`directory` with train.bin")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the initial weights and of the data order")
	f.DurationVar(&o.budget, "budget", 0, "train for this much charged time, such as 60s")
	f.IntVar(&o.steps, "steps", 0, "train for this many steps instead of a budget")
	f.IntVar(&o.cores, "cores", 0, "CPU cores of the slot: threads to use, and what CPU time is divided by")
	f.StringVar(&o.resume, "resume", "", "checkpoint `file` to go on from")
	f.DurationVar(&o.charged, "charged", -1, "time already charged to this run; by default what the checkpoint says")
	f.Int64Var(&o.memory, "memory", 0, "memory limit in `bytes`; 0 for none")
	f.IntVar(&o.evalBatch, "eval-batch", 8, "`rows` of the exported graph's batch")
	f.StringVar(&o.kernels, "kernels", "", "instruction set of the kernels; by default the best one here")
	f.StringVar(&o.device, "device", "cpu", "what to train on: cpu; cuda, the first GPU that this process sees; or cuda:UUID")
	f.StringVar(&o.precision, "precision", "", "of products on a GPU: float32, tfloat32 or bfloat16; by default bfloat16")
	f.StringVar(&o.cache, "cache", "", "`directory` of kernels that were compiled for the GPU; without it they are compiled each time")
	f.IntVar(&o.rows, "rows", 0, "`windows` in a batch at most, for short runs that only try a program; 0 for what it asks for")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.onGPU() && o.precision == "" {
		o.precision = gpuPrecision
	}
	var err error
	f.Visit(func(given *flag.Flag) {
		if given.Name == "charged" && o.charged < 0 {
			err = errors.New("--charged must not be negative")
		}
	})
	return o, errors.Join(err, o.check(f.Args()))
}

// Bounds against slips of the keyboard: what is above them has no use here.
const (
	maxCores     = 1024
	maxEvalBatch = 4096
)

// gpuPrecision is what runs on a GPU have unless they say otherwise.
const gpuPrecision = "bfloat16"

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q; every argument is a flag", rest[0])
	case o.run == "" || o.data == "":
		return errors.New("--run and --data are both needed")
	case (o.budget > 0) == (o.steps > 0) || o.budget < 0 || o.steps < 0:
		return errors.New("give either --budget, such as 60s, or --steps, and make it positive")
	case o.cores < 1 || o.cores > maxCores:
		return fmt.Errorf("--cores is %d; it must be at least 1, and at most %d", o.cores, maxCores)
	case o.evalBatch < 1 || o.evalBatch > maxEvalBatch:
		return fmt.Errorf("--eval-batch is %d; it must be at least 1, and at most %d", o.evalBatch, maxEvalBatch)
	case o.rows < 0:
		return errors.New("--rows must not be negative")
	case o.memory < 0:
		return errors.New("--memory must not be negative")
	}
	return nil
}
