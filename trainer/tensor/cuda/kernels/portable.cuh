// What kernels use of the hardware beyond plain CUDA C: the tensor cores, matrix
// loads, asynchronous copies and special functions, as inline PTX for sm_80 and
// newer. Under the emulated toolkit, which runs kernels on the CPU and cannot run
// PTX, __CUDA_EMULATED__ is defined and functions of the emulation stand in.
// Kernels call what is here and contain no PTX that is not guarded the same way.
//
// A warp's 32 lanes call mma_* and ldmatrix_* together: g = lane / 4, t = lane % 4.

#ifndef DEVICE
#define DEVICE static __device__ __forceinline__
#endif

// NVRTC has no <math.h>.
#define INFINITY __int_as_float(0x7f800000)

// 2^x, tanh x and 1/x by the special function units: relative errors of 2^-22,
// 2^-11 and 2^-23. Denormal results are zero.
DEVICE float fast_exp2(float x) {
#ifdef __CUDA_EMULATED__
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

DEVICE float fast_tanh(float x) {
#ifdef __CUDA_EMULATED__
  return tanhf(x);
#else
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

DEVICE float fast_reciprocal(float x) {
#ifdef __CUDA_EMULATED__
  return 1.0f / x;
#else
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// d = a b + c with a [16,16] and b [16,8] of bfloat16, c and d [16,8] of float; d
// may be c. Lane (g, t) holds of each, pairs being (low, high):
//   a[0] = (g, 2t..2t+1)   a[1] = (g+8, 2t..)   a[2] = (g, 2t+8..)   a[3] = (g+8, 2t+8..)
//   b[0] = (2t..2t+1, g)   b[1] = (2t+8.., g)          in rows k, column n
//   c[0], c[1] = (g, 2t), (g, 2t+1)   c[2], c[3] = (g+8, 2t), (g+8, 2t+1)
DEVICE void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
#ifdef __CUDA_EMULATED__
  emu_mma_m16n8k16_bf16(d, a, b, c);
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#endif
}

// d = a b + c with a [16,8] and b [8,8] of TF32 (floats whose lower 13 bits do not
// count: round with to_tf32), c and d as above. Lane (g, t) holds
//   a[0] = (g, t)   a[1] = (g+8, t)   a[2] = (g, t+4)   a[3] = (g+8, t+4)
//   b[0] = (t, g)   b[1] = (t+4, g)
DEVICE void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
#ifdef __CUDA_EMULATED__
  emu_mma_m16n8k8_tf32(d, a, b, c);
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#endif
}

DEVICE unsigned to_tf32(float x) {
#ifdef __CUDA_EMULATED__
  return emu_tf32_bits(x);
#else
  unsigned r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
#endif
}

#ifndef __CUDA_EMULATED__
DEVICE unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
#endif

// ldmatrix loads matrices of 8 rows of 16 bytes (8x8 bfloat16) from shared memory.
// Lane 8i + j gives the address of row j of matrix i, aligned to 16 bytes. Lane
// (g, t) gets in r[i] the pair (g, 2t..2t+1) of matrix i; with _trans the pair
// (2t..2t+1, g), that is of the transpose. With x2, lanes 16 to 31 give any
// address that is aligned.
DEVICE void ldmatrix_x4(unsigned (&r)[4], const void* row) {
#ifdef __CUDA_EMULATED__
  emu_ldmatrix_x4(r, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

DEVICE void ldmatrix_x4_trans(unsigned (&r)[4], const void* row) {
#ifdef __CUDA_EMULATED__
  emu_ldmatrix_x4_trans(r, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

DEVICE void ldmatrix_x2(unsigned (&r)[2], const void* row) {
#ifdef __CUDA_EMULATED__
  emu_ldmatrix_x2(r, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#endif
}

DEVICE void ldmatrix_x2_trans(unsigned (&r)[2], const void* row) {
#ifdef __CUDA_EMULATED__
  emu_ldmatrix_x2_trans(r, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#endif
}

// Copies 16 bytes from global to shared memory, both aligned to 16, past the
// registers and the first-level cache: the first valid (0 to 16) from src, zeros
// for the rest; src is not read at all when valid is 0, but is an address within
// an allocation even then. The bytes are there for this thread after a
// cp_async_wait that covers their group, for others after __syncthreads too.
DEVICE void cp_async16(void* shared, const void* src, int valid = 16) {
#ifdef __CUDA_EMULATED__
  emu_cp_async16(shared, src, valid);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(__cvta_generic_to_global(src)), "r"(valid) : "memory");
#endif
}

// The same for 4 bytes, aligned to 4, through the first-level cache.
DEVICE void cp_async4(void* shared, const void* src, int valid = 4) {
#ifdef __CUDA_EMULATED__
  emu_cp_async4(shared, src, valid);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(__cvta_generic_to_global(src)), "r"(valid) : "memory");
#endif
}

// Closes the group of copies that this thread began since the last one.
DEVICE void cp_async_commit() {
#ifdef __CUDA_EMULATED__
  emu_cp_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most the newest N groups of this thread are under way.
template <int N> DEVICE void cp_async_wait() {
#ifdef __CUDA_EMULATED__
  emu_cp_async_wait(N);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
