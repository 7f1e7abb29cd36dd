//go:build cuda

// cublasLt, NVIDIA's matrix products, loaded at run time. Numbers are its
// interface's.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "shim.h"

static struct {
	size_t (*version)(void);
	const char *(*error)(int);
	int (*create)(void **);
	int (*destroy)(void *);
	int (*desc_create)(void **, int compute, int scale);
	int (*desc_destroy)(void *);
	int (*desc_set)(void *, int attribute, const void *, size_t);
	int (*layout_create)(void **, int type, uint64_t rows, uint64_t cols, int64_t ld);
	int (*layout_destroy)(void *);
	int (*layout_set)(void *, int attribute, const void *, size_t);
	int (*preference_create)(void **);
	int (*preference_destroy)(void *);
	int (*preference_set)(void *, int attribute, const void *, size_t);
	int (*heuristic)(void *, void *, void *, void *, void *, void *, void *, int, ar_candidate *, int *);
	// Both may be missing; then algorithms stay as they are.
	int (*config_set)(ar_algorithm *, int attribute, const void *, size_t);
	int (*check)(void *, void *, void *, void *, void *, void *, const ar_algorithm *, ar_candidate *);
	int (*matmul)(void *, void *, const void *, const void *, void *, const void *, void *, const void *, const void *, void *, void *, void *,
	              const ar_algorithm *, void *, size_t, CUstream);
} lt;

enum {
	REAL_32F = 0,
	REAL_16BF = 14,
	COMPUTE_32F = 68,
	COMPUTE_32F_TF32 = 77,
	DESC_TRANS_A = 3,
	DESC_TRANS_B = 4,
	LAYOUT_BATCH = 5,
	LAYOUT_STRIDE = 6,
	PREFERENCE_WORKSPACE = 1,
	PREFERENCE_REDUCTION = 3,
	PREFERENCE_ALIGN_A = 5,
	PREFERENCE_ALIGN_B = 6,
	PREFERENCE_ALIGN_C = 7,
	PREFERENCE_ALIGN_D = 8,
	CONFIG_SPLIT_K = 2,
	CONFIG_REDUCTION = 3,
	REDUCE_FLOATS = 2,  // parts of a sum over K are float32 in the workspace, added in a step of their own
	REDUCE_OUTPUT = 4,  // the same in the type of the result
};

int ar_blas_use(void *library) {
	struct {
		void **slot;
		const char *symbol;
	} functions[] = {
		{(void **)&lt.version, "cublasLtGetVersion"},
		{(void **)&lt.error, "cublasLtGetStatusName"},
		{(void **)&lt.create, "cublasLtCreate"},
		{(void **)&lt.destroy, "cublasLtDestroy"},
		{(void **)&lt.desc_create, "cublasLtMatmulDescCreate"},
		{(void **)&lt.desc_destroy, "cublasLtMatmulDescDestroy"},
		{(void **)&lt.desc_set, "cublasLtMatmulDescSetAttribute"},
		{(void **)&lt.layout_create, "cublasLtMatrixLayoutCreate"},
		{(void **)&lt.layout_destroy, "cublasLtMatrixLayoutDestroy"},
		{(void **)&lt.layout_set, "cublasLtMatrixLayoutSetAttribute"},
		{(void **)&lt.preference_create, "cublasLtMatmulPreferenceCreate"},
		{(void **)&lt.preference_destroy, "cublasLtMatmulPreferenceDestroy"},
		{(void **)&lt.preference_set, "cublasLtMatmulPreferenceSetAttribute"},
		{(void **)&lt.heuristic, "cublasLtMatmulAlgoGetHeuristic"},
		{(void **)&lt.matmul, "cublasLtMatmul"},
	};
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (!(*functions[i].slot = dlsym(library, functions[i].symbol))) return AR_NO_SYMBOL;
	*(void **)&lt.config_set = dlsym(library, "cublasLtMatmulAlgoConfigSetAttribute");
	*(void **)&lt.check = dlsym(library, "cublasLtMatmulAlgoCheck");
	return 0;
}

int ar_blas_create(void **handle) { return lt.create(handle); }

void ar_blas_destroy(void *handle) { lt.destroy(handle); }

size_t ar_blas_version(void) { return lt.version(); }

const char *ar_blas_error(int code) { return lt.error(code); }

// layout describes rows x cols in column-major order.
static int layout(void **out, int type, uint64_t rows, uint64_t cols, int64_t ld, int32_t batch, int64_t stride) {
	int r = lt.layout_create(out, type ? REAL_16BF : REAL_32F, rows, cols, ld);
	if (r == 0 && batch > 1) {
		r = lt.layout_set(*out, LAYOUT_BATCH, &batch, sizeof batch);
		if (r == 0) r = lt.layout_set(*out, LAYOUT_STRIDE, &stride, sizeof stride);
	}
	return r;
}

int ar_blas_plan(ar_plan *p, const ar_shape *s) {
	memset(p, 0, sizeof *p);
	int32_t ta = s->trans_a, tb = s->trans_b;
	int r = lt.desc_create(&p->desc, s->compute ? COMPUTE_32F_TF32 : COMPUTE_32F, REAL_32F);
	if (r == 0) r = lt.desc_set(p->desc, DESC_TRANS_A, &ta, sizeof ta);
	if (r == 0) r = lt.desc_set(p->desc, DESC_TRANS_B, &tb, sizeof tb);
	if (r == 0) r = layout(&p->a, s->in, ta ? s->k : s->m, ta ? s->m : s->k, s->lda, s->batch, s->stride_a);
	if (r == 0) r = layout(&p->b, s->in, tb ? s->n : s->k, tb ? s->k : s->n, s->ldb, s->batch, s->stride_b);
	if (r == 0) r = layout(&p->c, s->out, s->m, s->n, s->ldc, s->batch, s->stride_c);
	if (r != 0) ar_blas_plan_free(p);
	return r;
}

void ar_blas_plan_free(ar_plan *p) {
	if (p->desc) lt.desc_destroy(p->desc);
	if (p->a) lt.layout_destroy(p->a);
	if (p->b) lt.layout_destroy(p->b);
	if (p->c) lt.layout_destroy(p->c);
	memset(p, 0, sizeof *p);
}

int ar_blas_candidates(void *handle, const ar_plan *p, const ar_shape *s, size_t workspace, ar_candidate *found, int n, int *count) {
	void *preference = NULL;
	uint64_t bytes = workspace;
	uint32_t a = s->align_a, b = s->align_b, c = s->align_c;
	// Parts of K are added up in float32 and in one order, never in the result.
	uint32_t reduction = s->out == 0 ? REDUCE_FLOATS | REDUCE_OUTPUT : REDUCE_FLOATS;
	*count = 0;
	int r = lt.preference_create(&preference);
	if (r == 0) r = lt.preference_set(preference, PREFERENCE_WORKSPACE, &bytes, sizeof bytes);
	if (r == 0) r = lt.preference_set(preference, PREFERENCE_REDUCTION, &reduction, sizeof reduction);
	if (r == 0) r = lt.preference_set(preference, PREFERENCE_ALIGN_A, &a, sizeof a);
	if (r == 0) r = lt.preference_set(preference, PREFERENCE_ALIGN_B, &b, sizeof b);
	if (r == 0) r = lt.preference_set(preference, PREFERENCE_ALIGN_C, &c, sizeof c);
	if (r == 0) r = lt.preference_set(preference, PREFERENCE_ALIGN_D, &c, sizeof c);
	if (r == 0) r = lt.heuristic(handle, p->desc, p->a, p->b, p->c, p->c, preference, n, found, count);
	if (preference) lt.preference_destroy(preference);
	return r;
}

int ar_blas_split(void *handle, const ar_plan *p, ar_algorithm *algorithm, int parts, size_t workspace) {
	if (!lt.config_set || !lt.check) return AR_NO_SYMBOL;
	int32_t n = parts;
	uint32_t reduction = REDUCE_FLOATS;
	ar_candidate result = {0};
	int r = lt.config_set(algorithm, CONFIG_SPLIT_K, &n, sizeof n);
	if (r == 0) r = lt.config_set(algorithm, CONFIG_REDUCTION, &reduction, sizeof reduction);
	if (r == 0) r = lt.check(handle, p->desc, p->a, p->b, p->c, p->c, algorithm, &result);
	if (r == 0) r = result.status;
	return r == 0 && result.workspace > workspace ? AR_NO_SYMBOL : r;
}

int ar_blas_run(void *handle, const ar_plan *p, const ar_algorithm *algorithm, float alpha, float beta, CUdeviceptr a, CUdeviceptr b, CUdeviceptr c,
                CUdeviceptr workspace, size_t size, CUstream stream) {
	return lt.matmul(handle, p->desc, &alpha, (void *)a, p->a, (void *)b, p->b, &beta, (void *)c, p->c, (void *)c, p->c, algorithm, (void *)workspace, size,
	                 stream);
}
