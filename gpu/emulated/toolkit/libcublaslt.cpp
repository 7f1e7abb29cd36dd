// libcublasLt.so.12 of the emulated toolkit: matrix products with column-major
// layouts, in plain C++. Sums are float32 over k in order, in as many parts as the
// algorithm's split says; all algorithms give the same bits otherwise, so a test
// does not depend on which one was fastest.
//
// Of the algorithms that it offers one refuses to run and one is slow.
// The workspace is spoiled by every product that asked for one.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

typedef std::function<int()> Work;
extern "C" int emu_enqueue(void *stream, double ms, const Work &);
extern "C" int emu_holds(const void *, size_t);
extern "C" int emu_each(unsigned count, const std::function<void(unsigned)> &);

enum { kSuccess = 0, kInvalidValue = 7, kNotSupported = 15 };
enum { kFloat = 0, kBfloat16 = 14, kCompute32F = 68, kComputeTF32 = 77, kIllegalAddress = 700 };

struct Desc {
  int compute, scale;
  int32_t trans_a = 0, trans_b = 0;
};

struct Layout {
  int type;
  uint64_t rows, cols;
  int64_t ld;
  int32_t batch = 1;
  int64_t stride = 0;

  size_t element() const { return type == kFloat ? 4 : 2; }
  size_t bytes() const { return ((batch - 1) * stride + (cols - 1) * ld + rows) * element(); }
};

struct Preference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

// What the 64 opaque bytes of an algorithm are here.
struct Algorithm {
  uint64_t magic, id;
  int32_t split, reduction;
  uint32_t alignment[4];
  uint64_t unused[3];
};
static_assert(sizeof(Algorithm) == 64, "cublasLtMatmulAlgo_t has 64 bytes");
constexpr uint64_t kMagic = 0x656d756c61746564;
enum { kPlain, kRefuses, kSlow, kLarge, kBest, kAlgorithms };

struct Candidate {
  Algorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};

// --- Handles and descriptions ---

API cublasLtCreate(void **handle) { return *handle = new int(0), kSuccess; }
API cublasLtDestroy(void *handle) { return delete (int *)handle, kSuccess; }
extern "C" __attribute__((visibility("default"))) size_t cublasLtGetVersion() { return 120900; }
extern "C" __attribute__((visibility("default"))) const char *cublasLtGetStatusName(int code) {
  return code == kSuccess ? "CUBLAS_STATUS_SUCCESS" : code == kInvalidValue ? "CUBLAS_STATUS_INVALID_VALUE" : code == kNotSupported ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_INTERNAL_ERROR";
}
extern "C" __attribute__((visibility("default"))) const char *cublasLtGetStatusString(int code) { return cublasLtGetStatusName(code); }

API cublasLtMatmulDescCreate(Desc **out, int compute, int scale) {
  if ((compute != kCompute32F && compute != kComputeTF32) || scale != kFloat) return kNotSupported;
  return *out = new Desc{compute, scale}, kSuccess;
}
API cublasLtMatmulDescDestroy(Desc *d) { return delete d, kSuccess; }
API cublasLtMatmulDescSetAttribute(Desc *d, int attribute, const void *value, size_t size) {
  if (size != 4 || (attribute != 3 && attribute != 4)) return kInvalidValue;
  memcpy(attribute == 3 ? &d->trans_a : &d->trans_b, value, 4);
  return kSuccess;
}

API cublasLtMatrixLayoutCreate(Layout **out, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  if (!rows || !cols || ld < (int64_t)rows) return kInvalidValue;
  if (type != kFloat && type != kBfloat16) return kNotSupported;
  return *out = new Layout{type, rows, cols, ld}, kSuccess;
}
API cublasLtMatrixLayoutDestroy(Layout *l) { return delete l, kSuccess; }
API cublasLtMatrixLayoutSetAttribute(Layout *l, int attribute, const void *value, size_t size) {
  if (attribute == 5 && size == 4) return memcpy(&l->batch, value, 4), kSuccess;
  if (attribute == 6 && size == 8) return memcpy(&l->stride, value, 8), kSuccess;
  return kInvalidValue;
}

API cublasLtMatmulPreferenceCreate(Preference **out) { return *out = new Preference, kSuccess; }
API cublasLtMatmulPreferenceDestroy(Preference *p) { return delete p, kSuccess; }
API cublasLtMatmulPreferenceSetAttribute(Preference *p, int attribute, const void *value, size_t size) {
  if (attribute == 1 && size == 8) return memcpy(&p->workspace, value, 8), kSuccess;
  if (attribute >= 5 && attribute <= 8 && size == 4) return memcpy(&p->alignment[attribute - 5], value, 4), kSuccess;
  return attribute == 0 || attribute == 3 || attribute == 9 || attribute == 12 ? kSuccess : kInvalidValue;
}

// --- Algorithms ---

struct Shape {
  uint64_t m, n, k;
};

static int check(const Desc *d, const Layout *a, const Layout *b, const Layout *c, const Layout *out, Shape *s) {
  *s = {d->trans_a ? a->cols : a->rows, d->trans_b ? b->rows : b->cols, d->trans_a ? a->rows : a->cols};
  if ((d->trans_b ? b->cols : b->rows) != s->k) return kInvalidValue;
  for (const Layout *l : {c, out})
    if (l->rows != s->m || l->cols != s->n || l->batch != a->batch) return kInvalidValue;
  if (b->batch != a->batch || (out->batch > 1 && out->stride < (int64_t)s->m)) return kInvalidValue;
  if (a->type != b->type || c->type != out->type || (a->type == kFloat && out->type != kFloat)) return kNotSupported;
  return d->compute == kComputeTF32 && a->type != kFloat ? kNotSupported : kSuccess;
}

static size_t workspace_of(const Algorithm &a, const Shape &s, int batch) { return a.split > 1 ? a.split * s.m * s.n * 4 * batch : a.id == kLarge ? 1 << 20 : 0; }

API cublasLtMatmulAlgoGetHeuristic(void *, Desc *d, Layout *a, Layout *b, Layout *c, Layout *out, Preference *p, int wanted, Candidate *found, int *count) {
  Shape s;
  *count = 0;
  if (int rc = check(d, a, b, c, out, &s)) return rc;
  for (uint64_t id = 0; id < kAlgorithms && *count < wanted; id++) {
    Candidate candidate = {{kMagic, id, 1, 0, {}, {}}, 0, kSuccess, 1.0f + id, {}};
    memcpy(candidate.algorithm.alignment, p->alignment, sizeof p->alignment);
    candidate.workspace = workspace_of(candidate.algorithm, s, a->batch);
    if (candidate.workspace <= p->workspace) found[(*count)++] = candidate;
  }
  return *count ? kSuccess : kNotSupported;
}

API cublasLtMatmulAlgoConfigSetAttribute(Algorithm *a, int attribute, const void *value, size_t size) {
  if (size != 4 || (attribute != 2 && attribute != 3)) return kInvalidValue;
  memcpy(attribute == 2 ? &a->split : &a->reduction, value, 4);
  return kSuccess;
}

API cublasLtMatmulAlgoCheck(void *, Desc *d, Layout *a, Layout *b, Layout *c, Layout *out, const Algorithm *algorithm, Candidate *result) {
  Shape s;
  if (int rc = check(d, a, b, c, out, &s)) return rc;
  if (algorithm->magic != kMagic) return kInvalidValue;
  if (algorithm->split < 1 || (uint64_t)algorithm->split > s.k || (algorithm->split > 1 && !algorithm->reduction)) return kNotSupported;
  *result = {*algorithm, workspace_of(*algorithm, s, a->batch), kSuccess, 1, {}};
  return kSuccess;
}

// --- The product ---

static inline float widen(uint16_t bits) {
  uint32_t u = (uint32_t)bits << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static inline uint16_t narrow(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return f != f ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
// TF32 keeps ten bits of the mantissa; ties go away from zero.
static inline float to_tf32(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  u = (u + 0x1000) & ~0x1fffu;
  if (f == f) memcpy(&f, &u, 4);
  return f;
}

// Panels: 16 rows of op(A), or 6 columns of op(B), beside each other for each k.
constexpr int kRows = 16, kCols = 6;
typedef float Vector __attribute__((vector_size(32), aligned(4)));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FASTEST __attribute__((target_clones("avx2", "default")))
#else
#define FASTEST
#endif

// c [kCols][kRows] = the product of two panels over n steps of k.
FASTEST static void multiply(int64_t n, const float *a, const float *b, float *c) {
  Vector sum[kCols][2] = {};
  for (int64_t k = 0; k < n; k++, a += kRows, b += kCols) {
    Vector low = *(const Vector *)a, high = *(const Vector *)(a + 8);
    for (int j = 0; j < kCols; j++) sum[j][0] += low * b[j], sum[j][1] += high * b[j];
  }
  memcpy(c, sum, sizeof sum);
}

struct Product {
  Desc desc;
  Layout a, b, c, d;
  Shape s;
  float alpha, beta;
  const char *pa, *pb, *pc;
  char *pd;
  Algorithm algorithm;
  char *workspace;
  size_t workspace_bytes;
};

// pack copies width elements of the outer dimension, from first on, for all k.
static void pack(const Product &p, const Layout &l, const char *from, bool k_is_row, uint64_t first, uint64_t outer, int width, float *to) {
  for (uint64_t k = 0; k < p.s.k; k++)
    for (int i = 0; i < width; i++, to++) {
      if (first + i >= outer) {
        *to = 0;
        continue;
      }
      size_t at = k_is_row ? k + (first + i) * l.ld : first + i + k * l.ld;
      float v = l.type == kFloat ? ((const float *)from)[at] : widen(((const uint16_t *)from)[at]);
      *to = p.desc.compute == kComputeTF32 ? to_tf32(v) : v;
    }
}

static void store(const Product &p, const float *tile, uint64_t row, uint64_t col, const char *c, char *d) {
  for (uint64_t j = 0; j < kCols && col + j < p.s.n; j++)
    for (uint64_t i = 0; i < kRows && row + i < p.s.m; i++) {
      float v = p.alpha * tile[j * kRows + i];
      size_t from = row + i + (col + j) * p.c.ld, to = row + i + (col + j) * p.d.ld;
      if (p.beta != 0) v += p.beta * (p.c.type == kFloat ? ((const float *)c)[from] : widen(((const uint16_t *)c)[from]));
      if (p.d.type == kFloat)
        ((float *)d)[to] = v;
      else
        ((uint16_t *)d)[to] = narrow(v);
    }
}

static void product_of_one(const Product &p, const char *a, const char *b, const char *c, char *d) {
  uint64_t rows = (p.s.m + kRows - 1) / kRows, cols = (p.s.n + kCols - 1) / kCols;
  std::vector<float> left(rows * kRows * p.s.k), right(cols * kCols * p.s.k);
  emu_each(rows, [&](unsigned i) { pack(p, p.a, a, p.desc.trans_a, (uint64_t)i * kRows, p.s.m, kRows, &left[i * kRows * p.s.k]); });
  emu_each(cols, [&](unsigned j) { pack(p, p.b, b, !p.desc.trans_b, (uint64_t)j * kCols, p.s.n, kCols, &right[j * kCols * p.s.k]); });
  emu_each(rows, [&](unsigned i) {
    float tile[kRows * kCols], part[kRows * kCols];
    uint64_t step = (p.s.k + p.algorithm.split - 1) / p.algorithm.split;
    for (uint64_t j = 0; j < cols; j++) {
      for (uint64_t k = 0; k < p.s.k; k += step) {
        multiply(std::min(step, p.s.k - k), &left[(i * p.s.k + k) * kRows], &right[(j * p.s.k + k) * kCols], k ? part : tile);
        for (int e = 0; k && e < kRows * kCols; e++) tile[e] += part[e];
      }
      store(p, tile, (uint64_t)i * kRows, j * kCols, c, d);
    }
  });
}

static int perform(const Product &p) {
  if (!emu_holds(p.pa, p.a.bytes()) || !emu_holds(p.pb, p.b.bytes()) || !emu_holds(p.pd, p.d.bytes()) || (p.beta != 0 && !emu_holds(p.pc, p.c.bytes()))) {
    fprintf(stderr, "emulated GPU: error 700: a matrix of a product is not within memory of the GPU\n");
    return kIllegalAddress;
  }
  size_t workspace = workspace_of(p.algorithm, p.s, p.a.batch);
  if (workspace) memset(p.workspace, 0xff, workspace);
  for (int i = 0; i < p.a.batch; i++)
    product_of_one(p, p.pa + i * p.a.stride * p.a.element(), p.pb + i * p.b.stride * p.b.element(), p.pc + i * p.c.stride * p.c.element(),
                   p.pd + i * p.d.stride * p.d.element());
  return 0;
}

// milliseconds is how long events say that a product takes: 100 TFLOP/s for the
// best algorithm, which is not the first. It is a model, so that whoever times
// algorithms chooses the same one each time.
static double milliseconds(const Product &p) {
  double factor = p.algorithm.id == kSlow ? 10 : p.algorithm.id == kBest ? 1 : 1.2 + 0.01 * p.algorithm.id;
  return 0.002 + 2.0 * p.s.m * p.s.n * p.s.k * p.a.batch / 1e11 * factor * (1 + 0.05 * (p.algorithm.split - 1));
}

API cublasLtMatmul(void *, Desc *desc, const float *alpha, const void *a, Layout *la, const void *b, Layout *lb, const float *beta, const void *c, Layout *lc,
                   void *d, Layout *ld, const Algorithm *algorithm, void *workspace, size_t workspace_bytes, void *stream) {
  Product p = {*desc, *la, *lb, *lc, *ld, {}, *alpha, *beta, (const char *)a, (const char *)b, (const char *)c, (char *)d, {kMagic, 0, 1, 0, {1, 1, 1, 1}, {}}, (char *)workspace, workspace_bytes};
  if (int rc = check(desc, la, lb, lc, ld, &p.s)) return rc;
  if (algorithm) p.algorithm = *algorithm;
  if (p.algorithm.magic != kMagic || p.algorithm.split < 1) return kInvalidValue;
  if (p.algorithm.id == kRefuses) return kNotSupported;
  const void *pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; i++)
    if ((uintptr_t)pointers[i] % p.algorithm.alignment[i]) return kInvalidValue;
  size_t need = workspace_of(p.algorithm, p.s, la->batch);
  if (need && (need > workspace_bytes || !emu_holds(workspace, need))) return kInvalidValue;
  return emu_enqueue(stream, milliseconds(p), [p] { return perform(p); }) ? 14 : kSuccess;
}
