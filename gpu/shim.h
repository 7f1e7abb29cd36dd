// What the Go code of this package calls in C: loading libraries at run time, and
// the functions of NVRTC and cublasLt (shim.c, nvrtc.c, cublaslt.c).
#ifndef AUTORESEARCH_SHIM_H
#define AUTORESEARCH_SHIM_H

#include "cuda.h"

// Codes of this shim, beside those of the libraries: no library, and a library
// without the function (the driver's own code for that).
#define AR_NOT_LOADED 3
#define AR_NO_SYMBOL 302

// ar_dlopen gives the library, or writes why not into the n bytes of reason.
void *ar_dlopen(const char *path, char *reason, int n);
// ar_path writes the file that a library was loaded from, "" if it is unknown.
void ar_path(void *library, const char *symbol, char *path, int n);

// ar_driver_use makes the forwarders of cuda_functions.h call the library.
void ar_driver_use(void *library);
// ar_missing is the function that the driver lacked last, "" if it had all.
const char *ar_missing(void);
// ar_init is the driver's own cuInit, ar_parent_uuid the UUID of the whole GPU
// where cuDeviceGetUuid_v2 gives that of a MIG device.
CUresult ar_init(void);
CUresult ar_parent_uuid(CUuuid *uuid, CUdevice device);
// ar_bind makes the context the calling thread's, if it is not yet. Generation
// tells contexts apart that follow one another at one address.
CUresult ar_bind(CUcontext context, uint64_t generation);
// NVRTC. The functions are loaded by ar_nvrtc_use, which gives 0 or
// AR_NO_SYMBOL; codes are nvrtcResult.
int ar_nvrtc_use(void *library);
int ar_nvrtc_version(int *major, int *minor);
const char *ar_nvrtc_error(int code);
// ar_nvrtc_compile gives the CUBIN and the log, for the caller to free; either
// may be NULL.
int ar_nvrtc_compile(const char *source, const char *name, int n, const char *const *options, void **cubin, size_t *size, char **log);

// cublasLt. Codes are cublasStatus_t.
typedef struct {
	uint64_t data[8];
} ar_algorithm;
typedef struct {
	ar_algorithm algorithm;
	size_t workspace;
	int status;
	float waves;
	int reserved[4];
} ar_candidate;

// ar_shape is one product in cublasLt's terms: column-major, D = alpha op(A) op(B) + beta C.
typedef struct {
	uint64_t m, n, k;
	int64_t lda, ldb, ldc;
	int64_t stride_a, stride_b, stride_c;
	int batch;
	int trans_a, trans_b;
	int in, out;  // 0 is float, 1 is bfloat16
	int compute;  // 0 is float32, 1 is TF32
	int beta;     // 1 adds to C
	unsigned align_a, align_b, align_c;
} ar_shape;

// ar_plan holds the descriptors of one shape.
typedef struct {
	void *desc, *a, *b, *c;
} ar_plan;

int ar_blas_use(void *library);
int ar_blas_create(void **handle);
void ar_blas_destroy(void *handle);
size_t ar_blas_version(void);
const char *ar_blas_error(int code);
int ar_blas_plan(ar_plan *plan, const ar_shape *shape);
void ar_blas_plan_free(ar_plan *plan);
// ar_blas_candidates asks for at most n algorithms, the most promising first.
int ar_blas_candidates(void *handle, const ar_plan *plan, const ar_shape *shape, size_t workspace, ar_candidate *found, int n, int *count);
// ar_blas_split makes an algorithm compute so many parts of K side by side and add
// them up in order. It is 0 if the algorithm can.
int ar_blas_split(void *handle, const ar_plan *plan, ar_algorithm *algorithm, int parts, size_t workspace);
int ar_blas_run(void *handle, const ar_plan *plan, const ar_algorithm *algorithm, float alpha, float beta, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c, CUdeviceptr workspace, size_t size, CUstream stream);

#endif
