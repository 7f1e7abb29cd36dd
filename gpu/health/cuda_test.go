//go:build cuda

package health_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

func TestSelfTest(t *testing.T) {
	emulated.Use(t)
	r, err := health.SelfTest("", "")
	require.NoError(t, err)
	require.LessOrEqual(t, r.Size, 2048, "a processor is slow")
	require.Positive(t, r.TFLOPS)
	_, err = health.SelfTest("GPU-none", "")
	var e *gpu.Error
	require.ErrorAs(t, err, &e)
}

func TestProbeOnAnEmulatedGPU(t *testing.T) {
	emulated.Use(t) // the one that this process has seen already
	r := health.Probe(t.Context())
	require.Nil(t, r.Problem)
	require.Empty(t, r.Blind)
	require.Equal(t, emulated.UUID(0), r.GPUs[0].UUID)
	require.Len(t, r.Looks, 1)
	require.Len(t, r.Libraries, 3)
}

// What NVML says of a GPU, as its emulation says it.
func TestMonitorOnEmulatedGPUs(t *testing.T) {
	one, two := emulated.UUID(1), emulated.UUID(2)
	parts := []string{"MIG-e0000000-0000-4000-8000-00000000000a", "MIG-e0000000-0000-4000-8000-00000000000b"}
	gpus := []string{emulated.GPU(1), emulated.GPU(2, "mig="+parts[0]+","+parts[1])}
	script := emulated.NewScript(t, gpus...)
	emulated.Use(t, script)
	m, err := health.Open(t.Context())
	require.NoError(t, err)
	defer m.Close()
	driver, cuda, err := m.Versions(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, driver)
	require.Equal(t, "12.9", cuda)
	all, err := m.GPUs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []health.GPU{{UUID: one, Name: "NVIDIA H200"}, {UUID: two, Name: "NVIDIA H200", MIG: parts, Divided: true}}, all)

	look := func(uuid string, directives ...string) health.Snapshot {
		t.Helper()
		require.NoError(t, script.Set(append(gpus[:2:2], directives...)...))
		s, err := m.Sample(t.Context(), uuid)
		require.NoError(t, err)
		return s
	}
	s := look(one)
	require.True(t, s.Judge(nil, s.Total*8/10).OK(), "%+v", s)
	require.EqualValues(t, 143771<<20, s.Total)
	require.Positive(t, s.MaxMHz)
	nvml := "nvml gpu=" + one + " "
	for directive, want := range map[string]health.State{
		"ecc=3": health.Sick, "remap=failed": health.Sick, "remap=pending": health.Healthy,
		"throttle=thermal": health.Busy, "throttle=brake": health.Busy, "throttle=hw": health.Busy, "throttle=power": health.Healthy,
		"used=140000MiB": health.Busy,
		fmt.Sprintf("process=%d:18000MiB", os.Getpid()): health.Busy,
	} {
		s := look(one, nvml+directive)
		require.Equal(t, want, s.Judge(nil, s.Total*8/10).State, "%s: %+v", directive, s)
	}
	require.NotEmpty(t, look(one, nvml+"remap=pending").Warning())
	s = look(one, nvml+fmt.Sprintf("clock=345 temp=92 watts=700 process=%d:18000MiB", os.Getpid()))
	require.Equal(t, []int{345, 92, 700}, []int{s.ClockMHz, s.TempC, int(s.Watts)})
	require.Equal(t, os.Getpid(), s.Processes[0].PID)
	require.EqualValues(t, 18000<<20, s.Processes[0].Bytes)
	if health.PIDsTold() {
		require.NotEmpty(t, s.Processes[0].Name)
	}

	// A part has its GPU's errors.
	require.Equal(t, health.Sick, look(parts[0], "nvml gpu="+two+" ecc=1").Lasting().State)
	require.True(t, look(parts[0]).Lasting().OK())

	// What is gone: a GPU, its parts, and one that was divided meanwhile.
	require.NoError(t, script.Set(gpus[0], emulated.GPU(2)))
	_, err = m.Sample(t.Context(), parts[0])
	require.ErrorIs(t, err, health.ErrUnknown)
	require.NoError(t, script.Set(emulated.GPU(1, "mig="+parts[0]), emulated.GPU(2)))
	_, err = m.Sample(t.Context(), one)
	require.ErrorIs(t, err, health.ErrUnknown)
	require.NoError(t, script.Set(gpus[1]))
	_, err = m.Sample(t.Context(), one)
	require.Error(t, err)
	require.False(t, health.Unseen(err).OK())
	require.NoError(t, script.Set(append(gpus, "lost gpu="+one)...))
	_, err = m.Sample(t.Context(), one)
	require.ErrorIs(t, err, health.ErrLost)

	// An Xid is an event: it is remembered, whatever is read later.
	require.NoError(t, script.Set(append(gpus, nvml+"xid=79")...))
	require.Eventually(t, func() bool {
		s, err := m.Sample(t.Context(), one)
		return err == nil && s.Lasting().State == health.Lost
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, health.Lost, look(one).Lasting().State)
}
