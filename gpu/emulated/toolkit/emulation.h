// CUDA C on the CPU: what a kernel's source finds instead of NVIDIA's compiler. A
// kernel is compiled as C++ behind this header, with g++ or clang++ and without
// any other header, as NVRTC compiles it. Each CUDA thread is a fiber of the
// scheduler in libcuda.so.1 (scheduler.h); what threads do together ends there.
//
// It is made to find faults, not to be fast. Shared memory is full of NaN when a
// block begins. cp.async spoils its target at once and fills it only when its
// group is waited for. Addresses that are misaligned for their type and indices
// outside of an array are found by the compiler's sanitizers and fail the launch.
//
// What it does not have: clusters, TMA, wgmma, textures, cooperative grids, double
// precision functions beyond the plain ones, template kernels.
#pragma once
#include "thread.h"

#define __CUDA_EMULATED__ 1
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
// Blocks run on several OS threads at once, each block on one from start to end.
#define __shared__ static thread_local

typedef decltype(sizeof 0) size_t;

namespace emu {
// The CUDA thread that runs. Where the compiler can keep a register for it, a switch
// between fibers changes it at no cost.
#if defined(__x86_64__) && !defined(__clang__) && !defined(EMU_PLAIN)
register Thread *self asm("r15");
#elif defined(__aarch64__) && !defined(__clang__) && !defined(EMU_PLAIN)
register Thread *self asm("x28");
#else
static thread_local Thread *self;
#endif

static thread_local char anchor[16];
inline char *memory() { return anchor; }

inline const Scheduler *scheduler() { return self->block->scheduler; }
inline void *dynamic_shared() { return self->block->shared; }

// Others run in between: then it is this thread again.
inline void barrier() {
  Thread *me = self;
  scheduler()->barrier(me);
  self = me;
}
inline void collective(unsigned mask, Complete complete, void *given) {
  Thread *me = self;
  scheduler()->collective(me, mask, complete, given);
  self = me;
}
}  // namespace emu

#define threadIdx (emu::self->index)
#define blockIdx (emu::self->block->index)
#define blockDim (emu::self->block->dim)
#define gridDim (emu::self->block->grid)
#define warpSize 32

#include "vectors.h"
#include "warp.h"
#include "maths.h"
#include "sanitizers.h"
#include "kernels.h"

// --- Barriers, memory order, time ---

static inline void __syncthreads() { emu::barrier(); }
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() {}
static inline void __threadfence_system() { __threadfence(); }
static inline void __nanosleep(unsigned) {}
static inline void __trap() { emu::scheduler()->fail(emu::Trap, "", 0, "__trap"); }
static inline void __assume(bool) {}
#define __builtin_assume(x) ((void)0)
extern "C" int printf(const char *, ...);
#define assert(x) ((x) ? (void)0 : emu::scheduler()->fail(emu::Trap, __FILE__, __LINE__, "assert(" #x ")"))

static inline long long clock64() {
  static long long ticks;
  return __atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED);
}
static inline int clock() { return (int)clock64(); }

static inline int __syncthreads_count(int v) {
  static thread_local int count;
  if (__syncthreads(), count = 0, __syncthreads(), v) count++;
  __syncthreads();
  return count;
}
static inline int __syncthreads_or(int v) { return __syncthreads_count(v) != 0; }
static inline int __syncthreads_and(int v) { return __syncthreads_count(!v) == 0; }

// --- Loads and stores with cache hints ---

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }
template <class T> static inline void __stcg(T *p, T v) { *p = v; }
template <class T> static inline void __stwb(T *p, T v) { *p = v; }
template <class T> static inline void __stwt(T *p, T v) { *p = v; }

// --- Atomic functions; each returns what was there before ---

template <class T> static inline T atomicAdd(T *p, T v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
template <class T> static inline T atomicSub(T *p, T v) { return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED); }
template <class T> static inline T atomicAnd(T *p, T v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }
template <class T> static inline T atomicOr(T *p, T v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }
template <class T> static inline T atomicXor(T *p, T v) { return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED); }
template <class T> static inline T atomicExch(T *p, T v) {
  T old;
  __atomic_exchange(p, &v, &old, __ATOMIC_RELAXED);
  return old;
}
template <class T> static inline T atomicCAS(T *p, T expected, T v) {
  __atomic_compare_exchange(p, &expected, &v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
namespace emu {
template <class T, class F> inline T update(T *p, F f) {
  T old = *(volatile T *)p, next;
  do next = f(old);
  while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
}  // namespace emu
template <class T> static inline T atomicMax(T *p, T v) { return emu::update(p, [=](T x) { return x > v ? x : v; }); }
template <class T> static inline T atomicMin(T *p, T v) { return emu::update(p, [=](T x) { return x < v ? x : v; }); }
static inline float atomicAdd(float *p, float v) { return emu::update(p, [=](float x) { return x + v; }); }
static inline double atomicAdd(double *p, double v) { return emu::update(p, [=](double x) { return x + v; }); }
static inline unsigned atomicAdd(unsigned *p, int v) { return atomicAdd(p, (unsigned)v); }
static inline unsigned atomicInc(unsigned *p, unsigned limit) {
  return emu::update(p, [=](unsigned x) { return x >= limit ? 0 : x + 1; });
}

// --- cp.async ---

static inline void emu_cp_async16(void *shared, const void *src, int valid) {
  emu::scheduler()->copy(emu::self, shared, src, 16, valid);
}
static inline void emu_cp_async4(void *shared, const void *src, int valid) {
  emu::scheduler()->copy(emu::self, shared, src, 4, valid);
}
static inline void emu_cp_async_commit() { emu::scheduler()->commit(emu::self); }
static inline void emu_cp_async_wait(int groups) { emu::scheduler()->wait(emu::self, groups); }
