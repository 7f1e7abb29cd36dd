//go:build cuda

package gpu

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// Alloc returns memory of so many bytes, aligned to 256, with undefined contents.
// It panics with an *Error that blames memory when the GPU has no more.
func (d *Device) Alloc(bytes int64) Ptr {
	at, err := d.memory.alloc(bytes)
	if err == nil {
		return at
	}
	if err.Fault == ByMemory {
		err.Call = "allocate " + size(bytes)
		err.Hint = d.memoryHint()
	}
	panic(err)
}

// memoryHint says where the memory is.
func (d *Device) memoryHint() string {
	p := &d.memory
	hint := fmt.Sprintf("the program holds %s in %d arrays, %s of its memory lie between them", size(p.bytes), len(p.used), size(p.held-p.bytes))
	if free, total, err := cu.MemInfo(); err == nil {
		hint += fmt.Sprintf(", and %s of the GPU's %s are free", size(free), size(total))
	}
	return hint + ": take a smaller batch or model"
}

// Free gives memory back that Alloc returned; work in the stream may still use
// it. 0 is nothing.
func (d *Device) Free(p Ptr) {
	if p != 0 && !d.memory.release(p) {
		panic(&Error{Call: fmt.Sprintf("free %#x", uint64(p)), Code: 1, Name: "CUDA_ERROR_INVALID_VALUE", Fault: ByProgram, Hint: "it was freed before, or is not the start of an array"})
	}
}

// PeakBytes is the most that was allocated at once, exactly (sizes are multiples
// of 256); ResetPeak begins anew from what is allocated now.
func (d *Device) PeakBytes() int64 { return d.memory.peak }

// ResetPeak lets PeakBytes begin anew.
func (d *Device) ResetPeak() { d.memory.peak = d.memory.bytes }

// takeSegment and giveSegment are the pool's driver.
func (d *Device) takeSegment(bytes int64) (Ptr, *Error) {
	d.thread()
	defer runtime.UnlockOSThread()
	at, err := cu.MemAlloc(bytes)
	return Ptr(at), failed("cuMemAlloc of "+size(bytes), err)
}

func (d *Device) giveSegment(at Ptr, bytes int64) {
	d.thread()
	defer runtime.UnlockOSThread()
	d.check("wait for the GPU", d.stream.Synchronize()) // work in the stream may still use it
	d.check("cuMemFree of "+size(bytes), cu.MemFree(cu.DevicePtr(at)))
}

// Copy copies within the GPU's memory; the ranges do not overlap.
func (d *Device) Copy(dst, src Ptr, bytes int64) {
	if bytes == 0 {
		return
	}
	d.thread()
	defer runtime.UnlockOSThread()
	d.check("copy", cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), bytes, d.stream))
}

// Clear sets bytes to zero.
func (d *Device) Clear(p Ptr, bytes int64) {
	if bytes == 0 {
		return
	}
	d.thread()
	defer runtime.UnlockOSThread()
	if (int64(p)|bytes)%4 == 0 {
		d.check("clear", cu.MemsetD32Async(cu.DevicePtr(p), 0, bytes/4, d.stream))
		return
	}
	d.check("clear", cu.MemsetD8Async(cu.DevicePtr(p), 0, bytes, d.stream))
}

// staging is memory of the host that the GPU reads and writes by itself, in two
// halves: while the GPU copies from the one, the host fills the other. A half is
// filled again when the event that was put into the stream behind its last copy
// has come. Many small copies share a half.
type staging struct {
	at    [2]unsafe.Pointer
	left  [2]cu.Event // recorded when the half was left
	half  int
	taken int64 // of the current half
	ready bool
}

const stageBytes = 8 << 20 // of a half

func (s *staging) open(d *Device) {
	var p unsafe.Pointer
	if e := refused("allocate "+size(2*stageBytes)+" of pinned memory", C.cuMemHostAlloc(&p, 2*stageBytes, 0)); e != nil {
		e.Fault = ByMachine // the host's memory, not the GPU's
		panic(e)
	}
	s.at = [2]unsafe.Pointer{p, unsafe.Add(p, stageBytes)}
	for i := range s.left {
		var err error
		s.left[i], err = cu.MakeEvent(cu.DisableTiming)
		d.check("make an event", err)
	}
	s.ready = true
}

func (s *staging) close() {
	if !s.ready {
		return
	}
	for i := range s.left {
		cu.DestroyEvent(&s.left[i])
	}
	cu.MemFreeHost(s.at[0])
	*s = staging{}
}

// next gives room for so many bytes, at most a half. Waiting for an event that
// was never recorded returns at once.
func (s *staging) next(d *Device, bytes int64) unsafe.Pointer {
	if !s.ready {
		s.open(d)
	}
	bytes = roundUp(bytes, granule)
	if s.taken+bytes > stageBytes {
		d.check("copy", s.left[s.half].Record(d.stream))
		s.half, s.taken = 1-s.half, 0
		d.check("copy", s.left[s.half].Synchronize())
	}
	p := unsafe.Add(s.at[s.half], s.taken)
	s.taken += bytes
	return p
}

// CopyIn copies from the host; src may be used again when it returns. The GPU
// gets the bytes in the order of the stream.
func (d *Device) CopyIn(dst Ptr, src unsafe.Pointer, bytes int64) {
	d.thread()
	defer runtime.UnlockOSThread()
	for done := int64(0); done < bytes; {
		n := min(bytes-done, stageBytes)
		p := d.stage.next(d, n)
		copy(unsafe.Slice((*byte)(p), n), unsafe.Slice((*byte)(unsafe.Add(src, done)), n))
		d.check("copy to the GPU", cu.MemcpyHtoDAsync(cu.DevicePtr(dst.At(done)), p, n, d.stream))
		done += n
	}
}

// CopyOut copies to the host and waits for the stream. While the host takes one
// part, the GPU copies the next. The GPU writes to a half after it has read what
// CopyIn left there, in the order of the stream.
func (d *Device) CopyOut(dst unsafe.Pointer, src Ptr, bytes int64) {
	if bytes == 0 {
		return
	}
	d.thread()
	defer runtime.UnlockOSThread()
	s := &d.stage
	if !s.ready {
		s.open(d)
	}
	fetch := func(at int64) {
		h := at / stageBytes % 2
		n := min(bytes-at, stageBytes)
		d.check("copy from the GPU", cu.MemcpyDtoHAsync(s.at[h], cu.DevicePtr(src.At(at)), n, d.stream))
		d.check("copy from the GPU", s.left[h].Record(d.stream))
	}
	fetch(0)
	for at := int64(0); at < bytes; at += stageBytes {
		if at+stageBytes < bytes {
			fetch(at + stageBytes)
		}
		h := at / stageBytes % 2
		n := min(bytes-at, stageBytes)
		d.check("wait for the GPU", s.left[h].Synchronize())
		copy(unsafe.Slice((*byte)(unsafe.Add(dst, at)), n), unsafe.Slice((*byte)(s.at[h]), n))
	}
	s.taken = 0 // all that was staged before has been read
}
