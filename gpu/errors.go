package gpu

import (
	"errors"
	"fmt"
)

// outcome is what a code of the driver (CUresult) means.
type outcome struct {
	name  string
	fault Fault
	hint  string
}

const (
	hintDriver = "NVIDIA's driver is missing or too old: install one that serves CUDA 12 or newer (nvidia-smi shows which)"
	hintBlock  = "a kernel that ran before may be the one: CUDA_LAUNCH_BLOCKING=1 shows which, compute-sanitizer shows where"
)

// outcomes are the codes whose blame is known; see [blame] for all others.
var outcomes = map[int]outcome{
	1:   {"CUDA_ERROR_INVALID_VALUE", ByProgram, ""},
	2:   {"CUDA_ERROR_OUT_OF_MEMORY", ByMemory, ""},
	3:   {"CUDA_ERROR_NOT_INITIALIZED", BySetup, hintDriver},
	4:   {"CUDA_ERROR_DEINITIALIZED", ByMachine, ""},
	34:  {"CUDA_ERROR_STUB_LIBRARY", BySetup, "this libcuda.so.1 is the toolkit's stub: " + hintDriver},
	46:  {"CUDA_ERROR_DEVICE_UNAVAILABLE", ByMachine, "another process has the GPU for itself, or its compute mode forbids us: see nvidia-smi"},
	100: {"CUDA_ERROR_NO_DEVICE", BySetup, "the driver sees no GPU: see nvidia-smi, CUDA_VISIBLE_DEVICES, and whether /dev/nvidia* is there and may be opened"},
	101: {"CUDA_ERROR_INVALID_DEVICE", ByMachine, "the GPU is gone, or its MIG devices were made anew"},
	200: {"CUDA_ERROR_INVALID_IMAGE", BySetup, "the kernel was compiled by an NVRTC that is newer than the driver: install one of the driver's CUDA version"},
	201: {"CUDA_ERROR_INVALID_CONTEXT", ByMachine, ""},
	205: {"CUDA_ERROR_MAP_FAILED", ByMachine, ""},
	209: {"CUDA_ERROR_NO_BINARY_FOR_GPU", BySetup, "the kernel was compiled for another GPU"},
	214: {"CUDA_ERROR_ECC_UNCORRECTABLE", ByMachine, "the GPU's memory has an error that could not be corrected: see nvidia-smi -q -d ECC"},
	220: {"CUDA_ERROR_NVLINK_UNCORRECTABLE", ByMachine, ""},
	222: {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", BySetup, hintDriver},
	226: {"CUDA_ERROR_CONTAINED", ByMachine, "a memory error was contained: the GPU should be reset"},
	300: {"CUDA_ERROR_INVALID_SOURCE", ByProgram, ""},
	302: {"CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND", BySetup, hintDriver},
	304: {"CUDA_ERROR_OPERATING_SYSTEM", BySetup, "the driver was refused something by the system: /dev/nvidia*, /dev/nvidia-uvm and the process's own /proc/self must be open to it, also in a sandbox or container"},
	400: {"CUDA_ERROR_INVALID_HANDLE", ByProgram, ""},
	500: {"CUDA_ERROR_NOT_FOUND", ByProgram, ""},
	700: {"CUDA_ERROR_ILLEGAL_ADDRESS", ByProgram, hintBlock},
	701: {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", ByProgram, "the block has too many threads, registers or shared memory for this GPU"},
	702: {"CUDA_ERROR_LAUNCH_TIMEOUT", ByProgram, "a kernel ran into the display driver's time limit"},
	709: {"CUDA_ERROR_CONTEXT_IS_DESTROYED", ByMachine, ""},
	710: {"CUDA_ERROR_ASSERT", ByProgram, hintBlock},
	714: {"CUDA_ERROR_HARDWARE_STACK_ERROR", ByProgram, hintBlock},
	715: {"CUDA_ERROR_ILLEGAL_INSTRUCTION", ByProgram, hintBlock},
	716: {"CUDA_ERROR_MISALIGNED_ADDRESS", ByProgram, hintBlock},
	717: {"CUDA_ERROR_INVALID_ADDRESS_SPACE", ByProgram, hintBlock},
	718: {"CUDA_ERROR_INVALID_PC", ByProgram, hintBlock},
	719: {"CUDA_ERROR_LAUNCH_FAILED", ByProgram, hintBlock},
	720: {"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", ByProgram, ""},
	800: {"CUDA_ERROR_NOT_PERMITTED", ByProgram, ""},
	801: {"CUDA_ERROR_NOT_SUPPORTED", ByProgram, ""},
	802: {"CUDA_ERROR_SYSTEM_NOT_READY", ByMachine, "the machine's GPUs are not up yet: on machines with NVSwitch the fabric manager must run"},
	803: {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", BySetup, "the library libcuda.so.1 and the driver in the kernel are of different versions: reboot, or in a container use the host's library"},
	804: {"CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", BySetup, "the forward-compatibility libcuda.so.1 does not serve this GPU: take the driver's own"},
	805: {"CUDA_ERROR_MPS_CONNECTION_FAILED", ByMachine, ""},
	999: {"CUDA_ERROR_UNKNOWN", ByMachine, "the driver does not say what: see dmesg for NVRM and Xid lines"},
}

// blame is an Error for a code of the driver. Codes that are not known blame the
// machine: a run that is repeated elsewhere costs less than a verdict that is wrong.
func blame(call string, code int) *Error {
	o, ok := outcomes[code]
	if !ok {
		o = outcome{"CUDA_ERROR", ByMachine, ""}
	}
	return &Error{Call: call, Code: code, Name: o.name, Fault: o.fault, Hint: o.hint}
}

// occupied is the Error for a GPU that cannot be opened. A program that has
// allocated nothing yet is not to blame for want of memory.
func occupied(e *Error) *Error {
	if e.Fault == ByMemory {
		e.Fault, e.Hint = ByMachine, "other processes hold the GPU's memory: see nvidia-smi"
	}
	return e
}

// FaultOf is the fault of an error, or of what was recovered from a panic; it is
// false where no *Error is in it.
func FaultOf(failure any) (Fault, bool) {
	err, ok := failure.(error)
	if !ok {
		return "", false
	}
	var e *Error
	if !errors.As(err, &e) {
		return "", false
	}
	return e.Fault, true
}

// size writes bytes for people.
func size(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 10<<10:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
