package workers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

func gpus(uuids ...string) (all []GPU) {
	for _, u := range uuids {
		all = append(all, GPU{Info: gpu.Info{UUID: u, Name: "NVIDIA H200"}})
	}
	return all
}

func TestChosenGPUs(t *testing.T) {
	all := gpus("GPU-aaaa1111", "GPU-aaaa2222", "MIG-bbbb3333")
	for _, tc := range []struct {
		choose []string
		want   []GPU
		says   string
	}{
		{nil, all, ""},
		{[]string{"1"}, all[1:2], ""},
		{[]string{"MIG-bbbb3333", "0"}, []GPU{all[2], all[0]}, ""},
		{[]string{"gpu-aaaa2"}, all[1:2], ""},
		{[]string{"3"}, nil, `--gpus names "3", which is no GPU of this machine`},
		{[]string{"GPU-aaaa"}, nil, `--gpus names "GPU-aaaa", which is more than one`},
		{[]string{"GPU"}, nil, "no GPU"},
		{[]string{""}, nil, "no GPU"},
		{[]string{"0", "GPU-aaaa1111"}, nil, "--gpus names the GPU GPU-aaaa1111 twice"},
	} {
		got, err := chosen(all, tc.choose)
		require.Equal(t, tc.want, got, "%v", tc.choose)
		if tc.says == "" {
			require.NoError(t, err)
			continue
		}
		var refused *GPUError
		require.ErrorAs(t, err, &refused)
		require.Contains(t, refused.Message, tc.says)
		require.Equal(t, "there are: 0 GPU-aaaa1111, 1 GPU-aaaa2222, 2 MIG-bbbb3333", refused.Hint())
		require.True(t, refused.Choice)
	}
}

// What a report lacks becomes one message and one hint.
func TestUsableGPUs(t *testing.T) {
	two := []gpu.Info{{UUID: "GPU-1"}, {UUID: "GPU-2"}}
	for name, tc := range map[string]struct {
		r          health.Report
		want       int
		says, hint string
	}{
		"not built":      {health.Report{Problem: health.ProblemOf(gpu.ErrNotBuilt)}, 0, "this program was built without CUDA", "make cuda"},
		"no driver":      {health.Report{Problem: health.ProblemOf(&gpu.Error{Call: "load libcuda.so.1", Name: "no such library", Hint: "install one"})}, 0, "load libcuda.so.1: no such library", "install one"},
		"cannot watch":   {health.Report{GPUs: two, Blind: "libnvidia-ml.so.1 is not found"}, 0, "libnvidia-ml.so.1 is not found", "compute,utility"},
		"no products":    {health.Report{GPUs: two, Libraries: []gpu.Library{{Name: "libcublasLt", What: "matrix products", Problem: "not found: pip install it"}}}, 0, "libcublasLt, matrix products, cannot be used: not found: pip install it", "doctor"},
		"two":            {health.Report{GPUs: two, Devices: []health.GPU{{UUID: "GPU-1"}, {UUID: "GPU-2"}}}, 2, "", ""},
		"none":           {health.Report{}, 0, "there is no GPU that could be used", "doctor"},
		"divided, empty": {health.Report{GPUs: two[:1], Devices: []health.GPU{{UUID: "GPU-1", Divided: true}}}, 0, "no GPU that could be used", ""},
	} {
		all, err := usable(t.Context(), tc.r)
		require.Len(t, all, tc.want, name)
		if tc.says == "" {
			require.NoError(t, err, name)
			continue
		}
		var refused *GPUError
		require.ErrorAs(t, err, &refused, name)
		require.Contains(t, refused.Error(), tc.says, name)
		require.Contains(t, refused.Hint(), tc.hint, name)
	}
}

func TestGPUClass(t *testing.T) {
	for name, want := range map[string]string{
		"NVIDIA H200": "cuda/nvidia-h200", "NVIDIA H200 MIG 1g.18gb": "cuda/nvidia-h200-mig-1g.18gb", "": "cuda/unknown", "../x": "cuda/x",
	} {
		require.Equal(t, want, GPU{Info: gpu.Info{Name: name}}.Class())
	}
}

// A GPU is one worker's, whatever home, user or cluster that works for.
func TestGPULock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gpus")
	release, err := lockGPU(dir, "GPU-1")
	require.NoError(t, err)
	_, err = lockGPU(dir, "GPU-1")
	var inUse *GPUInUseError
	require.ErrorAs(t, err, &inUse)
	require.Contains(t, err.Error(), "the GPU GPU-1 is in use by the worker with process id ")
	require.Contains(t, inUse.Hint(), "--gpus")
	other, err := lockGPU(dir, "GPU-2")
	require.NoError(t, err)
	other()
	release()
	release, err = lockGPU(dir, "GPU-1")
	require.NoError(t, err)
	release()
	info, err := os.Stat(filepath.Join(dir, "GPU-1.lock"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o666), info.Mode().Perm(), "other users lock it too")
	info, err = os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.ModeSticky|0o777, info.Mode()&(os.ModeSticky|os.ModePerm))

	for _, bad := range []string{"", "../x", "a/b", ".."} {
		_, err := lockGPU(dir, bad)
		require.ErrorContains(t, err, "is no UUID of a GPU")
	}
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "GPU-3.lock")))
	_, err = lockGPU(dir, "GPU-3")
	require.Error(t, err, "nobody is led elsewhere")
}

// Workers of GPUs are told apart by their UUIDs.
func TestNamesOfGPUSlots(t *testing.T) {
	p := place{home: "/home", host: "vm-1", hash: "0123abcd"}
	s := seat("GPU-12-34")
	require.Equal(t, "train-cuda@vm-1/GPU-12-34", p.slotQueue(TrainCUDA, s))
	mine := p.identity(TrainCUDA, s)
	got, ok := p.slotOf(TrainCUDA, mine)
	require.True(t, ok)
	require.Equal(t, s, got)
	_, ok = p.slotOf(Train, mine)
	require.False(t, ok)
	_, ok = p.slotOf(TrainCUDA, p.identity(Train, nth(1)))
	require.False(t, ok)
	require.False(t, p.neighbour(mine))
	require.True(t, place{host: "vm-1", hash: "ffffffff"}.neighbour(mine))
}

// A slot asks for nothing before its GPU is fit, and looks again whether it is
// vacant after that took a while.
func TestVacancyWaitsForTheGPU(t *testing.T) {
	taken := make(chan struct{})
	vacant := closedChannel()
	fit := make(chan struct{})
	v := &vacancy{vacant: func() <-chan struct{} { return vacant }}
	v.ready = func(ctx context.Context) error {
		select {
		case <-fit:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err := v.tuner()
	require.NoError(t, err)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = v.ReserveSlot(short, nil)
	require.Error(t, err)
	close(fit)
	_, err = v.ReserveSlot(t.Context(), nil)
	require.NoError(t, err, "the failed one has given its place back")
	v.ReleaseSlot(nil)

	first := true
	v.ready = func(context.Context) error {
		if first {
			first, vacant = false, taken // somebody comes meanwhile
		}
		return nil
	}
	got := make(chan error, 1)
	go func() { _, err := v.ReserveSlot(t.Context(), nil); got <- err }()
	select {
	case <-got:
		require.Fail(t, "it took a slot that is not vacant")
	case <-time.After(10 * time.Millisecond):
	}
	close(taken)
	require.NoError(t, <-got)
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Campaigns hear of slots what they do not know, once, whenever they begin.
func TestHerald(t *testing.T) {
	var mu sync.Mutex
	var said []string
	tags := map[string]time.Time{}
	var fail error
	n := newHerald(nil, quiet{})
	n.running = func(context.Context) (map[string]time.Time, error) { return tags, nil }
	n.signal = func(_ context.Context, tag string, h experiment.SlotHealth) error {
		mu.Lock()
		defer mu.Unlock()
		if fail == nil {
			said = append(said, tag+" "+h.Queue+" "+string(h.State))
		}
		return fail
	}
	hears := func(want ...string) {
		t.Helper()
		said = nil
		require.NoError(t, n.round(t.Context()))
		require.ElementsMatch(t, want, said)
	}
	before, after := n.begun.Add(-time.Hour), n.begun.Add(time.Hour)
	healthy := experiment.SlotHealth{Queue: "a", State: experiment.SlotHealthy, At: n.begun}
	sick := experiment.SlotHealth{Queue: "a", State: experiment.SlotQuarantined, Reason: "ECC", At: n.begun}
	n.tell(healthy)
	tags["old"] = before
	hears("old a healthy") // an earlier worker may have said otherwise
	tags["new"] = after
	hears()
	n.tell(sick)
	hears("old a quarantined", "new a quarantined")
	again := sick
	again.At = again.At.Add(time.Minute)
	n.tell(again)
	hears()
	delete(tags, "old")
	tags["newer"] = after
	hears("newer a quarantined")
	tags["old"] = before
	hears("old a quarantined")
	n.tell(healthy)
	hears("old a healthy", "new a healthy", "newer a healthy")

	n.tell(sick)
	fail = &serviceerror.NotFound{}
	said = nil
	require.NoError(t, n.round(t.Context()), "one that has just ended needs nothing")
	fail = errors.New("away")
	n.tell(healthy)
	require.ErrorIs(t, n.round(t.Context()), fail)
	fail = nil
	hears("old a healthy", "new a healthy", "newer a healthy")
}
