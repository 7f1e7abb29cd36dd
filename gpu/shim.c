//go:build cuda

// The CUDA driver without linking it: every function of it that gorgonia.org/cu
// names is defined here and forwards to libcuda.so.1, which is loaded when the
// Go code asks for it. So the program links and starts on a machine without a
// driver, and says there what is missing.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

// Hidden: the libraries that are loaded must not find these in place of their own.
#pragma GCC visibility push(hidden)
#include "shim.h"

static void *driver; // libcuda.so.1, set once
static const char *missing = "";

void ar_driver_use(void *library) { __atomic_store_n(&driver, library, __ATOMIC_RELEASE); }

const char *ar_missing(void) { return __atomic_load_n(&missing, __ATOMIC_RELAXED); }

// find gives a function of the driver, or says why there is none. It is called
// once for each function that is used.
static void *find(const char *symbol, CUresult *why) {
	void *library = __atomic_load_n(&driver, __ATOMIC_ACQUIRE);
	if (!library) {
		*why = AR_NOT_LOADED;
		return NULL;
	}
	void *f = dlsym(library, symbol);
	if (!f) {
		*why = AR_NO_SYMBOL;
		__atomic_store_n(&missing, symbol, __ATOMIC_RELAXED);
	}
	return f;
}

#define AR(symbol, parameters, arguments)                                            \
	CUresult symbol parameters {                                                     \
		static CUresult(*known) parameters;                                          \
		CUresult(*there) parameters = __atomic_load_n(&known, __ATOMIC_RELAXED);     \
		if (!there) {                                                                \
			CUresult why;                                                            \
			there = (CUresult(*) parameters)find(#symbol, &why);                     \
			if (!there) return why;                                                  \
			__atomic_store_n(&known, there, __ATOMIC_RELAXED);                       \
		}                                                                            \
		return there arguments;                                                      \
	}
#include "cuda_functions.h"
#undef AR

// gorgonia.org/cu calls cuInit before main and ends the process if that fails.
// The real one is called by ar_init, whose answer is reported.
CUresult cuInit(unsigned flags) {
	(void)flags;
	return CUDA_SUCCESS;
}

CUresult ar_init(void) {
	CUresult why;
	CUresult (*f)(unsigned) = (CUresult(*)(unsigned))find("cuInit", &why);
	return f ? f(0) : why;
}

CUresult ar_parent_uuid(CUuuid *uuid, CUdevice device) {
	CUresult why;
	CUresult (*f)(CUuuid *, CUdevice) = (CUresult(*)(CUuuid *, CUdevice))find("cuDeviceGetUuid", &why);
	return f ? f(uuid, device) : why;
}

// A goroutine moves between threads, and the driver's current context belongs to
// a thread. Asking the driver costs more than remembering what was set.
static __thread CUcontext bound;
static __thread uint64_t bound_generation;

CUresult ar_bind(CUcontext context, uint64_t generation) {
	if (bound == context && bound_generation == generation) return CUDA_SUCCESS;
	CUresult r = cuCtxSetCurrent(context);
	if (r == CUDA_SUCCESS) {
		bound = context;
		bound_generation = generation;
	}
	return r;
}

void *ar_dlopen(const char *path, char *reason, int n) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library && n > 0) {
		const char *e = dlerror();
		snprintf(reason, (size_t)n, "%s", e ? e : "");
	}
	return library;
}

void ar_path(void *library, const char *symbol, char *path, int n) {
	Dl_info info;
	void *f = dlsym(library, symbol);
	snprintf(path, (size_t)n, "%s", f && dladdr(f, &info) && info.dli_fname ? info.dli_fname : "");
}
