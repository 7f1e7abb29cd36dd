//go:build cuda

// NVRTC, NVIDIA's compiler of CUDA C as a library, loaded at run time.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

#include "shim.h"

typedef void *program;

static struct {
	int (*version)(int *, int *);
	const char *(*error)(int);
	int (*create)(program *, const char *, const char *, int, const char *const *, const char *const *);
	int (*compile)(program, int, const char *const *);
	int (*destroy)(program *);
	int (*cubin_size)(program, size_t *);
	int (*cubin)(program, char *);
	int (*log_size)(program, size_t *);
	int (*log)(program, char *);
} nvrtc;

int ar_nvrtc_use(void *library) {
	struct {
		void **slot;
		const char *symbol;
	} functions[] = {
		{(void **)&nvrtc.version, "nvrtcVersion"},
		{(void **)&nvrtc.error, "nvrtcGetErrorString"},
		{(void **)&nvrtc.create, "nvrtcCreateProgram"},
		{(void **)&nvrtc.compile, "nvrtcCompileProgram"},
		{(void **)&nvrtc.destroy, "nvrtcDestroyProgram"},
		{(void **)&nvrtc.cubin_size, "nvrtcGetCUBINSize"},
		{(void **)&nvrtc.cubin, "nvrtcGetCUBIN"},
		{(void **)&nvrtc.log_size, "nvrtcGetProgramLogSize"},
		{(void **)&nvrtc.log, "nvrtcGetProgramLog"},
	};
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (!(*functions[i].slot = dlsym(library, functions[i].symbol))) return AR_NO_SYMBOL;
	return 0;
}

int ar_nvrtc_version(int *major, int *minor) { return nvrtc.version(major, minor); }

const char *ar_nvrtc_error(int code) { return nvrtc.error(code); }

// read_log gives the compiler's messages, or NULL.
static char *read_log(program p) {
	size_t n = 0;
	if (nvrtc.log_size(p, &n) != 0 || n == 0) return NULL;
	char *log = calloc(1, n + 1);
	if (log && nvrtc.log(p, log) != 0) {
		free(log);
		log = NULL;
	}
	return log;
}

int ar_nvrtc_compile(const char *source, const char *name, int n, const char *const *options, void **cubin, size_t *size, char **log) {
	program p = NULL;
	*cubin = NULL, *size = 0, *log = NULL;
	int r = nvrtc.create(&p, source, name, 0, NULL, NULL);
	if (r != 0) return r;
	r = nvrtc.compile(p, n, options);
	*log = read_log(p);
	if (r == 0) r = nvrtc.cubin_size(p, size);
	if (r == 0) {
		*cubin = malloc(*size ? *size : 1);
		r = *cubin ? nvrtc.cubin(p, *cubin) : 1; // 1 is out of memory
	}
	nvrtc.destroy(&p);
	return r;
}
