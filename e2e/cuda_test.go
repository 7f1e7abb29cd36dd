//go:build cuda

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
)

// The tests below run the command as it is built with the tag cuda, on GPUs that
// are emulated: what happens to those a script says, which a test may change at
// any moment. The target noop trains nothing, for as long as its constant says.
func init() { buildFlags = []string{"-tags", "cuda"} }

// onGPUs gives the user n GPUs, numbered from 1, that nobody else has.
func (u *user) onGPUs(n int) (script *emulated.Script, uuids []string) {
	u.t.Helper()
	var lines []string
	for i := range n {
		number := (os.Getpid()&0xffff)<<16 | int(time.Now().UnixNano()&0xfff)<<4 | i
		lines, uuids = append(lines, emulated.GPU(number)), append(uuids, emulated.UUID(number))
	}
	libraries := emulated.Libraries(u.t)
	script = emulated.NewScript(u.t, lines...)
	u.env = append(u.env, script.Env(libraries)...)
	return script, uuids
}

// lasting is noop with runs that take a while.
func (u *user) lasting(seconds float64) *user {
	u.t.Helper()
	u.noop()
	path := filepath.Join(u.clone, "noop", "train.go")
	text := strings.Replace(target.NoopSource, "\tOutcome", fmt.Sprintf("\tSeconds = %g\n\tOutcome", seconds), 1)
	require.NoError(u.t, os.WriteFile(path, []byte(text), 0o644))
	git(u.t, u.clone, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "it takes time")
	return u
}

func upOnCUDA(tag string, experiments int, more ...string) []string {
	return append([]string{"up", plain, "--target", "noop", "--device", "cuda", "--tag", tag, "--budget", "30s", "--experiments", fmt.Sprint(experiments), "--seeds", "1", "--exit"}, more...)
}

// unwell is what status says of a GPU's slot; "" is nothing.
func (u *user) unwell(tag, uuid string) (state experiment.SlotState, reason string) {
	for _, h := range u.status(tag).Unwell {
		if strings.HasSuffix(h.Queue, "/"+uuid) {
			return h.State, h.Reason
		}
	}
	return "", ""
}

// trainingOn waits until a run has begun on a GPU, and says which experiment that
// is. Its directory is made when the last look before it was good.
func (u *user) trainingOn(c client.Client, tag, uuid string) (n int) {
	u.t.Helper()
	eventually(u.t, "a run has the GPU "+uuid, func() bool {
		for _, n = range u.inStage(tag, experiment.Training) {
			d, err := c.DescribeWorkflowExecution(context.Background(), experiment.ExperimentID(tag, n), "")
			if err != nil {
				continue
			}
			for _, a := range d.GetPendingActivities() {
				if dirs, _ := filepath.Glob(filepath.Join(u.home, "runs", tag, fmt.Sprintf("%04d-0-*", n))); len(dirs) == 0 {
					continue
				}
				if a.GetActivityType().GetName() == "Train" && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && strings.Contains(a.GetLastWorkerIdentity(), uuid) {
					return true
				}
			}
		}
		return false
	})
	return n
}

// span is a run's time on a slot.
type span struct {
	slot       string
	begin, end time.Time
}

// spans are the times of all trainings and evaluations of a campaign, by the
// identity of the worker.
func (u *user) spans(c client.Client, tag string) (all []span) {
	u.t.Helper()
	for _, n := range u.begun(tag) {
		started := map[int64]span{}
		events := c.GetWorkflowHistory(context.Background(), experiment.ExperimentID(tag, n), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(u.t, err)
			if s := e.GetActivityTaskStartedEventAttributes(); s != nil && strings.HasPrefix(s.GetIdentity(), "train-cuda@") {
				started[e.GetEventId()] = span{slot: strings.Split(s.GetIdentity(), "/")[1], begin: e.GetEventTime().AsTime()}
			}
			if d := e.GetActivityTaskCompletedEventAttributes(); d != nil {
				if s, ok := started[d.GetStartedEventId()]; ok {
					s.end = e.GetEventTime().AsTime()
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// checkAlone proves that no GPU did two things at once, and says which worked. A
// worker is done a moment before Temporal writes it down; runs last longer.
func checkAlone(t *testing.T, spans []span) (slots []string) {
	t.Helper()
	slices.SortFunc(spans, func(a, b span) int { return a.begin.Compare(b.begin) })
	last := map[string]span{}
	for _, s := range spans {
		if before, ok := last[s.slot]; ok {
			require.False(t, s.begin.Add(time.Second).Before(before.end), "%s has two things to do at once: %v and %v", s.slot, before, s)
		} else {
			slots = append(slots, s.slot)
		}
		last[s.slot] = s
	}
	return slots
}

// Two GPUs, two slots: both work, neither does two things at once, and every
// measurement says how its GPU was. The campaign is started as with tctl, before
// there is a worker for it, and waits for one.
func TestCUDACampaign(t *testing.T) {
	t.Parallel()
	u := newUser(t).lasting(1.5)
	script, uuids := u.onGPUs(2)
	const tag = "pair"
	research := u.start("worker", "--research")
	eventually(t, "the engine is ready", func() bool { return u.engine().Ready && u.enginePID() > 0 })
	c := u.temporal()
	_, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: "research-" + tag, TaskQueue: "research"}, "Research",
		map[string]any{"tag": tag, "target": "noop", "device": "cuda", "budget": "30s", "seeds": 2, "parallel": 2, "experiments": 4, "policy": "threshold/1"})
	require.NoError(t, err)
	eventually(t, "status says what is missing", func() bool {
		return strings.Contains(u.run("status", "--tag", tag), "no worker serves train-cuda; start one: autoresearch worker --cuda")
	})
	u.fails(2, "which is no GPU of this machine", "worker", "--cuda", "--gpus", "7")
	w := u.start("worker", "--cuda", "--gpus", uuids[1]+",0")
	require.NoError(t, c.GetWorkflow(context.Background(), "research-"+tag, "").Get(context.Background(), nil))
	require.Contains(t, w.output(), "NVIDIA H200 "+uuids[0]+", compute capability 9.0, 143771 MiB")
	u.checkLedger(tag, 4)
	require.Len(t, checkAlone(t, u.spans(c, tag)), 2, "both have worked")
	for _, r := range u.history(tag) {
		for _, m := range r.Measurements {
			require.Equal(t, "cuda/nvidia-h200", m.Class)
			require.Contains(t, m.Slot, m.GPU.UUID)
			require.True(t, strings.HasPrefix(m.Slot, "train-cuda@"), m.Slot)
			require.Positive(t, m.GPU.Samples)
			require.Equal(t, 1980, m.GPU.ClockMHz)
			require.Zero(t, m.GPU.Voids)
		}
	}
	require.Equal(t, experiment.CUDA, u.status(tag).Device)

	// A GPU is one worker's, whatever its home.
	other := newUser(t).noop()
	other.env = u.env
	other.fails(4, "the GPU "+uuids[0]+" is in use by the worker with process id "+fmt.Sprint(w.cmd.Process.Pid), "worker", "--cuda", "--gpus", "0")
	require.False(t, research.ended())
	require.NoError(t, script.Add("nvml gpu="+uuids[1]+" ecc=1"))
	require.Regexp(t, `FAIL gpu +1: .*1 uncorrectable memory errors`, u.doctorOnGPUs())
}

// doctorOnGPUs is what the doctor says of GPUs, whatever else it finds.
func (u *user) doctorOnGPUs() string {
	cmd := u.command("doctor")
	out, _ := cmd.Output()
	var lines []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, " gpu ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// A GPU whose memory fails while a run has it is quarantined, with its reason in
// the status, in the details and in the history; the run goes on on the other
// GPU, which does all the rest, and the ledger is as if nothing had happened.
func TestCUDASickGPU(t *testing.T) {
	t.Parallel()
	u := newUser(t).lasting(2)
	script, uuids := u.onGPUs(2)
	const tag, reason = "sick", "3 uncorrectable memory errors (ECC)"
	up := u.start(upOnCUDA(tag, 4)...)
	eventually(t, "the engine is ready", func() bool { return u.engine().Ready && u.enginePID() > 0 })
	c := u.temporal()
	n := u.trainingOn(c, tag, uuids[0])
	require.NoError(t, script.Add("nvml gpu="+uuids[0]+" ecc=3"))
	eventually(t, "the GPU is quarantined", func() bool {
		state, why := u.unwell(tag, uuids[0])
		return state == experiment.SlotQuarantined && strings.Contains(why, reason)
	})
	require.Contains(t, u.run("status", "--tag", tag), uuids[0]+" quarantined")
	state, _ := u.unwell(tag, uuids[1])
	require.Empty(t, state)
	require.NoError(t, script.Set(emulatedLines(script)[:2]...)) // a counter that is cleared cures nothing
	up.wait()
	u.checkLedger(tag, 4)
	for _, r := range u.history(tag) {
		if r.Experiment > n+1 { // what had no slot by then
			require.Equal(t, uuids[1], r.Measurements[0].GPU.UUID)
		}
	}
	row := row(t, u.history(tag), n)
	require.NotEqual(t, experiment.Crash, row.Verdict, "it is not the candidate's fault")
	require.Equal(t, uuids[1], row.Measurements[0].GPU.UUID)
	require.Equal(t, 2, row.Measurements[0].Attempts)
	require.InDelta(t, 30, row.Measurements[0].ChargedSeconds, 1e-6, "charged once")
	require.Contains(t, u.signals(c, tag, "slot"), reason)
	checkAlone(t, u.spans(c, tag))
}

func emulatedLines(s *emulated.Script) []string {
	b, _ := os.ReadFile(s.Path())
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// signals are all signals of a name in a campaign's history, as they stand there.
func (u *user) signals(c client.Client, tag, name string) string {
	u.t.Helper()
	var out strings.Builder
	events := c.GetWorkflowHistory(context.Background(), experiment.ResearchID(tag), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		var e *historypb.HistoryEvent
		e, err := events.Next()
		require.NoError(u.t, err)
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s.GetSignalName() == name {
			for _, p := range s.GetInput().GetPayloads() {
				out.Write(p.GetData())
			}
		}
	}
	return out.String()
}

// A GPU that is gone drains its host: nothing new begins there. After the reboot
// the same command goes on, and nothing is lost.
func TestCUDALostGPU(t *testing.T) {
	t.Parallel()
	u := newUser(t).lasting(2)
	script, uuids := u.onGPUs(2)
	const tag = "lost"
	up := u.start(upOnCUDA(tag, 3)...)
	eventually(t, "the engine is ready", func() bool { return u.engine().Ready && u.enginePID() > 0 })
	u.trainingOn(u.temporal(), tag, uuids[1])
	require.NoError(t, script.Add("lost gpu="+uuids[1]))
	for _, uuid := range uuids {
		eventually(t, "the host is drained", func() bool {
			state, why := u.unwell(tag, uuid)
			return state == experiment.SlotDrained && strings.Contains(why, uuids[1]+": the GPU is lost")
		})
	}
	eventually(t, "status says that runs wait", func() bool { return strings.Contains(u.run("status", "--tag", tag), " drained") })
	require.False(t, up.ended())
	up.kill()
	require.NoError(t, script.Set(emulatedLines(script)[:2]...))
	u.start(upOnCUDA(tag, 3)...).wait()
	u.checkLedger(tag, 3)
	require.Empty(t, u.status(tag).Unwell, "a new worker has looked at them")
}

// Runs on a GPU that is held back do not count, and are done again. While it is
// hot nothing begins.
func TestCUDAThrottledGPU(t *testing.T) {
	t.Parallel()
	u := newUser(t).lasting(4)
	script, uuids := u.onGPUs(1)
	const tag = "hot"
	up := u.start(upOnCUDA(tag, 1)...)
	eventually(t, "the engine is ready", func() bool { return u.engine().Ready && u.enginePID() > 0 })
	u.trainingOn(u.temporal(), tag, uuids[0])
	require.NoError(t, script.Add("nvml gpu="+uuids[0]+" throttle=thermal temp=93"))
	eventually(t, "the slot waits", func() bool {
		state, why := u.unwell(tag, uuids[0])
		return state == experiment.SlotWaiting && strings.Contains(why, "held back by heat, 93")
	})
	require.NoError(t, script.Set(emulatedLines(script)[:1]...))
	up.wait()
	u.checkLedger(tag, 1)
	voids := 0
	for _, r := range u.history(tag) {
		m := r.Measurements[0]
		voids += m.GPU.Voids
		require.Zero(t, m.GPU.Throttled, "what counts was not held back")
		require.Equal(t, 1, m.Attempts)
	}
	require.Equal(t, 1, voids)
	require.Empty(t, u.status(tag).Unwell)
}

// Somebody else's process has the GPU: the campaign waits, says for whom, and goes
// on when it is gone.
func TestCUDABusyGPU(t *testing.T) {
	t.Parallel()
	u := newUser(t).noop()
	script, uuids := u.onGPUs(1)
	const tag = "busy"
	require.NoError(t, script.Add(fmt.Sprintf("nvml gpu=%s process=%d:18000MiB", uuids[0], os.Getpid())))
	up := u.start(upOnCUDA(tag, 1)...)
	eventually(t, "the campaign waits", func() bool {
		state, why := u.unwell(tag, uuids[0])
		return state == experiment.SlotWaiting && strings.Contains(why, fmt.Sprintf("busy with process %d", os.Getpid())) && strings.Contains(why, "18000 MiB")
	})
	require.Contains(t, u.doctorOnGPUs(), "busy with process")
	require.NoError(t, script.Set(emulatedLines(script)[:1]...))
	up.wait()
	u.checkLedger(tag, 1)
}

// Whatever is wrong with the driver is one message and a hint, before anything is
// made or started.
func TestCUDARefused(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	script, _ := u.onGPUs(1)
	whole := emulatedLines(script)
	for line, says := range map[string]string{
		"cuinit 100":   "CUDA_ERROR_NO_DEVICE (100)",
		"driver 11080": "the driver serves CUDA 11.8, and CUDA 12.0 is needed",
		"nodriver":     "CUDA_ERROR_NO_DEVICE (100)",
		"nvml 999":     "GPUs cannot be watched",
	} {
		require.NoError(t, script.Set(append(whole, line)...))
		for _, command := range [][]string{{"worker", "--cuda"}, {"up", "--device", "cuda", "--tag", "x"}} {
			said := u.fails(1, says, command...)
			require.Equal(t, 2, strings.Count(said, "\n"), "one message, one hint: %s", said)
		}
	}
	require.NoError(t, script.Set(whole...))
	u.fails(2, `--gpus names "GPU-nobody0", which is no GPU of this machine`, "worker", "--cuda", "--gpus", "GPU-nobody0")
	require.NoDirExists(t, u.home)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(u.run("gpu", "probe")), &report))
	require.Contains(t, report, "libraries")
}

// The real trainer, built with the tag in the sandbox and run there on emulated
// GPUs. Under the baseline the memory of the first one fails, and the second one
// hangs, as does its self-test: it goes on from its checkpoints, and ends on the
// third one, as if nothing had happened. There a candidate that lacks memory, and
// one whose kernel has no end, are the candidates' own affair, and the GPU works on.
func TestCUDATrainer(t *testing.T) {
	u := newUser(t)
	u.tinyTrainer()
	script, uuids := u.onGPUs(3)
	texts := filepath.Join(t.TempDir(), "texts")
	require.NoError(t, os.CopyFS(texts, os.DirFS("../workflows/double")))
	require.NoError(t, os.CopyFS(filepath.Join(texts, "record"), os.DirFS("../workflows/record")))
	require.NoError(t, os.CopyFS(filepath.Join(texts, "more"), os.DirFS("../experiment")))
	ideas := filepath.Join(t.TempDir(), "script.jsonl")
	require.NoError(t, os.WriteFile(ideas, []byte(`{"set":{"BatchSize":32,"Context":512,"MLPRatio":8}}`+"\n"+`{"set":{"MatrixLR":0.02}}`+"\n"+`{"set":{"MatrixLR":0.04}}`+"\n"), 0o644))
	u.env = append(u.env, "AUTORESEARCH_SCRIPT="+ideas)
	const tag = "real"
	there := emulatedLines(script)
	set := func(lines ...string) { t.Helper(); require.NoError(t, script.Set(slices.Concat(there, lines)...)) }
	busy := func(i int) string { return fmt.Sprintf("nvml gpu=%s process=%d:9MiB", uuids[i], os.Getpid()) }
	at := func(name string) string { return filepath.Join(filepath.Dir(script.Path()), name) }
	quarantined := func(i int, reason string) {
		t.Helper()
		eventually(t, "the GPU is quarantined: "+reason, func() bool {
			state, why := u.unwell(tag, uuids[i])
			return state == experiment.SlotQuarantined && strings.Contains(why, reason)
		})
	}

	set(busy(1), busy(2))
	up := u.start("up", plain, "--device", "cuda", "--tag", tag, "--budget", "4s", "--experiments", "3", "--seeds", "1", "--dataset", texts, "--proposer", "script", "--exit")
	u.training(tag, 0)
	set(busy(1), busy(2), "fault gpu="+uuids[0]+" code=214 file="+at("hit"))
	eventually(t, "the run meets the error", func() bool { return exists(at("hit")) })
	const ecc, hung = "1 uncorrectable memory errors", "the self-test failed: the process that asks the NVIDIA driver died (signal: killed)"
	broken := "nvml gpu=" + uuids[0] + " ecc=1"
	set(busy(1), busy(2), broken)
	quarantined(0, ecc)

	set(busy(2), broken)
	eventually(t, "the run goes on", func() bool { return len(u.attempts(tag, 0)) == 2 })
	set(busy(2), broken, "hang gpu="+uuids[1]+" file="+at("run-hangs"), "hang gpu="+uuids[1]+" file="+at("test-hangs"))
	eventually(t, "the run has been ended, and the self-test hangs", func() bool { return exists(at("test-hangs")) })
	require.True(t, exists(at("run-hangs")))
	u.endSelfTest(uuids[1])
	quarantined(1, hung)

	set(broken, "oom gpu="+uuids[2]+" bytes=64MiB")
	u.training(tag, 2)
	require.NoError(t, script.Add("hang gpu="+uuids[2]+" file="+at("candidate-hangs")))
	c := u.temporal()
	up.wait()
	u.checkLedger(tag, 3)
	rows := u.history(tag)
	for n, reason := range []experiment.Reason{"", experiment.OOM, experiment.Timeout, ""} {
		r := row(t, rows, n)
		require.Len(t, r.Measurements, 1)
		m := r.Measurements[0]
		require.Equal(t, uuids[2], m.GPU.UUID)
		if n > 0 {
			require.Equal(t, 1, m.Attempts, "#%d", n)
		}
		if reason != "" {
			require.Equal(t, experiment.Crash, r.Verdict, "#%d", n)
			require.Equal(t, reason, m.Failure.Reason, "#%d: %v", n, m.Failure)
			continue
		}
		require.Nil(t, m.Failure, "%v", m.Failure)
		require.InDelta(t, 4, m.ChargedSeconds, 2, "paid for once")
	}
	require.Equal(t, 3, row(t, rows, 0).Measurements[0].Attempts)
	u.checkResumed(tag, 0, 1)
	told := u.signals(c, tag, "slot")
	require.Contains(t, told, ecc)
	require.Contains(t, told, hung)
	state, why := u.unwell(tag, uuids[2])
	require.Empty(t, state, why)
}

// attempts are the directories of the attempts at an experiment's run that have
// made a step.
func (u *user) attempts(tag string, n int) (dirs []string) {
	all, _ := filepath.Glob(filepath.Join(u.home, "runs", tag, fmt.Sprintf("%04d-0-*", n)))
	for _, dir := range all {
		if len(stepsIn(filepath.Join(dir, "metrics.jsonl"))) > 0 {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// endSelfTest ends the self-test of a GPU, as its worker does after two minutes.
func (u *user) endSelfTest(uuid string) {
	u.t.Helper()
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p))); err == nil && strings.Contains(string(b), "\x00--test\x00"+uuid+"\x00") {
			require.NoError(u.t, syscall.Kill(pid, syscall.SIGKILL))
			return
		}
	}
	require.Fail(u.t, "no self-test of "+uuid)
}

// tinyTrainer commits a model that an emulation trains in seconds.
func (u *user) tinyTrainer() {
	u.t.Helper()
	path := filepath.Join(u.clone, "trainer", "train.go")
	text, err := os.ReadFile(path)
	require.NoError(u.t, err)
	for name, value := range map[string]string{"Depth": "1", "Aspect": "32", "Context": "64", "BatchSize": "2", "ShortSpan": "2"} {
		pattern := regexp.MustCompile(`(?m)^(\t` + name + ` += )\S+`)
		require.True(u.t, pattern.Match(text), name)
		text = pattern.ReplaceAll(text, []byte("${1}"+value))
	}
	require.NoError(u.t, os.WriteFile(path, text, 0o644))
	git(u.t, u.clone, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "a tiny model")
}
