//go:build cuda

package emulated

import (
	"path/filepath"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func openNVML(t *testing.T, s *Script) nvml.Interface {
	t.Helper()
	t.Setenv(scriptVariable, s.Path())
	l := nvml.New(nvml.WithLibraryPath(filepath.Join(Libraries(t), "libnvidia-ml.so.1")))
	if ret := l.Init(); ret != nvml.SUCCESS {
		t.Fatal(ret)
	}
	t.Cleanup(func() { l.Shutdown() })
	return l
}

// What NVML says of a GPU is what the script says, from one call to the next.
func TestNVML(t *testing.T) {
	const mig = "MIG-bbbbbbbb-2222-3333-4444-555555555555"
	s := NewScript(t, GPU(0), GPU(1, "mig="+mig))
	l := openNVML(t, s)
	if n, ret := l.DeviceGetCount(); n != 2 || ret != nvml.SUCCESS {
		t.Errorf("%d GPUs, %v", n, ret)
	}
	d, ret := l.DeviceGetHandleByUUID(UUID(0))
	if ret != nvml.SUCCESS {
		t.Fatal(ret)
	}
	name, _ := d.GetName()
	uuid, _ := d.GetUUID()
	memory, ret := d.GetMemoryInfo()
	if name != "NVIDIA H200" || uuid != UUID(0) || memory.Total != 143771<<20 || ret != nvml.SUCCESS {
		t.Errorf("%s, %s, %v, %v", name, uuid, memory, ret)
	}
	if ecc, ret := d.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC); ecc != 0 || ret != nvml.SUCCESS {
		t.Errorf("%d errors, %v", ecc, ret)
	}

	s.Add("nvml gpu=" + UUID(0) + " ecc=3 remap=failed throttle=thermal,power clock=345 temp=92 watts=700 used=1234MiB process=4711:100")
	ecc, _ := d.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC)
	_, _, pending, failed, _ := d.GetRemappedRows()
	clock, _ := d.GetClockInfo(nvml.CLOCK_SM)
	temperature, _ := d.GetTemperature(nvml.TEMPERATURE_GPU)
	power, _ := d.GetPowerUsage()
	reasons, _ := d.GetCurrentClocksEventReasons()
	older, _ := d.GetCurrentClocksThrottleReasons()
	if ecc != 3 || pending || !failed || clock != 345 || temperature != 92 || power != 700000 || reasons != 0x64 || older != reasons {
		t.Errorf("ecc %d, remap %v %v, clock %d, %d degrees, %d mW, held %x", ecc, pending, failed, clock, temperature, power, reasons)
	}
	memory, _ = d.GetMemoryInfo()
	processes, ret := d.GetComputeRunningProcesses()
	if memory.Used != 1334<<20 || len(processes) != 1 || processes[0].Pid != 4711 || processes[0].UsedGpuMemory != 100<<20 {
		t.Errorf("%v, %v, %v", memory, processes, ret)
	}

	divided, _ := l.DeviceGetHandleByIndex(1)
	mode, _, _ := divided.GetMigMode()
	part, ret := divided.GetMigDeviceHandleByIndex(0)
	if mode != nvml.DEVICE_MIG_ENABLE || ret != nvml.SUCCESS {
		t.Fatalf("mode %d, %v", mode, ret)
	}
	partUUID, _ := part.GetUUID()
	whole, _ := part.GetDeviceHandleFromMigDeviceHandle()
	if is, _ := part.IsMigDeviceHandle(); !is || partUUID != mig || whole != divided {
		t.Errorf("%v, %s", is, partUUID)
	}
}

func TestNVMLEvents(t *testing.T) {
	s := NewScript(t, GPU(0))
	l := openNVML(t, s)
	d, _ := l.DeviceGetHandleByIndex(0)
	set, _ := l.EventSetCreate()
	defer l.EventSetFree(set)
	if ret := d.RegisterEvents(nvml.EventTypeXidCriticalError, set); ret != nvml.SUCCESS {
		t.Fatal(ret)
	}
	if _, ret := l.EventSetWait(set, 1); ret != nvml.ERROR_TIMEOUT {
		t.Errorf("without an event: %v", ret)
	}
	s.Add("nvml gpu=" + UUID(0) + " xid=79")
	if e, ret := l.EventSetWait(set, 10000); ret != nvml.SUCCESS || e.EventData != 79 || e.Device != d {
		t.Errorf("%v, %v", e, ret)
	}
	if _, ret := l.EventSetWait(set, 1); ret != nvml.ERROR_TIMEOUT {
		t.Errorf("the same event again: %v", ret)
	}
	s.Set(GPU(0), "lost gpu="+UUID(0))
	if _, ret := d.GetName(); ret != nvml.ERROR_GPU_IS_LOST {
		t.Errorf("a lost GPU: %v", ret)
	}
	s.Set(GPU(1))
	if _, ret := l.DeviceGetHandleByUUID(UUID(0)); ret != nvml.ERROR_NOT_FOUND {
		t.Errorf("a GPU that is gone: %v", ret)
	}
}

func TestNVMLWithoutDriver(t *testing.T) {
	for line, want := range map[string]nvml.Return{"nodriver": nvml.ERROR_DRIVER_NOT_LOADED, "nvml 999": nvml.ERROR_UNKNOWN} {
		t.Setenv(scriptVariable, NewScript(t, GPU(0), line).Path())
		l := nvml.New(nvml.WithLibraryPath(filepath.Join(Libraries(t), "libnvidia-ml.so.1")))
		if ret := l.Init(); ret != want {
			t.Errorf("%s: %v", line, ret)
		}
	}
}
