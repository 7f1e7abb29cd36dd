//go:build cuda

package gpu

/*
#cgo CFLAGS: -I${SRCDIR}/include -O2 -Wall
#cgo LDFLAGS: -L${SRCDIR}/lib -ldl
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// oldest is the oldest driver that serves us, as in cuDriverGetVersion.
const oldest = 12000

// driverLibrary is libcuda.so.1, and what its cuInit said.
var driverLibrary struct {
	once    sync.Once
	path    string
	version int
	err     *Error
}

// start loads the driver and initializes it, once in a process.
func start() error {
	l := &driverLibrary
	l.once.Do(func() {
		handle, path, err := load("libcuda.so.1", "cuDriverGetVersion", "libcuda.so.1")
		if err != nil {
			err.Hint += ": " + hintDriver
			l.err = err
			return
		}
		C.ar_driver_use(handle)
		l.path, l.version = path, cu.Version()
		if code := int(C.ar_init()); code != 0 {
			l.err = blame("initialize the driver "+path, code)
			if code == 100 {
				l.err.Hint += visible()
			}
		} else if l.version < oldest {
			l.err = blame("initialize the driver "+path, 803)
			l.err.Hint = fmt.Sprintf("the driver serves CUDA %s, and CUDA %s is needed: install a newer driver", cudaVersion(l.version), cudaVersion(oldest))
		}
	})
	if l.err != nil {
		return l.err
	}
	return nil
}

// visible says what hides GPUs from this process.
func visible() string {
	if v, ok := os.LookupEnv("CUDA_VISIBLE_DEVICES"); ok {
		return fmt.Sprintf(" (it is %q here)", v)
	}
	return ""
}

// load opens the first library that can be had by any of the names. symbol is a
// function of it.
func load(what, symbol string, names ...string) (handle unsafe.Pointer, path string, err *Error) {
	tried := candidates(names...)
	var reasons []string
	for _, p := range tried {
		var reason [512]C.char
		if h, why := open(p, &reason); h != nil {
			return h, pathOf(h, symbol), nil
		} else if len(reasons) < 4 {
			reasons = append(reasons, why)
		}
	}
	return nil, "", &Error{Call: "load " + what, Code: C.AR_NOT_LOADED, Name: "no such library", Fault: BySetup, Hint: strings.Join(reasons, "; ")}
}

func open(path string, reason *[512]C.char) (unsafe.Pointer, string) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	h := C.ar_dlopen(name, &reason[0], C.int(len(reason)))
	return h, C.GoString(&reason[0])
}

// pathOf is the file that a library was loaded from.
func pathOf(handle unsafe.Pointer, symbol string) string {
	name := C.CString(symbol)
	defer C.free(unsafe.Pointer(name))
	var path [4096]C.char
	C.ar_path(handle, name, &path[0], C.int(len(path)))
	return C.GoString(&path[0])
}

// cudaVersion writes 12090 as "12.9".
func cudaVersion(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// failed is the Error for what gorgonia.org/cu gave; nil is nil.
func failed(call string, err error) *Error {
	if err == nil {
		return nil
	}
	code := int(reflect.ValueOf(err).Int()) // cu's type of errors is a number that it does not export
	e := blame(call, code)
	if code == C.AR_NO_SYMBOL {
		e.Hint = "the driver has no " + C.GoString(C.ar_missing()) + ": " + e.Hint
	}
	return e
}

// refused is the Error for a code of the driver; 0 is nil.
func refused(call string, code C.CUresult) *Error {
	if code == 0 {
		return nil
	}
	return blame(call, int(code))
}

// Discover lists the GPUs that the process sees.
func Discover() ([]Info, error) {
	if err := start(); err != nil {
		return nil, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, failed("count the GPUs", err)
	}
	infos := make([]Info, n)
	for i := range infos {
		if infos[i], err = describe(i); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// describe asks the driver about one GPU.
func describe(i int) (Info, error) {
	info := Info{Index: i, Driver: cudaVersion(driverLibrary.version)}
	d, err := cu.GetDevice(i)
	if err == nil {
		info.Name, err = d.Name()
	}
	if err == nil {
		info.Major, info.Minor, err = capability(d)
	}
	if err == nil {
		info.MemoryBytes, err = d.TotalMem()
	}
	if err == nil {
		info.Multiprocessors, err = d.Attribute(cu.MultiprocessorCount)
	}
	if err != nil {
		return info, failed(fmt.Sprintf("ask about GPU %d", i), err)
	}
	info.PCI = pci(d)
	info.UUID, err = uuid(d, info.Name)
	return info, err
}

func capability(d cu.Device) (major, minor int, err error) {
	if major, err = d.Attribute(cu.ComputeCapabilityMajor); err == nil {
		minor, err = d.Attribute(cu.ComputeCapabilityMinor)
	}
	return major, minor, err
}

// uuid is "GPU-…", or "MIG-…" for a MIG device: those have a UUID beside that of
// the GPU they are a part of, and say in their name what they are.
func uuid(d cu.Device, name string) (string, error) {
	own, err := d.UUID()
	if err != nil {
		return "", failed(fmt.Sprintf("ask for the UUID of GPU %d", int(d)), err)
	}
	var whole C.CUuuid
	part := C.ar_parent_uuid(&whole, C.CUdevice(d)) == 0 && [16]byte(own) != *(*[16]byte)(unsafe.Pointer(&whole))
	if part || strings.Contains(name, " MIG ") {
		return "MIG-" + own.String(), nil
	}
	return "GPU-" + own.String(), nil
}

// pci is the address of the GPU on the bus, "" if the driver does not say.
func pci(d cu.Device) string {
	var id [32]C.char
	if C.cuDeviceGetPCIBusId(&id[0], C.int(len(id)), C.CUdevice(d)) != 0 {
		return ""
	}
	return C.GoString(&id[0])
}

// Libraries says where NVIDIA's libraries are, and what is missing.
func Libraries() []Library {
	driver := Library{Name: "libcuda", What: "the driver"}
	if err := start(); err != nil {
		driver.Problem = err.Error()
	}
	if l := &driverLibrary; l.path != "" {
		driver.Path, driver.Version = l.path, cudaVersion(l.version)
	}
	return []Library{driver, nvrtcLibrary(), blasLibrary()}
}

// thread makes the device's context the current one of this thread, and keeps
// the goroutine on it until the function it gives is called.
func (d *Device) thread() {
	runtime.LockOSThread()
	if code := C.ar_bind(d.bound, C.uint64_t(d.generation)); code != 0 {
		runtime.UnlockOSThread()
		panic(blame("use the GPU "+d.info.UUID, int(code)))
	}
}
