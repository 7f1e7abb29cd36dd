package health

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const mib = int64(1) << 20

func xids(codes ...int) (all []Xid) {
	for _, c := range codes {
		all = append(all, Xid{Code: c})
	}
	return all
}

func TestJudge(t *testing.T) {
	ours := func(pid int) bool { return pid == 10 }
	for name, tc := range map[string]struct {
		s     Snapshot
		need  int64
		state State
		says  string
	}{
		"nothing on it":              {Snapshot{}, 0, Healthy, ""},
		"our own run":                {Snapshot{Processes: []Process{{PID: 10, Bytes: mib}}}, 0, Healthy, ""},
		"somebody else":              {Snapshot{Processes: []Process{{PID: 10}, {PID: 4711, Name: "python3", Bytes: 18000 * mib}}}, 0, Busy, "busy with process 4711 (python3), 18000 MiB"},
		"several others":             {Snapshot{Processes: []Process{{PID: 1, Bytes: mib}, {PID: 2, Bytes: 3 * mib}, {PID: 3}}}, 0, Busy, "process 2, 3 MiB, and 2 more"},
		"too hot":                    {Snapshot{Held: Thermal, TempC: 92}, 0, Busy, "held back by heat, 92 °C"},
		"its power supply":           {Snapshot{Held: PowerBrake | PowerCap}, 0, Busy, "its power supply"},
		"works hard":                 {Snapshot{Held: PowerCap}, 0, Healthy, ""},
		"memory of nobody":           {Snapshot{Used: 600 * mib, Total: 1000 * mib}, 500 * mib, Busy, "600 of 1000 MiB of memory in use, by nobody"},
		"memory enough":              {Snapshot{Used: 400 * mib, Total: 1000 * mib}, 500 * mib, Healthy, ""},
		"memory that is not told":    {Snapshot{}, 500 * mib, Healthy, ""},
		"uncorrectable errors":       {Snapshot{ECC: 3}, 0, Sick, "3 uncorrectable memory errors (ECC)"},
		"no spare rows":              {Snapshot{RemapFailed: true}, 0, Sick, "cannot be replaced"},
		"a row waits":                {Snapshot{RemapPending: true}, 0, Healthy, ""},
		"the job's fault":            {Snapshot{Xids: xids(13, 31, 43)}, 0, Healthy, ""},
		"an Xid nobody knows":        {Snapshot{Xids: xids(154)}, 0, Healthy, ""},
		"double-bit error":           {Snapshot{Xids: xids(13, 48)}, 0, Sick, "Xid 48: a double-bit memory error"},
		"contained":                  {Snapshot{Xids: xids(94)}, 0, Sick, "Xid 94"},
		"uncontained":                {Snapshot{Xids: xids(95)}, 0, Sick, "Xid 95"},
		"off the bus":                {Snapshot{Xids: xids(95, 79)}, 0, Lost, "Xid 79: the GPU has fallen off its bus"},
		"sick before busy":           {Snapshot{ECC: 1, Processes: []Process{{PID: 1}}}, 0, Sick, "ECC"},
		"sick whatever holds it":     {Snapshot{ECC: 1, Held: Thermal}, 0, Sick, "ECC"},
		"busy before it is held":     {Snapshot{Held: Thermal, Processes: []Process{{PID: 1}}}, 0, Busy, "busy with"},
		"lost before anything":       {Snapshot{ECC: 1, Xids: xids(79)}, 0, Lost, "Xid 79"},
		"hardware slowdown, in full": {Snapshot{Held: Hardware | Thermal}, 0, Busy, "heat, its board (hardware slowdown)"},
	} {
		v := tc.s.Judge(ours, tc.need)
		require.Equal(t, tc.state, v.State, name)
		require.Contains(t, v.Reason, tc.says, name)
		require.Equal(t, v.OK(), v.Reason == "", name)
	}
	for _, xid := range []int{13, 31, 43} {
		require.True(t, JobFault(xid))
	}
	require.False(t, JobFault(79))
	require.Contains(t, Snapshot{RemapPending: true, Held: Thermal}.Warning(), "reset of the GPU to be replaced; it is held back by heat")
	require.Empty(t, Snapshot{Held: PowerCap}.Warning())
}

func TestUnseen(t *testing.T) {
	for err, state := range map[error]State{
		fmt.Errorf("x: %w", ErrLost): Lost, fmt.Errorf("x: %w", ErrUnknown): Sick, ErrSilent: Sick, errors.New("NVML error 999"): Sick,
	} {
		require.Equal(t, state, Unseen(err).State, "%v", err)
	}
	require.True(t, Unseen(nil).OK())
}

// sampled is a watch over samples of so many MHz, each held back or not.
func sampled(before Snapshot, samples ...Snapshot) *Watch {
	w := NewWatch(before)
	for _, s := range samples {
		w.Add(s, nil)
	}
	return w
}

func repeat(n int, s Snapshot) (all []Snapshot) {
	for range n {
		all = append(all, s)
	}
	return all
}

func TestVoid(t *testing.T) {
	fast, slow := Snapshot{ClockMHz: 1900, Watts: 600}, Snapshot{ClockMHz: 345, Watts: 100}
	hot := Snapshot{ClockMHz: 1200, Held: Thermal | PowerCap, TempC: 93}
	idle := Snapshot{ClockMHz: 345, Idle: true}
	for name, tc := range map[string]struct {
		samples []Snapshot
		usual   int
		says    string
	}{
		"good":                       {repeat(20, fast), 1950, ""},
		"the first run of all":       {repeat(20, slow), 0, ""},
		"far below":                  {repeat(20, slow), 1950, "ran at 345 MHz, and usually runs at 1950"},
		"below, by its load":         {repeat(20, Snapshot{ClockMHz: 1300, Held: PowerCap}), 1950, ""},
		"idle at its start":          {append(repeat(15, idle), repeat(10, fast)...), 1950, ""},
		"too short to say":           {repeat(3, slow), 1950, ""},
		"hot for a moment":           {append(repeat(19, fast), hot), 1950, ""},
		"hot for a tenth and more":   {append(repeat(17, fast), hot, hot, hot), 1950, "held back by heat in 3 of 20 samples, up to 93 °C"},
		"a short run is hot as well": {append(repeat(2, fast), hot), 0, "in 1 of 3 samples"},
	} {
		require.Contains(t, sampled(Snapshot{}, tc.samples...).Void(DefaultLimits, tc.usual), tc.says, name)
		if tc.says == "" {
			require.Empty(t, sampled(Snapshot{}, tc.samples...).Void(DefaultLimits, tc.usual), name)
		}
	}
	hotter := sampled(Snapshot{}, repeat(9, hot)...)
	require.False(t, hotter.Hopeless(DefaultLimits, 300*time.Second), "it may cool down")
	require.True(t, hotter.Hopeless(DefaultLimits, 30*time.Second))
}

func TestWatchFigures(t *testing.T) {
	ours := func(pid int) bool { return pid == 10 }
	w := NewWatch(Snapshot{Used: 500})
	w.Add(Snapshot{ClockMHz: 345, Idle: true, Used: 700, Watts: 100, TempC: 40}, ours)
	w.Add(Snapshot{ClockMHz: 1900, Used: 9999, Watts: 500, TempC: 60, Processes: []Process{{PID: 10, Bytes: 3000}, {PID: 11, Bytes: 4000}}}, ours)
	w.Add(Snapshot{ClockMHz: 1800, Used: 9999, Watts: 600, TempC: 70, Processes: []Process{{PID: 10, Bytes: 2000}}}, ours)
	require.Equal(t, []int{1900, 1800, 70}, []int{w.Clock(), w.MinClock(), w.MaxTemp()})
	require.InDelta(t, 400, w.Watts(), 1e-9)
	require.EqualValues(t, 3000, w.PeakBytes(), "of its own processes")
	require.EqualValues(t, 200, sampled(Snapshot{Used: 500}, Snapshot{Used: 700}).PeakBytes(), "what is in use beyond before")
	require.Equal(t, 345, sampled(Snapshot{}, Snapshot{ClockMHz: 345, Idle: true}).Clock(), "it never worked")
	var none Watch
	require.Zero(t, none.Clock()+none.MinClock()+int(none.Watts())+int(none.Share()))
}

func TestUsual(t *testing.T) {
	var u Usual
	u.Add(0)
	u.Add(1900)
	u.Add(1800)
	require.Zero(t, u.Clock(), "too few to know")
	u.Add(1850)
	require.Equal(t, 1850, u.Clock())
	for range 100 {
		u.Add(1000)
	}
	require.Equal(t, 1000, u.Clock(), "a GPU that stays so is like that")
	require.Len(t, u.Clocks, usualKept)
	require.Empty(t, u.Tested(700))
	require.Empty(t, u.Tested(500))
	require.Contains(t, u.Tested(400), "reaches 400.0 TFLOP/s, and has reached 700.0 before")
}

// scripted is a driver that answers when it is let.
type scripted struct {
	sample func(uuid string) (Snapshot, error)
	xids   chan int
	closed chan struct{}
}

func (scripted) Versions() (string, string)             { return "575.57", "12.9" }
func (scripted) GPUs() ([]GPU, error)                   { return []GPU{{UUID: "GPU-1"}}, nil }
func (d scripted) Sample(uuid string) (Snapshot, error) { return d.sample(uuid) }
func (d scripted) Close()                               { close(d.closed) }
func (d scripted) Xid() (uuid string, code int, err error) {
	select {
	case code := <-d.xids:
		return "GPU-1", code, nil
	case <-time.After(time.Millisecond):
		return "", 0, nil
	}
}

func TestMonitorRemembersXids(t *testing.T) {
	d := scripted{xids: make(chan int), closed: make(chan struct{}), sample: func(uuid string) (Snapshot, error) {
		if uuid == "MIG-1" {
			return Snapshot{Parent: "GPU-1"}, nil
		}
		return Snapshot{}, nil
	}}
	m := newMonitor(d)
	for i := range keptXids + 3 {
		d.xids <- i
	}
	d.xids <- 79
	require.Eventually(t, func() bool {
		s, err := m.Sample(t.Context(), "GPU-1")
		require.NoError(t, err)
		return s.Lasting().State == Lost && len(s.Xids) == keptXids
	}, 10*time.Second, time.Millisecond)
	part, err := m.Sample(t.Context(), "MIG-1")
	require.NoError(t, err)
	require.Equal(t, Lost, part.Lasting().State, "a part of it is lost as well")
	other, err := m.Sample(t.Context(), "GPU-2")
	require.NoError(t, err)
	require.Empty(t, other.Xids)
	m.Close()
	m.Close()
	<-d.closed
}

// A driver that hangs holds nobody up: not the one who asked, nor those after
// him. When it comes back, all is well again.
func TestMonitorDoesNotHang(t *testing.T) {
	release := make(chan struct{})
	d := scripted{xids: make(chan int), closed: make(chan struct{}), sample: func(string) (Snapshot, error) { <-release; return Snapshot{}, nil }}
	m := newMonitor(d)
	m.patience = 20 * time.Millisecond
	for range 3 {
		_, err := m.Sample(t.Context(), "GPU-1")
		require.ErrorIs(t, err, ErrSilent)
		require.ErrorContains(t, err, "looking at the GPU GPU-1")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.GPUs(cancelled)
	require.Error(t, err)
	close(release)
	require.Eventually(t, func() bool { _, err := m.Sample(t.Context(), "GPU-1"); return err == nil }, 10*time.Second, time.Millisecond)
	m.Close()
}

func TestHeldReads(t *testing.T) {
	require.Equal(t, "heat, its power limit", (Thermal | PowerCap).String())
	require.False(t, PowerCap.Back())
}
