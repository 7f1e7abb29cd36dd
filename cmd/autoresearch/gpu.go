package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/health"
	"github.com/autoresearch-go/autoresearch/workers"
)

// newGPU makes "gpu", which workers and the doctor start as processes of their
// own: a driver that hangs hangs whoever asks it.
func newGPU(a *app) *cobra.Command {
	c := &cobra.Command{Use: "gpu", Short: "ask the NVIDIA driver, for workers", Hidden: true, Args: cobra.NoArgs}
	var test, cache string
	probe := &cobra.Command{
		Use: "probe", Short: "what this machine has for work on GPUs, as JSON", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if test == "" {
				return a.object(health.Probe(cmd.Context()))
			}
			r := health.Report{GPUs: []gpu.Info{}}
			t, err := health.SelfTest(test, cache)
			if r.Problem = health.ProblemOf(err); err == nil {
				r.Test = &t
			}
			return a.object(r)
		},
	}
	probe.Flags().StringVar(&test, "test", "", "try the GPU with this `UUID`, which nobody else may have")
	probe.Flags().StringVar(&cache, "cache", "", "`DIR` of compiled kernels")
	c.AddCommand(probe)
	return c
}

// gpusFlag adds --gpus.
func gpusFlag(f *pflag.FlagSet, gpus *[]string) {
	f.StringSliceVar(gpus, "gpus", nil, "only these GPUs, by `UUID` or number, separated by commas (default: all)")
}

// findGPUs is workers.FindGPUs with the answer that the user gets.
func findGPUs(ctx context.Context, choose []string) ([]workers.GPU, error) {
	all, err := workers.FindGPUs(ctx, choose)
	var unusable *workers.GPUError
	if errors.As(err, &unusable) {
		code := exitFailure
		if unusable.Choice {
			code = exitUsage
		}
		return nil, newFailure(code, unusable.Help, "%w", err)
	}
	if err == nil {
		err = target.CanBuildCUDA(ctx)
	}
	if err != nil {
		return nil, failed("candidates are built where they train; 'autoresearch doctor' checks this machine", "%w", err)
	}
	return all, nil
}

// noteGPUs names the GPUs that are served.
func (a *app) noteGPUs(all []workers.GPU) {
	for _, g := range all {
		a.note("gpu       %s", gpuText(g.Info))
	}
}

// gpuText is "NVIDIA H200 GPU-1234..., compute capability 9.0, 143771 MiB, CUDA 12.9".
func gpuText(g gpu.Info) string {
	text := fmt.Sprintf("%s %s, compute capability %d.%d, %d MiB", g.Name, g.UUID, g.Major, g.Minor, g.MemoryBytes>>20)
	if g.Driver != "" {
		text += ", driver for CUDA " + g.Driver
	}
	return text
}

// gpuState is the doctor's look at GPUs. None is fine; one that is there and
// cannot be used is not.
func (a *app) gpuState(ctx context.Context) []finding {
	r, err := workers.Probe(ctx, "", "", "")
	if err != nil {
		f := classify(err)
		return []finding{warn(f.Error(), f.hint)}
	}
	out := append(gpuFindings(r, nvidiaDevices()), a.gpuTests(ctx, r)...)
	if len(r.GPUs) > 0 {
		if err := target.CanBuildCUDA(ctx); err != nil {
			return append(out, fail("programs for GPUs cannot be built here: "+err.Error(), ""))
		}
		out = append(out, ok("programs for GPUs can be built here"))
	}
	return out
}

// nvidiaDevices are the device files of GPUs.
func nvidiaDevices() []string {
	all, _ := filepath.Glob("/dev/nvidia[0-9]*")
	return all
}

// gpuFindings says what a report means to somebody who wants to train on GPUs,
// and, where there is no sign of a GPU, nothing that looks like a fault.
func gpuFindings(r health.Report, devices []string) (out []finding) {
	there := len(devices) > 0 || len(r.GPUs)+len(r.Devices) > 0
	switch {
	case r.Problem != nil && r.Problem.Message == gpu.ErrNotBuilt.Error() && there:
		return []finding{warn(fmt.Sprintf("%s here, but this program was built without CUDA", strings.Join(devices, ", ")), "make cuda, then use bin/autoresearch")}
	case r.Problem != nil && r.Problem.Message == gpu.ErrNotBuilt.Error():
		return []finding{ok("none found: training runs on the CPU (this program was built without CUDA)")}
	case r.Problem != nil && !there && r.Problem.Fault == gpu.BySetup:
		out = append(out, ok("none found: training runs on the CPU ("+r.Problem.Message+")"))
	case r.Problem != nil:
		out = append(out, fail(r.Problem.Message, r.Problem.Hint))
	}
	if r.Driver != "" {
		out = append(out, ok(fmt.Sprintf("driver %s, which serves CUDA %s", r.Driver, cmp.Or(r.CUDA, "?"))))
	}
	for i, g := range r.GPUs {
		out = append(out, gpuFinding(i, g, r.Looks))
	}
	for _, d := range r.Devices {
		if d.Divided {
			out = append(out, ok(fmt.Sprintf("%s %s is divided (MIG) into %s", d.Name, d.UUID, cmp.Or(strings.Join(d.MIG, ", "), "no device yet: nvidia-smi mig -cgi makes some"))))
		}
	}
	if there {
		for _, l := range r.Libraries {
			out = append(out, libraryFinding(l))
		}
		if r.Blind != "" {
			out = append(out, fail("GPUs cannot be watched: "+r.Blind, "install the driver's libnvidia-ml.so.1 (NVML); in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility"))
		}
	}
	return out
}

// gpuFinding is one GPU, and whether a run could begin there now.
func gpuFinding(i int, g gpu.Info, looks []health.Snapshot) finding {
	text := fmt.Sprintf("%d: %s", i, gpuText(g))
	if i >= len(looks) {
		return ok(text)
	}
	s := looks[i]
	text += fmt.Sprintf("; %d MiB in use, %d of %d MHz, %d C, %.0f W", s.Used>>20, s.ClockMHz, s.MaxMHz, s.TempC, s.Watts)
	switch v := s.Judge(nil, 0); {
	case v.State == health.Sick || v.State == health.Lost:
		return fail(text+": "+v.Reason, "no run gets this GPU")
	case !v.OK():
		return warn(text+": "+v.Reason, "runs wait until it is free")
	case s.Warning() != "":
		return warn(text+": "+s.Warning(), "")
	}
	return ok(text + ": healthy")
}

func libraryFinding(l gpu.Library) finding {
	if l.Problem != "" {
		return warn(l.Name+", "+l.What+": "+l.Problem, libraryCure(l))
	}
	return ok(strings.TrimSpace(fmt.Sprintf("%s %s, %s: %s", l.Name, l.Version, l.What, l.Path)))
}

// libraryCure is the command that installs what is missing.
func libraryCure(l gpu.Library) string {
	switch l.Name {
	case "libnvrtc":
		return "python3 -m pip install nvidia-cuda-nvrtc-cu12"
	case "libcublasLt":
		return "python3 -m pip install nvidia-cublas-cu12"
	}
	return "install the NVIDIA driver"
}

// gpuTests tries every GPU that nobody has.
func (a *app) gpuTests(ctx context.Context, r health.Report) (out []finding) {
	for i, g := range r.GPUs {
		if i >= len(r.Looks) || !r.Looks[i].Judge(nil, 0).OK() {
			continue
		}
		t, err := workers.Probe(ctx, g.UUID, g.UUID, "")
		if err == nil && t.Problem != nil {
			err = t.Problem
		}
		if err != nil || t.Test == nil {
			out = append(out, fail(fmt.Sprintf("%d: the self-test failed: %v", i, err), "no run gets this GPU; look for NVRM and Xid lines in the kernel's log (dmesg)"))
			continue
		}
		out = append(out, ok(fmt.Sprintf("%d: self-test passed, %.1f TFLOP/s", i, t.Test.TFLOPS)))
	}
	return out
}
