//go:build cuda

package health

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/autoresearch-go/autoresearch/gpu"
)

const nvmlName = "libnvidia-ml.so.1"

// library is NVML as this machine has it. A call that the installed driver does
// not have would end the process, so what is not in every driver is looked up
// first.
type library struct {
	nvml.Interface
	events nvml.EventSet
	listen bool
	uuids  map[nvml.Device]string // of handles, as events name them
}

var _ driver = (*library)(nil)

func openDriver() (driver, error) {
	path := nvmlName
	for _, dir := range filepath.SplitList(os.Getenv(gpu.LibrariesVariable)) {
		if p := filepath.Join(dir, nvmlName); fileExists(p) {
			path = p
			break
		}
	}
	l := &library{Interface: nvml.New(nvml.WithLibraryPath(path)), uuids: map[nvml.Device]string{}}
	if ret := l.Init(); ret == nvml.ERROR_LIBRARY_NOT_FOUND {
		return nil, fmt.Errorf("%s is not found: install the NVIDIA driver", nvmlName)
	} else if ret != nvml.SUCCESS {
		return nil, failed("nvmlInit", ret)
	}
	l.register()
	return l, nil
}

func fileExists(path string) bool { _, err := os.Stat(path); return err == nil }

// failed is what a return value means.
func failed(call string, ret nvml.Return) error {
	switch ret {
	case nvml.SUCCESS:
		return nil
	case nvml.ERROR_GPU_IS_LOST:
		return fmt.Errorf("%s: %w", call, ErrLost)
	case nvml.ERROR_NOT_FOUND:
		return fmt.Errorf("%s: %w", call, ErrUnknown)
	}
	return fmt.Errorf("%s: NVML error %d", call, int(ret))
}

func (l *library) has(symbol string) bool { return l.Extensions().LookupSymbol(symbol) == nil }

// register asks for the errors of all GPUs. A driver that has no events says
// nothing; its counters still tell.
func (l *library) register() {
	if !l.has("nvmlEventSetCreate") || !l.has("nvmlDeviceRegisterEvents") || !l.has("nvmlEventSetWait_v2") {
		return
	}
	set, ret := l.EventSetCreate()
	if ret != nvml.SUCCESS {
		return
	}
	n, _ := l.DeviceGetCount()
	for i := range n {
		d, ret := l.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue
		}
		uuid, _ := d.GetUUID()
		if l.DeviceRegisterEvents(d, nvml.EventTypeXidCriticalError, set) == nvml.SUCCESS {
			l.uuids[d], l.listen = uuid, true
		}
	}
	l.events = set
}

// Versions implements driver.
func (l *library) Versions() (string, string) {
	d, _ := l.SystemGetDriverVersion()
	c := ""
	if v, ret := l.SystemGetCudaDriverVersion_v2(); ret == nvml.SUCCESS {
		c = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	}
	return d, c
}

// GPUs implements driver.
func (l *library) GPUs() ([]GPU, error) {
	n, ret := l.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, failed("nvmlDeviceGetCount", ret)
	}
	var all []GPU
	for i := range n {
		d, ret := l.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue // one that is lost; the others can be used
		}
		g := GPU{}
		g.UUID, _ = d.GetUUID()
		g.Name, _ = d.GetName()
		g.Divided, g.MIG = l.mig(d)
		all = append(all, g)
	}
	return all, nil
}

// mig lists the MIG devices of a GPU.
func (l *library) mig(d nvml.Device) (on bool, uuids []string) {
	if !l.has("nvmlDeviceGetMigMode") || !l.has("nvmlDeviceGetMaxMigDeviceCount") || !l.has("nvmlDeviceGetMigDeviceHandleByIndex") {
		return false, nil
	}
	mode, _, ret := d.GetMigMode()
	if ret != nvml.SUCCESS || mode != nvml.DEVICE_MIG_ENABLE {
		return false, nil
	}
	n, _ := d.GetMaxMigDeviceCount()
	for i := range n {
		if m, ret := d.GetMigDeviceHandleByIndex(i); ret == nvml.SUCCESS {
			if uuid, ret := m.GetUUID(); ret == nvml.SUCCESS {
				uuids = append(uuids, uuid)
			}
		}
	}
	return true, uuids
}

// Sample implements driver. A MIG device has memory and processes of its own;
// the rest is its GPU's.
func (l *library) Sample(uuid string) (Snapshot, error) {
	s := Snapshot{UUID: uuid}
	d, ret := l.DeviceGetHandleByUUID(uuid)
	if ret != nvml.SUCCESS {
		return s, failed("nvmlDeviceGetHandleByUUID", ret)
	}
	m, ret := d.GetMemoryInfo()
	if ret != nvml.SUCCESS {
		return s, failed("nvmlDeviceGetMemoryInfo", ret)
	}
	s.Used, s.Total = int64(m.Used), int64(m.Total)
	processes, ret := d.GetComputeRunningProcesses()
	if ret != nvml.SUCCESS && ret != nvml.ERROR_NOT_SUPPORTED && ret != nvml.ERROR_NO_PERMISSION {
		return s, failed("nvmlDeviceGetComputeRunningProcesses", ret)
	}
	for _, p := range processes {
		each := Process{PID: int(p.Pid), Bytes: int64(p.UsedGpuMemory)}
		if p.UsedGpuMemory == notTold {
			each.Bytes = 0
		}
		s.Processes = append(s.Processes, each)
	}
	if l.isMIG(d) {
		if parent, ret := d.GetDeviceHandleFromMigDeviceHandle(); ret == nvml.SUCCESS {
			d = parent
			s.Parent, _ = d.GetUUID()
		}
	} else if on, _ := l.mig(d); on { // since we were given it whole
		return s, fmt.Errorf("MIG was switched on: %w", ErrUnknown)
	}
	return s, l.board(d, &s)
}

func (l *library) isMIG(d nvml.Device) bool {
	if !l.has("nvmlDeviceGetDeviceHandleFromMigDeviceHandle") || !l.has("nvmlDeviceIsMigDeviceHandle") {
		return false
	}
	is, ret := d.IsMigDeviceHandle()
	return ret == nvml.SUCCESS && is
}

// notTold is the memory of a process that the driver keeps to itself.
const notTold = ^uint64(0)

// board fills in what belongs to the whole GPU. What it does not have is left
// out; that it is lost is not.
func (l *library) board(d nvml.Device, s *Snapshot) error {
	var lost error
	ok := func(call string, ret nvml.Return) bool {
		if err := failed(call, ret); errors.Is(err, ErrLost) {
			lost = err
		}
		return ret == nvml.SUCCESS
	}
	if n, ret := d.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC); ok("nvmlDeviceGetTotalEccErrors", ret) {
		s.ECC = int64(n)
	}
	if l.has("nvmlDeviceGetRemappedRows") {
		if _, _, pending, failure, ret := d.GetRemappedRows(); ok("nvmlDeviceGetRemappedRows", ret) {
			s.RemapPending, s.RemapFailed = pending, failure
		}
	}
	if l.has("nvmlDeviceGetRetiredPagesPendingStatus") {
		if pending, ret := d.GetRetiredPagesPendingStatus(); ok("nvmlDeviceGetRetiredPagesPendingStatus", ret) {
			s.Retiring = pending == nvml.FEATURE_ENABLED
		}
	}
	if reasons, ret := l.reasons(d); ok("nvmlDeviceGetCurrentClocksThrottleReasons", ret) {
		s.Held, s.Idle = heldBy(reasons), reasons&nvml.ClocksThrottleReasonGpuIdle != 0
	}
	if mhz, ret := d.GetClockInfo(nvml.CLOCK_SM); ok("nvmlDeviceGetClockInfo", ret) {
		s.ClockMHz = int(mhz)
	}
	if mhz, ret := d.GetMaxClockInfo(nvml.CLOCK_SM); ok("nvmlDeviceGetMaxClockInfo", ret) {
		s.MaxMHz = int(mhz)
	}
	if c, ret := d.GetTemperature(nvml.TEMPERATURE_GPU); ok("nvmlDeviceGetTemperature", ret) {
		s.TempC = int(c)
	}
	if mw, ret := d.GetPowerUsage(); ok("nvmlDeviceGetPowerUsage", ret) {
		s.Watts = float64(mw) / 1000
	}
	return lost
}

// reasons are why the clock is what it is; newer drivers call them events.
func (l *library) reasons(d nvml.Device) (uint64, nvml.Return) {
	switch {
	case l.has("nvmlDeviceGetCurrentClocksEventReasons"):
		return d.GetCurrentClocksEventReasons()
	case l.has("nvmlDeviceGetCurrentClocksThrottleReasons"):
		return d.GetCurrentClocksThrottleReasons()
	}
	return 0, nvml.ERROR_NOT_SUPPORTED
}

func heldBy(reasons uint64) (h Held) {
	for bits, is := range map[uint64]Held{
		nvml.ClocksEventReasonSwThermalSlowdown | nvml.ClocksThrottleReasonHwThermalSlowdown: Thermal,
		nvml.ClocksThrottleReasonHwSlowdown:                                                  Hardware,
		nvml.ClocksThrottleReasonHwPowerBrakeSlowdown:                                        PowerBrake,
		nvml.ClocksEventReasonSwPowerCap:                                                     PowerCap,
	} {
		if reasons&bits != 0 {
			h |= is
		}
	}
	return h
}

// Xid implements driver.
func (l *library) Xid() (string, int, error) {
	if !l.listen {
		return "", 0, errors.New("the driver has no events")
	}
	e, ret := l.EventSetWait(l.events, 1000)
	switch ret {
	case nvml.SUCCESS:
		return l.uuids[e.Device], int(e.EventData), nil
	case nvml.ERROR_TIMEOUT:
		return "", 0, nil
	}
	return "", 0, failed("nvmlEventSetWait", ret)
}

// Close implements driver.
func (l *library) Close() {
	if l.listen {
		l.EventSetFree(l.events)
	}
	l.Shutdown()
}
