//go:build cuda

package gpu

// #include "shim.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// Device is one GPU with its memory, kernels and stream. Its methods may be
// called from any goroutine, by one at a time.
type Device struct {
	config     Config
	info       Info
	device     cu.Device
	bound      C.CUcontext // the primary context
	generation uint64      // tells contexts apart that follow one another at one address
	stream     cu.Stream
	memory     pool
	stage      staging
	modules    map[[32]byte]cu.Module // by what they were compiled from
	kernels    map[kernelKey]*Kernel
	launched   string // the kernel that was launched last, for messages
	args       [maxArgs]uint64
	params     [maxArgs]unsafe.Pointer // of args
	blas       blas
	tuner      *tuner
}

var generations atomic.Uint64

// Open takes a GPU.
func Open(config Config) (*Device, error) {
	infos, err := Discover()
	if err != nil {
		return nil, err
	}
	info, err := choose(infos, config.UUID)
	if err != nil {
		return nil, err
	}
	d := &Device{config: config, info: info, device: cu.Device(info.Index), generation: generations.Add(1)}
	d.modules, d.kernels = map[[32]byte]cu.Module{}, map[kernelKey]*Kernel{}
	d.memory = pool{take: d.takeSegment, give: d.giveSegment, apart: os.Getenv(ApartVariable) != ""}
	for i := range d.args {
		d.params[i] = unsafe.Pointer(&d.args[i])
	}
	if err := d.attach(); err != nil {
		return nil, err
	}
	return d, nil
}

// choose finds the GPU of a UUID, or takes the first.
func choose(infos []Info, uuid string) (Info, error) {
	var seen []string
	for _, info := range infos {
		if uuid == "" || info.UUID == uuid {
			return info, nil
		}
		seen = append(seen, info.UUID)
	}
	if uuid == "" {
		return Info{}, blame("open a GPU", 100)
	}
	e := blame("open the GPU "+uuid, 101)
	e.Hint = fmt.Sprintf("this process sees %s%s: a GPU that is gone, or a MIG device that was made anew, needs its worker started again", strings.Join(seen, ", "), visible())
	return Info{}, e
}

// attach makes the context and the stream.
func (d *Device) attach() error {
	context, err := d.device.RetainPrimaryCtx()
	if err != nil {
		return occupied(failed("open the GPU "+d.info.UUID, err))
	}
	d.bound = *(*C.CUcontext)(unsafe.Pointer(&context)) // all that a CUContext is
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if e := refused("use the GPU "+d.info.UUID, C.ar_bind(d.bound, C.uint64_t(d.generation))); e != nil {
		d.device.ReleasePrimaryCtx()
		return e
	}
	if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		d.device.ReleasePrimaryCtx()
		return failed("make a stream on the GPU "+d.info.UUID, err)
	}
	return nil
}

// Close gives everything back. A GPU that failed may leave some of it to the end
// of the process.
func (d *Device) Close() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if C.ar_bind(d.bound, C.uint64_t(d.generation)) == 0 {
		d.stream.Synchronize() // errors have been reported, or have no one to hear them
		d.blas.close()
		d.stage.close()
		for _, m := range d.modules {
			m.Unload()
		}
		d.memory.give = func(at Ptr, _ int64) { cu.MemFree(cu.DevicePtr(at)) }
		d.memory.close()
		d.stream.Destroy()
	}
	C.ar_bind(nil, 0)
	d.device.ReleasePrimaryCtx()
}

// Info describes the GPU.
func (d *Device) Info() Info { return d.info }

// Sync waits for the stream and panics with what went wrong in it.
func (d *Device) Sync() {
	d.thread()
	defer runtime.UnlockOSThread()
	d.check("wait for the GPU", d.stream.Synchronize())
}

// check panics with what a call of the driver gave.
func (d *Device) check(call string, err error) {
	if err == nil {
		return
	}
	e := failed(call, err)
	if d.launched != "" && (e.Fault == ByProgram || e.Fault == ByMachine) {
		e.Call += " (launched last: " + d.launched + ")"
	}
	panic(e)
}

// Elapsed is how long the GPU takes for what work puts into the stream; it waits
// for it.
func (d *Device) Elapsed(work func()) time.Duration {
	d.thread()
	defer runtime.UnlockOSThread()
	start, err := cu.MakeEvent(cu.DefaultEvent)
	d.check("time work", err)
	defer cu.DestroyEvent(&start)
	end, err := cu.MakeEvent(cu.DefaultEvent)
	d.check("time work", err)
	defer cu.DestroyEvent(&end)
	d.check("time work", start.Record(d.stream))
	work()
	d.check("time work", end.Record(d.stream))
	d.check("wait for the GPU", end.Synchronize())
	ms, err := start.Elapsed(end)
	d.check("time work", err)
	return time.Duration(ms * float64(time.Millisecond))
}
