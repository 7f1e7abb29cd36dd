// Pieces of the attention kernels on the tensor cores: tiles of one head's rows
// in shared memory, and fragments of them for mma.sync m16n8k16. Go puts
// common.cuh, portable.cuh, a #define of D (16, 32, 64 or 128) and this file in
// front.
//
// A tile is rows of D bfloat16. Its 16-byte chunks are swizzled: chunk c of row r
// lies at c ^ (r mod 8) or so, such that the eight rows that one phase of ldmatrix
// reads lie in different banks, as do the chunks that eight threads copy.
//
// Of a fragment, lane l holds rows (of the result: columns) l/4 and columns 2(l%4)
// and one more, as the PTX manual draws it. quad is l/4, pair is 2(l%4).

#define WARPS 4
#define THREADS (32 * WARPS)
#define CHUNKS (D / 8)           // 16-byte chunks of a row
#define ROW (2 * D)              // bytes
#define PER_LINE (CHUNKS < 8 ? 8 / CHUNKS : 1) // rows in the 128 bytes of all banks
#define STEPS (D / 16)           // of a product over D

typedef unsigned short bf16;

// chunk_at is the offset in a tile, in bytes, of chunk c of row r.
DEVICE unsigned chunk_at(int r, int c) {
	return r * ROW + ((c ^ (r / PER_LINE & (CHUNKS < 8 ? CHUNKS - 1 : 7))) << 4);
}

// opaque is x, but the compiler does not know it: it cannot compute what follows
// from x once for all of a loop, and keep it in registers that are needed more.
DEVICE unsigned opaque(unsigned x) {
#ifndef __CUDA_EMULATED__
	asm volatile("" : "+r"(x));
#endif
	return x;
}

// copy_tile starts to copy rows first.. of the head that begins at element at to a
// tile of n rows; rows from T on become zero. stride is the distance of rows in
// elements, of which a tensor has at most 2^30.
template <int n> DEVICE void copy_tile(char *tile, const bf16 *x, unsigned at, int first, int T, int stride) {
	int thread = opaque(threadIdx.x);
#pragma unroll
	for (int i = 0; i < n * CHUNKS; i += THREADS) {
		int r = (i + thread) / CHUNKS, c = (i + thread) % CHUNKS;
		if (n * CHUNKS % THREADS != 0 && r >= n)
			break;
		bool in = first + r < T;
		cp_async16(tile + chunk_at(r, c), x + (at + (in ? (first + r) * stride : 0) + c * 8), in ? 16 : 0);
	}
}

// The offsets of a lane for fragments of the first 16 rows of a tile and its first
// 16 columns. Those of step s are at (offset ^ s * 32), of the next 16 rows 16 * ROW
// further on.

// lane_rows: rows of the tile are rows of A, or (with ldmatrix.trans) the k of B.
DEVICE unsigned lane_rows() {
	int l = opaque(threadIdx.x % 32);
	return chunk_at(l & 15, l >> 4);
}

// lane_columns: rows of the tile are the columns of B.
DEVICE unsigned lane_columns() {
	int l = opaque(threadIdx.x % 32);
	return chunk_at((l & 7) + (l >> 4 << 3), l >> 3 & 1);
}

// store_rows writes rows of a warp's part of a tile, n of them, to rows first.. of
// the head at element at, or adds to what is there. The warp alone has written that
// part of the tile.
template <int n>
DEVICE void store_rows(bf16 *x, unsigned at, const char *tile, int first, int T, int stride, bool add) {
	__syncwarp();
#pragma unroll 4
	for (int i = 0; i < n * CHUNKS; i += 32) {
		int r = (i + threadIdx.x % 32) / CHUNKS, c = (i + threadIdx.x) % CHUNKS;
		if (first + r >= T)
			continue;
		uint4 u = *(const uint4 *)(tile + chunk_at(r, c));
		uint4 *to = (uint4 *)(x + (at + (first + r) * stride + c * 8));
		if (add) {
			float a[8], b[8];
			load8(a, &u, BF16, 0);
			load8(b, to, BF16, 0);
			for (int e = 0; e < 8; e++)
				a[e] += b[e];
			store8(to, BF16, 0, a);
		} else {
			*to = u;
		}
	}
}

// stage puts accumulators times a factor, of 16 rows and all D columns, into rows
// row.. of a tile; factor has those of rows quad and quad + 8.
DEVICE void stage(char *tile, int row, const float o[CHUNKS][4], float low, float high) {
	int l = threadIdx.x % 32, quad = l / 4, pair = l % 4 * 4;
#pragma unroll
	for (int c = 0; c < CHUNKS; c++) {
		*(unsigned *)(tile + chunk_at(row + quad, c) + pair) = bf16_pair(o[c][0] * low, o[c][1] * low);
		*(unsigned *)(tile + chunk_at(row + quad + 8, c) + pair) = bf16_pair(o[c][2] * high, o[c][3] * high);
	}
}

// pack makes the fragment of A for columns 16 k.. of a product's result p.
DEVICE void pack(unsigned a[4], const float (*p)[4], int k) {
	a[0] = bf16_pair(p[2 * k][0], p[2 * k][1]);
	a[1] = bf16_pair(p[2 * k][2], p[2 * k][3]);
	a[2] = bf16_pair(p[2 * k + 1][0], p[2 * k + 1][1]);
	a[3] = bf16_pair(p[2 * k + 1][2], p[2 * k + 1][3]);
}

// Scheduling. Blocks of a grid start in about the order of their numbers. All
// blocks of a few heads come together, so that what they share stays in the L2
// cache; among these, blocks with the most work come first, so that the last to
// end are small. work_item takes the number of this block apart: ordinal counts
// from the heaviest.
DEVICE void work_item(int heads, int per_head, int together, int &head, int &ordinal) {
	int group = blockIdx.x / (together * per_head), in = blockIdx.x % (together * per_head);
	int n = min(together, heads - group * together);
	head = group * together + in % n;
	ordinal = in / n;
}

// head_at is the element where row 0 of a head of an array [B,T,n,D] begins.
DEVICE unsigned head_at(int batch, int head, int T, int n) { return ((unsigned)batch * T * n + head) * D; }
