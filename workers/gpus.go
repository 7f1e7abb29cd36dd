package workers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/health"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// The drivers are asked in processes of their own, since one that hangs hangs
// whoever asks, and since only a process that sees one GPU alone can say that a
// trainer will be able to use it. They are this same program, with the command
// of ProbeArgs.

// ProbeArgs are the arguments of the command that prints a health.Report; with
// the UUID of a GPU it tests that one.
func ProbeArgs(test, cache string) []string {
	args := []string{"gpu", "probe"}
	if test != "" {
		args = append(args, "--test", test)
	}
	if cache != "" {
		args = append(args, "--cache", cache)
	}
	return args
}

const (
	// probeWithin: a driver that keeps no state between its users takes a second
	// or two for each GPU to start.
	probeWithin = time.Minute
	// testWithin is for a start, a kernel cache that is cold, and some products.
	testWithin = 2 * time.Minute
)

// GPUError says why GPUs cannot be used, and what to do.
type GPUError struct {
	Message, Help string
	Choice        bool // --gpus is wrong
}

func (e *GPUError) Error() string { return e.Message }

// Hint says what the user can do.
func (e *GPUError) Hint() string { return e.Help }

// GPU is one that a slot can have.
type GPU struct {
	gpu.Info
	Part      bool     // it is a MIG device
	Libraries []string // directories of NVIDIA's libraries
}

// Class is as in target.GPU: "cuda/nvidia-h200". Scores compare within a class.
func (g GPU) Class() string {
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(g.Name), "-"), "-.")
	return "cuda/" + cmp.Or(name[:min(len(name), 60)], "unknown")
}

var notName = regexp.MustCompile(`[^a-z0-9.]+`)

// FindGPUs lists the GPUs of this machine that slots can have: all, or those that
// choose names by UUID or by their number. A GPU that is divided (MIG) stands for
// its parts. The error is a *GPUError.
func FindGPUs(ctx context.Context, choose []string) ([]GPU, error) {
	r, err := Probe(ctx, "", "", "")
	if err != nil {
		return nil, err
	}
	all, err := usable(ctx, r)
	if err != nil {
		return nil, err
	}
	return chosen(all, choose)
}

// Probe runs the command that looks at this machine's GPUs: at those that visible
// names, or with test to try one. Whatever the drivers do it comes back.
func Probe(ctx context.Context, visible, test, cache string) (r health.Report, err error) {
	limit := probeWithin
	if test != "" {
		limit = testWithin
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return r, fmt.Errorf("find this program: %w", err)
	}
	var out, said bytes.Buffer
	cmd := exec.Command(self, ProbeArgs(test, cache)...)
	cmd.Args[0] = os.Args[0] // the name that it was started by
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.Env = os.Environ()
	if visible != "" {
		cmd.Env = append(cmd.Env, "CUDA_VISIBLE_DEVICES="+visible)
	}
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return r, fmt.Errorf("start the process that asks the NVIDIA driver: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = cmd.Process.Kill() // which a process that hangs in the driver may outlive: it is not waited for
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return r, &GPUError{Message: fmt.Sprintf("the NVIDIA driver gave no answer within %v", limit), Help: "look for NVRM and Xid lines in the kernel's log (dmesg); a driver that hangs needs a reboot"}
		}
		return r, ctx.Err()
	}
	if json.Unmarshal(out.Bytes(), &r) != nil {
		words := strings.TrimSpace(said.String())
		return r, &GPUError{Message: fmt.Sprintf("the process that asks the NVIDIA driver died (%v): %s", err, words[max(0, len(words)-500):]), Help: "look for NVRM and Xid lines in the kernel's log (dmesg)"}
	}
	return r, nil
}

// usable are the GPUs of a report that slots can have.
func usable(ctx context.Context, r health.Report) (all []GPU, err error) {
	var parts []string
	divided := map[string]bool{}
	for _, d := range r.Devices {
		parts = append(parts, d.MIG...)
		divided[d.UUID] = d.Divided
	}
	switch {
	case r.Problem != nil && r.Problem.Message == gpu.ErrNotBuilt.Error():
		return nil, &GPUError{Message: "this program was built without CUDA", Help: "build it with make cuda, which needs a C compiler and nothing of NVIDIA's"}
	case r.Problem != nil:
		return nil, &GPUError{Message: r.Problem.Message, Help: cmp.Or(r.Problem.Hint, "'autoresearch doctor' says what is missing")}
	case r.Blind != "":
		return nil, &GPUError{Message: "GPUs cannot be watched, so that their results could not be trusted: " + r.Blind, Help: "the driver's libnvidia-ml.so.1 (NVML) must be there and work, as nvidia-smi shows; in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
	}
	for _, l := range r.Libraries {
		if l.Problem != "" {
			return nil, &GPUError{Message: fmt.Sprintf("%s, %s, cannot be used: %s", l.Name, l.What, l.Problem), Help: "'autoresearch doctor' says where libraries are looked for"}
		}
	}
	libraries := append([]string{}, gpu.LibraryDirs(r.Libraries)...)
	for _, g := range r.GPUs {
		if !divided[g.UUID] && !strings.HasPrefix(g.UUID, "MIG-") {
			all = append(all, GPU{Info: g, Libraries: libraries})
		}
	}
	for _, uuid := range parts { // a process sees one of them at a time
		one, err := Probe(ctx, uuid, "", "")
		if err == nil && len(one.GPUs) == 0 {
			err = &GPUError{Message: fmt.Sprintf("the MIG device %s cannot be used: %v", uuid, one.Problem), Help: "choose others with --gpus"}
		}
		if err != nil {
			return nil, err
		}
		part := GPU{Info: one.GPUs[0], Part: true, Libraries: libraries}
		part.UUID = uuid
		all = append(all, part)
	}
	if len(all) == 0 {
		return nil, &GPUError{Message: "there is no GPU that could be used", Help: "'autoresearch doctor' says what there is"}
	}
	return all, nil
}

// chosen picks GPUs by UUID, or the unique beginning of one, or number.
func chosen(all []GPU, choose []string) (picked []GPU, err error) {
	if len(choose) == 0 {
		return all, nil
	}
	var names []string
	for i, g := range all {
		names = append(names, fmt.Sprintf("%d %s", i, g.UUID))
	}
	there := "there are: " + strings.Join(names, ", ")
	for _, name := range choose {
		var found []GPU
		for i, g := range all {
			if name == strconv.Itoa(i) || len(name) >= 8 && strings.HasPrefix(strings.ToLower(g.UUID), strings.ToLower(name)) {
				found = append(found, g)
			}
		}
		if len(found) != 1 {
			return nil, &GPUError{Message: fmt.Sprintf("--gpus names %q, which is %s", name, map[bool]string{true: "no GPU of this machine", false: "more than one"}[len(found) == 0]), Help: there, Choice: true}
		}
		if slices.ContainsFunc(picked, func(g GPU) bool { return g.UUID == found[0].UUID }) {
			return nil, &GPUError{Message: fmt.Sprintf("--gpus names the GPU %s twice", found[0].UUID), Help: there, Choice: true}
		}
		picked = append(picked, found[0])
	}
	return picked, nil
}

// startGPUs serves a slot for each GPU, and tells campaigns how they are.
func (w *Workers) startGPUs(ctx context.Context, c client.Client, cfg Config, where place) error {
	if len(cfg.GPUs) == 0 {
		return errors.New("a worker for GPUs has none")
	}
	if cfg.watch == nil {
		m, err := health.Open(ctx)
		if err != nil {
			return fmt.Errorf("watch the GPUs: %w", err)
		}
		w.closers = append(w.closers, m.Close)
		cfg.watch = watchBy(m, cfg.Home)
	}
	news := newHerald(c, cfg.logger())
	host := &activities.Host{}
	for _, g := range cfg.GPUs {
		s := seat(g.UUID)
		a := train(cfg, where.slotQueue(TrainCUDA, s), len(cfg.GPUs))
		a.GPU = activities.NewGPU(&activities.GPU{
			UUID: g.UUID, Name: g.Name, Class: g.Class(), Cache: kernels(cfg.Home, g), Memory: g.MemoryBytes, Libraries: g.Libraries,
			Queue: a.Slot, Tell: news.tell, Book: filepath.Join(cfg.Home.Cache(), "cuda", g.UUID+".json"),
		}, host)
		cfg.watch(g, a.GPU)
		news.tell(a.GPU.Health()) // whatever an earlier worker has said
		if err := w.startSlot(c, cfg, w.options(where, TrainCUDA, s), workflows.CUDAQueue, a); err != nil {
			return err
		}
	}
	w.wait.Go(func() { news.run(ctx) })
	return nil
}

// kernels is where compiled kernels for GPUs of this kind are kept.
func kernels(home experiment.Home, g GPU) string {
	return filepath.Join(home.Cache(), "cuda", strings.TrimPrefix(g.Class(), "cuda/"))
}

// watchBy lets NVML look at GPUs and processes of their own test them.
func watchBy(m *health.Monitor, home experiment.Home) func(GPU, *activities.GPU) {
	return func(g GPU, a *activities.GPU) {
		a.Look = func(ctx context.Context) (health.Snapshot, error) { return m.Sample(ctx, g.UUID) }
		a.Test = func(ctx context.Context) (float64, error) {
			r, err := Probe(ctx, g.UUID, g.UUID, kernels(home, g))
			switch {
			case err != nil:
				return 0, err
			case r.Problem != nil:
				return 0, r.Problem
			case r.Test == nil:
				return 0, errors.New("it has measured nothing")
			}
			return r.Test.TFLOPS, nil
		}
	}
}
