// What the lanes of a warp do together: shuffles, votes, matrix products, matrix
// loads. Each lane hands over a struct of its own (a lane's stack stays alive
// while it waits), and whoever comes last computes for all of them.
#pragma once

// What runs for all lanes runs in the scheduler, where the sanitizers' handlers
// do not know whom to blame.
#ifdef __clang__
#define EMU_UNCHECKED __attribute__((no_sanitize("alignment", "bounds")))
#else
#define EMU_UNCHECKED __attribute__((no_sanitize("alignment", "bounds"), optimize("O3")))
#endif

namespace emu {

inline void nothing(void **) {}

// together runs complete for the lanes in mask, once all of them are here.
template <class Given> inline void together(unsigned mask, Given *given, void (*complete)(Given **lanes)) {
  collective(mask, (Complete)(void *)complete, given);
}

// A shuffle moves up to eight bytes; a lane that has none to move gets its own.
struct Move {
  unsigned long long value, result;
  int from;  // lane
};

EMU_UNCHECKED inline void move(Move **lanes) {
  for (int i = 0; i < 32; i++)
    if (lanes[i]) {
      Move *from = lanes[i]->from == i ? lanes[i] : lanes[lanes[i]->from];
      lanes[i]->result = from ? from->value : ~0ull;  // a lane that takes no part has no value
    }
}

template <class T> inline T shuffle(unsigned mask, T v, int from) {
  static_assert(sizeof(T) <= 8, "a shuffle moves eight bytes at most");
  Move m = {0, 0, from};
  __builtin_memcpy(&m.value, &v, sizeof v);
  together(mask, &m, move);
  __builtin_memcpy(&v, &m.result, sizeof v);
  return v;
}

// A vote or a reduction over the lanes.
struct Vote {
  unsigned long long value;
  unsigned result;
};

template <class F> EMU_UNCHECKED inline void count(Vote **lanes) {
  for (int i = 0; i < 32; i++)
    if (lanes[i]) lanes[i]->result = F()(lanes, i);
}

template <class F> inline unsigned vote(unsigned mask, unsigned long long value) {
  Vote v = {value, 0};
  together(mask, &v, count<F>);
  return v.result;
}

struct Ballot {
  unsigned operator()(Vote **lanes, int) const {
    unsigned set = 0;
    for (int i = 0; i < 32; i++)
      if (lanes[i] && lanes[i]->value) set |= 1u << i;
    return set;
  }
};
struct Match {
  unsigned operator()(Vote **lanes, int me) const {
    unsigned set = 0;
    for (int i = 0; i < 32; i++)
      if (lanes[i] && lanes[i]->value == lanes[me]->value) set |= 1u << i;
    return set;
  }
};
template <class T, class F> struct Reduce {
  unsigned operator()(Vote **lanes, int me) const {
    T sum = (T)lanes[me]->value;
    for (int i = 0; i < 32; i++)
      if (lanes[i] && i != me) sum = F()(sum, (T)lanes[i]->value);
    return (unsigned)sum;
  }
};
struct Add { template <class T> T operator()(T a, T b) const { return a + b; } };
struct And { template <class T> T operator()(T a, T b) const { return a & b; } };
struct Or { template <class T> T operator()(T a, T b) const { return a | b; } };
struct Xor { template <class T> T operator()(T a, T b) const { return a ^ b; } };
struct Min { template <class T> T operator()(T a, T b) const { return a < b ? a : b; } };
struct Max { template <class T> T operator()(T a, T b) const { return a > b ? a : b; } };

inline int segment(int width) { return self->lane & ~(width - 1); }

}  // namespace emu

static inline void __syncwarp(unsigned mask = ~0u) {
  int unused;
  emu::collective(mask, emu::nothing, &unused);
}
static inline unsigned __activemask() { return ~0u; }

template <class T> static inline T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
  return emu::shuffle(mask, v, emu::segment(width) | (from & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32) {
  int from = emu::self->lane ^ bits;
  return emu::shuffle(mask, v, from >= emu::segment(width) + width ? emu::self->lane : from);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
  int from = emu::self->lane - (int)by;
  return emu::shuffle(mask, v, from < emu::segment(width) ? emu::self->lane : from);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
  int from = emu::self->lane + (int)by;
  return emu::shuffle(mask, v, from >= emu::segment(width) + width ? emu::self->lane : from);
}

static inline unsigned __ballot_sync(unsigned mask, int v) { return emu::vote<emu::Ballot>(mask, v != 0); }
static inline int __any_sync(unsigned mask, int v) { return __ballot_sync(mask, v) != 0; }
static inline int __all_sync(unsigned mask, int v) { return __ballot_sync(mask, !v) == 0; }
static inline unsigned __match_any_sync(unsigned mask, unsigned long long v) { return emu::vote<emu::Match>(mask, v); }

#define EMU_REDUCE(name, type, f) \
  static inline type name(unsigned mask, type v) { return (type)emu::vote<emu::Reduce<type, emu::f>>(mask, v); }
EMU_REDUCE(__reduce_add_sync, unsigned, Add)
EMU_REDUCE(__reduce_add_sync, int, Add)
EMU_REDUCE(__reduce_min_sync, unsigned, Min)
EMU_REDUCE(__reduce_min_sync, int, Min)
EMU_REDUCE(__reduce_max_sync, unsigned, Max)
EMU_REDUCE(__reduce_max_sync, int, Max)
EMU_REDUCE(__reduce_and_sync, unsigned, And)
EMU_REDUCE(__reduce_or_sync, unsigned, Or)
EMU_REDUCE(__reduce_xor_sync, unsigned, Xor)
#undef EMU_REDUCE

// --- mma.sync ---

static inline float emu_float(unsigned bits) {
  float f;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}
static inline unsigned emu_bits(float f) {
  unsigned u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}
// To nearest, ties to even; every NaN becomes 0x7fff.
static inline unsigned short emu_bf16_bits(float f) {
  unsigned u = emu_bits(f);
  return f != f ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
// To nearest, ties away from zero, as cvt.rna does it.
static inline unsigned emu_tf32_bits(float f) {
  return f != f ? 0x7fffffff : (emu_bits(f) + 0x1000) & ~0x1fffu;
}

namespace emu {

struct Product {
  float *d;
  const unsigned *a, *b;
  const float *c;
};

typedef float Quad __attribute__((vector_size(16)));
union Row {
  float at[8];
  Quad half[2];
};

// Sums go over k in order, in float; the tensor cores' order and rounding differ.
template <int K> EMU_UNCHECKED inline void multiply(const float (&a)[16][K], const Row (&b)[K], Product **lanes) {
  for (int i = 0; i < 16; i++) {
    Product **row = lanes + i % 8 * 4;  // the lanes that hold row i
    int at = i / 8 * 2;
    Row d;
    for (int j = 0; j < 4; j++) d.at[2 * j] = row[j]->c[at], d.at[2 * j + 1] = row[j]->c[at + 1];
    Quad low = d.half[0], high = d.half[1];
    for (int k = 0; k < K; k++) {
      float f = a[i][k];
      Quad factor = {f, f, f, f};
      low += factor * b[k].half[0], high += factor * b[k].half[1];
    }
    d.half[0] = low, d.half[1] = high;
    for (int j = 0; j < 4; j++) row[j]->d[at] = d.at[2 * j], row[j]->d[at + 1] = d.at[2 * j + 1];
  }
}

EMU_UNCHECKED inline void multiply_bf16(Product **lanes) {
  float a[16][16];
  Row b[16];
  for (int lane = 0; lane < 32; lane++) {
    int g = lane / 4, k = lane % 4 * 2;
    const Product *p = lanes[lane];
    for (int r = 0; r < 4; r++) {
      float *to = &a[g + r % 2 * 8][k + r / 2 * 8];
      to[0] = emu_float(p->a[r] << 16), to[1] = emu_float(p->a[r] & 0xffff0000u);
    }
    for (int r = 0; r < 2; r++) {
      Row *to = &b[k + r * 8];
      to[0].at[g] = emu_float(p->b[r] << 16), to[1].at[g] = emu_float(p->b[r] & 0xffff0000u);
    }
  }
  multiply<16>(a, b, lanes);
}

EMU_UNCHECKED inline void multiply_tf32(Product **lanes) {
  float a[16][8];
  Row b[8];
  for (int lane = 0; lane < 32; lane++) {
    int g = lane / 4, k = lane % 4;
    auto value = [](unsigned bits) { return emu_float(bits & ~0x1fffu); };
    for (int r = 0; r < 4; r++) a[g + r % 2 * 8][k + r / 2 * 4] = value(lanes[lane]->a[r]);
    for (int r = 0; r < 2; r++) b[k + r * 4].at[g] = value(lanes[lane]->b[r]);
  }
  multiply<8>(a, b, lanes);
}

struct Load {
  unsigned *result;
  const unsigned *row;
};

// The lanes' rows of matrix m are those of lanes 8m to 8m+7.
template <int Matrices, bool Trans> EMU_UNCHECKED inline void load_matrices(Load **lanes) {
  for (int m = 0; m < Matrices; m++)
    for (int lane = 0; lane < 32; lane++) {
      int g = lane / 4, t = lane % 4;
      auto row = [&](int i) { return (const unsigned short *)lanes[m * 8 + i]->row; };
      lanes[lane]->result[m] = Trans ? row(2 * t)[g] | (unsigned)row(2 * t + 1)[g] << 16
                                     : row(g)[2 * t] | (unsigned)row(g)[2 * t + 1] << 16;
    }
}

template <int Matrices, bool Trans> inline void ldmatrix(unsigned *result, const void *row) {
  if ((size_t)row % 16) scheduler()->fail(MisalignedAddress, "", 0, "ldmatrix of a row that is not aligned to 16 bytes");
  unsigned loaded[4];
  Load l = {loaded, (const unsigned *)row};
  together(~0u, &l, load_matrices<Matrices, Trans>);
  for (int m = 0; m < Matrices; m++) result[m] = loaded[m];
}

}  // namespace emu

static inline void emu_mma_m16n8k16_bf16(float *d, const unsigned *a, const unsigned *b, const float *c) {
  emu::Product p = {d, a, b, c};
  emu::together(~0u, &p, emu::multiply_bf16);
}
static inline void emu_mma_m16n8k8_tf32(float *d, const unsigned *a, const unsigned *b, const float *c) {
  emu::Product p = {d, a, b, c};
  emu::together(~0u, &p, emu::multiply_tf32);
}
static inline void emu_ldmatrix_x4(unsigned *r, const void *row) { emu::ldmatrix<4, false>(r, row); }
static inline void emu_ldmatrix_x4_trans(unsigned *r, const void *row) { emu::ldmatrix<4, true>(r, row); }
static inline void emu_ldmatrix_x2(unsigned *r, const void *row) { emu::ldmatrix<2, false>(r, row); }
static inline void emu_ldmatrix_x2_trans(unsigned *r, const void *row) { emu::ldmatrix<2, true>(r, row); }
