// Device code that all kernels share. Go puts this file in front of every kernel
// file (see source.go). It includes nothing, so that the run-time compiler needs
// no headers, and uses only what the emulation has as well.
//
// Arrays come as void* with their type at run time (gpu.Type): the branch on it
// is the same for all threads and is paid once per eight elements, so one kernel
// serves all types. Numbers of elements and indices fit 31 bits, since a tensor
// has at most 2^30 elements; byte offsets need 64.

enum { F32, BF16, I32 }; // gpu.Type

#define DEVICE static __device__ __forceinline__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define NAN32 __int_as_float(0x7fc00000)
#define ALL_LANES 0xffffffffu

// FOR_GRID runs its body for i = 0..n-1, spread over all threads of the grid.
#define FOR_GRID(i, n) \
	for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (unsigned)(n); i += gridDim.x * blockDim.x)

// bfloat16 is the upper half of a float32. These work on its bits.

DEVICE float bf16_low(unsigned pair) { return __uint_as_float(pair << 16); }
DEVICE float bf16_high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

// bf16_pair rounds two floats to nearest even; NaN stays NaN.
DEVICE unsigned bf16_pair(float low, float high) {
#ifdef __CUDA_EMULATED__
	unsigned l = __float_as_uint(low), h = __float_as_uint(high);
	l = low != low ? 0x7fff : (l + 0x7fff + (l >> 16 & 1)) >> 16;
	h = high != high ? 0x7fff : (h + 0x7fff + (h >> 16 & 1)) >> 16;
	return l | h << 16;
#else
	unsigned pair;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
	return pair;
#endif
}

DEVICE unsigned short bf16_bits(float x) { return (unsigned short)bf16_pair(x, 0.f); }

// round_to is the value that a store of x would leave.
DEVICE float round_to(int type, float x) { return type == BF16 ? bf16_low(bf16_pair(x, 0.f)) : x; }

// load and store handle one element. Ids (I32) pass through unchanged, as the
// bits of a float.
DEVICE float load(const void *p, int type, size_t i) {
	if (type == BF16)
		return __uint_as_float((unsigned)((const unsigned short *)p)[i] << 16);
	return ((const float *)p)[i];
}

DEVICE void store(void *p, int type, size_t i, float v) {
	if (type == BF16)
		((unsigned short *)p)[i] = bf16_bits(v);
	else
		((float *)p)[i] = v;
}

// load8 and store8 handle eight elements from i on by accesses of 16 bytes: p is
// aligned to 16 bytes and i is a multiple of 8.
DEVICE void load8(float v[8], const void *p, int type, size_t i) {
	if (type == BF16) {
		uint4 u = *(const uint4 *)((const unsigned short *)p + i);
		v[0] = bf16_low(u.x), v[1] = bf16_high(u.x), v[2] = bf16_low(u.y), v[3] = bf16_high(u.y);
		v[4] = bf16_low(u.z), v[5] = bf16_high(u.z), v[6] = bf16_low(u.w), v[7] = bf16_high(u.w);
	} else {
		float4 a = *(const float4 *)((const float *)p + i), b = *(const float4 *)((const float *)p + i + 4);
		v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
		v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
	}
}

DEVICE void store8(void *p, int type, size_t i, const float v[8]) {
	if (type == BF16) {
		uint4 u;
		u.x = bf16_pair(v[0], v[1]), u.y = bf16_pair(v[2], v[3]);
		u.z = bf16_pair(v[4], v[5]), u.w = bf16_pair(v[6], v[7]);
		*(uint4 *)((unsigned short *)p + i) = u;
	} else {
		float4 a, b;
		a.x = v[0], a.y = v[1], a.z = v[2], a.w = v[3];
		b.x = v[4], b.y = v[5], b.z = v[6], b.w = v[7];
		*(float4 *)((float *)p + i) = a, *(float4 *)((float *)p + i + 4) = b;
	}
}

// larger is the maximum that keeps NaN.
DEVICE float larger(float a, float b) { return a > b || a != a ? a : b; }
DEVICE float smaller(float a, float b) { return a < b || a != a ? a : b; }

// The sums and maxima over lanes and threads leave their result in every one of
// them. Their order is fixed, and the same for all (a butterfly), so are the bits.

// warp_sum adds over groups of so many neighboring lanes, a power of two.
DEVICE float warp_sum(float v, int lanes = 32) {
	for (int m = lanes / 2; m > 0; m /= 2)
		v += __shfl_xor_sync(ALL_LANES, v, m);
	return v;
}

DEVICE float warp_max(float v, int lanes = 32) {
	for (int m = lanes / 2; m > 0; m /= 2)
		v = larger(v, __shfl_xor_sync(ALL_LANES, v, m));
	return v;
}

// block_sum adds over the block, of whole warps; scratch is shared float[32],
// free again when it returns.
DEVICE float block_sum(float v, float *scratch) {
	int lane = threadIdx.x & 31, warps = blockDim.x >> 5;
	v = warp_sum(v);
	if (warps == 1)
		return v;
	if (lane == 0)
		scratch[threadIdx.x >> 5] = v;
	__syncthreads();
	v = warp_sum(lane < warps ? scratch[lane] : 0.f);
	__syncthreads();
	return v;
}

DEVICE float block_max(float v, float *scratch) {
	int lane = threadIdx.x & 31, warps = blockDim.x >> 5;
	v = warp_max(v);
	if (warps == 1)
		return v;
	if (lane == 0)
		scratch[threadIdx.x >> 5] = v;
	__syncthreads();
	v = warp_max(scratch[lane < warps ? lane : 0]);
	__syncthreads();
	return v;
}
