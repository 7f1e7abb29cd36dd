//go:build cuda

package gpu

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// nvrtc is the kernel compiler.
var nvrtc struct {
	once         sync.Once
	path         string
	major, minor int
	err          *Error
}

const hintInstall = "install a CUDA toolkit, or: python3 -m pip install nvidia-cuda-nvrtc-cu12 nvidia-cublas-cu12, and name the directories of the libraries in " + LibrariesVariable + " if they are not found"

// loadTool loads one of the toolkit's libraries in a version that goes with the
// driver's; use takes its functions, and is false where one is missing.
func loadTool(what, name, symbol string, use func(handle unsafe.Pointer) bool) (path string, err *Error) {
	handle, path, err := load(what, symbol, versions(name, driverLibrary.version)...)
	if err == nil && !use(handle) {
		err = &Error{Call: "load " + what + " " + path, Code: C.AR_NO_SYMBOL, Name: "too old", Fault: BySetup}
	}
	if err != nil {
		err.Hint = strings.TrimPrefix(err.Hint+": ", ": ") + hintInstall
	}
	return path, err
}

// startCompiler loads NVRTC, once in a process. Where there is a driver, it is
// one that the driver can load kernels of.
func startCompiler() error {
	l := &nvrtc
	l.once.Do(func() {
		path, err := loadTool("the kernel compiler NVRTC", "libnvrtc", "nvrtcVersion", func(h unsafe.Pointer) bool { return C.ar_nvrtc_use(h) == 0 })
		if err != nil {
			l.err = err
			return
		}
		var major, minor C.int
		C.ar_nvrtc_version(&major, &minor)
		l.path, l.major, l.minor = path, int(major), int(minor)
	})
	if l.err != nil {
		return l.err
	}
	return nil
}

func nvrtcLibrary() Library {
	lib := Library{Name: "libnvrtc", What: "the compiler of kernels"}
	if err := startCompiler(); err != nil {
		lib.Problem = err.Error()
		return lib
	}
	lib.Path, lib.Version = nvrtc.path, fmt.Sprintf("%d.%d", nvrtc.major, nvrtc.minor)
	return lib
}

// compileOptions are the compiler's options for an architecture. Arithmetic is
// IEEE's: no fast math, since NaN has to come through.
func compileOptions(arch string) []string {
	return []string{"--gpu-architecture=" + arch, "--std=c++17", "--generate-line-info"}
}

// Compile compiles CUDA C for an architecture ("sm_90a") to a CUBIN, without a
// GPU or a driver. name is that of the source in the compiler's messages, which
// are in the error.
func Compile(name, source, arch string) ([]byte, error) {
	image, _, err := compile(name, source, arch, compileOptions(arch))
	return image, err
}

// CompileUsage compiles, and says what each kernel takes of the GPU.
func CompileUsage(name, source, arch string) ([]Usage, error) {
	_, log, err := compile(name, source, arch, append(compileOptions(arch), "--ptxas-options=-v"))
	return parseUsage(log), err
}

// compile gives the CUBIN and what the compiler had to say.
func compile(name, source, arch string, options []string) ([]byte, string, error) {
	if err := startCompiler(); err != nil {
		return nil, "", err
	}
	text, file := C.CString(source), C.CString(name+".cu")
	defer C.free(unsafe.Pointer(text))
	defer C.free(unsafe.Pointer(file))
	list := unsafe.Slice((**C.char)(C.calloc(C.size_t(len(options)), C.size_t(unsafe.Sizeof(text)))), len(options))
	defer C.free(unsafe.Pointer(&list[0]))
	for i, o := range options {
		list[i] = C.CString(o)
		defer C.free(unsafe.Pointer(list[i]))
	}
	var image unsafe.Pointer
	var bytes C.size_t
	var messages *C.char
	code := int(C.ar_nvrtc_compile(text, file, C.int(len(options)), &list[0], &image, &bytes, &messages))
	log := C.GoString(messages)
	C.free(unsafe.Pointer(messages))
	defer C.free(image)
	if code != 0 {
		return nil, log, refusedSource(name, arch, code, log)
	}
	return C.GoBytes(image, C.int(bytes)), log, nil
}

// refusedSource is the Error for a source that does not compile.
func refusedSource(name, arch string, code int, log string) *Error {
	e := &Error{Call: fmt.Sprintf("compile %s for %s", name, arch), Code: code, Name: C.GoString(C.ar_nvrtc_error(C.int(code))), Fault: ByProgram, Hint: strings.TrimSpace(log)}
	if code == 5 { // an option: an architecture that this compiler does not know
		e.Fault = BySetup
		e.Hint = fmt.Sprintf("%s: NVRTC %d.%d may be too old for this GPU: %s", e.Hint, nvrtc.major, nvrtc.minor, hintInstall)
	}
	return e
}

// Kernel is a compiled function that a Device can launch.
type Kernel struct {
	name   string
	f      cu.Function
	shared int // dynamic shared memory that the driver was told of
}

// kernelKey finds a kernel by the address of its source, which costs less than
// its text; another copy of a text finds its module by the digest.
type kernelKey struct {
	function string
	source   *byte
	bytes    int
}

// Kernel returns a function of a CUDA C source, compiled at its first use for
// this GPU: module names the source in messages and caches. Functions are
// extern "C". It panics with the compiler's output.
func (d *Device) Kernel(module, source, function string) *Kernel {
	key := kernelKey{function, unsafe.StringData(source), len(source)}
	if k := d.kernels[key]; k != nil {
		return k
	}
	m, err := d.module(module, source)
	if err != nil {
		panic(err)
	}
	d.thread()
	defer runtime.UnlockOSThread()
	k := &Kernel{name: function}
	k.f, err = m.Function(function)
	d.check("find the kernel "+function+" in "+module, err)
	d.kernels[key] = k
	return k
}

// compiled are the images that this process has compiled, by their digest: one
// that opens a GPU again, as tests do for each case, has no compiler to wait for.
var compiled sync.Map

func compileOnce(digest [32]byte, name, source, arch string) ([]byte, error) {
	if image, ok := compiled.Load(digest); ok {
		return image.([]byte), nil
	}
	image, err := Compile(name, source, arch)
	if err == nil {
		compiled.Store(digest, image)
	}
	return image, err
}

// module loads the compiled source, from the cache where it is there.
func (d *Device) module(name, source string) (cu.Module, error) {
	if err := startCompiler(); err != nil {
		return cu.Module{}, err
	}
	digest := cubinKey(source, compileOptions(d.info.Arch()), fmt.Sprintf("NVRTC %d.%d", nvrtc.major, nvrtc.minor))
	if m, ok := d.modules[digest]; ok {
		return m, nil
	}
	image := readCubin(d.config.Cache, digest)
	if image == nil {
		var err error
		if image, err = compileOnce(digest, name, source, d.info.Arch()); err != nil {
			return cu.Module{}, err
		}
		writeCubin(d.config.Cache, digest, image)
	}
	d.thread()
	defer runtime.UnlockOSThread()
	m, err := cu.LoadData(string(image))
	if err != nil {
		return m, failed("load the kernels of "+name, err)
	}
	d.modules[digest] = m
	return m, nil
}
