package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

var h200 = gpu.Info{Name: "NVIDIA H200", UUID: "GPU-1", Major: 9, MemoryBytes: 143771 << 20, Driver: "12.9"}

// What the doctor says of GPUs, and that a machine without one is no ill machine.
func TestDoctorOnGPUs(t *testing.T) {
	notBuilt := &health.Problem{Message: gpu.ErrNotBuilt.Error()}
	none := &health.Problem{Message: "load libcuda.so.1: no such library", Hint: "install the driver", Fault: gpu.BySetup}
	look := health.Snapshot{Used: 600 << 20, Total: 143771 << 20, ClockMHz: 345, MaxMHz: 1980, TempC: 30, Watts: 75}
	busy, sick, warned := look, look, look
	busy.Processes = []health.Process{{PID: 4711, Name: "python3", Bytes: 1 << 30}}
	sick.ECC = 2
	warned.RemapPending = true
	for name, tc := range map[string]struct {
		r       health.Report
		devices []string
		want    []finding
	}{
		"nothing here":             {health.Report{Problem: notBuilt}, nil, []finding{{Level: "ok", Detail: "none found: training runs on the CPU (this program was built without CUDA)"}}},
		"a GPU, but not built":     {health.Report{Problem: notBuilt}, []string{"/dev/nvidia0"}, []finding{{Level: "warn", Detail: "/dev/nvidia0 here, but this program was built without CUDA", Fix: "make cuda, then use bin/autoresearch"}}},
		"built, no GPU":            {health.Report{Problem: none}, nil, []finding{{Level: "ok", Detail: "none found: training runs on the CPU (load libcuda.so.1: no such library)"}}},
		"a GPU without its driver": {health.Report{Problem: none}, []string{"/dev/nvidia0"}, []finding{{Level: "FAIL", Detail: "load libcuda.so.1: no such library", Fix: "install the driver"}}},
		"all is well": {
			health.Report{
				GPUs: []gpu.Info{h200}, Looks: []health.Snapshot{look}, Driver: "575.57", CUDA: "12.9",
				Libraries: []gpu.Library{{Name: "libnvrtc", What: "the kernel compiler", Path: "/lib/libnvrtc.so.12", Version: "12.9"}, {Name: "libcublasLt", What: "matrix products", Problem: "not found"}},
			}, nil,
			[]finding{
				{Level: "ok", Detail: "driver 575.57, which serves CUDA 12.9"},
				{Level: "ok", Detail: "0: NVIDIA H200 GPU-1, compute capability 9.0, 143771 MiB, driver for CUDA 12.9; 600 MiB in use, 345 of 1980 MHz, 30 C, 75 W: healthy"},
				{Level: "ok", Detail: "libnvrtc 12.9, the kernel compiler: /lib/libnvrtc.so.12"},
				{Level: "warn", Detail: "libcublasLt, matrix products: not found", Fix: "python3 -m pip install nvidia-cublas-cu12"},
			},
		},
		"divided": {health.Report{Devices: []health.GPU{{UUID: "GPU-1", Name: "NVIDIA H200", Divided: true, MIG: []string{"MIG-a", "MIG-b"}}}}, nil,
			[]finding{{Level: "ok", Detail: "NVIDIA H200 GPU-1 is divided (MIG) into MIG-a, MIG-b"}}},
		"blind": {health.Report{Devices: []health.GPU{{UUID: "GPU-1"}}, Blind: "no NVML"}, nil,
			[]finding{{Level: "FAIL", Detail: "GPUs cannot be watched: no NVML", Fix: "install the driver's libnvidia-ml.so.1 (NVML); in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility"}}},
	} {
		require.Equal(t, tc.want, gpuFindings(tc.r, tc.devices), name)
	}
	for level, s := range map[string]health.Snapshot{"warn": busy, "FAIL": sick} {
		require.Equal(t, level, gpuFinding(0, h200, []health.Snapshot{s}).Level)
	}
	require.Contains(t, gpuFinding(0, h200, []health.Snapshot{busy}).Detail, "busy with process 4711 (python3), 1024 MiB")
	require.Contains(t, gpuFinding(0, h200, []health.Snapshot{warned}).Detail, "waits for a reset of the GPU to be replaced")
	require.Equal(t, "ok", gpuFinding(1, h200, nil).Level, "nobody has looked")
}

func TestUnwellLine(t *testing.T) {
	now := time.Date(2026, 3, 5, 12, 2, 0, 0, time.UTC)
	h := experiment.SlotHealth{Queue: "train-cuda@vm/GPU-1", State: experiment.SlotQuarantined, Reason: "3 errors", At: now.Add(-2 * time.Minute)}
	require.Equal(t, "train-cuda@vm/GPU-1 quarantined, 2m00s ago: 3 errors", unwellLine(h, now))
	require.Equal(t, "train-cuda@vm/GPU-1 drained", unwellLine(experiment.SlotHealth{Queue: h.Queue, State: experiment.SlotDrained, At: now}, now))
}
