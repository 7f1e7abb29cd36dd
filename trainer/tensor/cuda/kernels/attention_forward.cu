// Attention forward on the tensor cores, for bfloat16 (Dao 2023, "FlashAttention-2:
// Faster Attention with Better Parallelism and Work Partitioning"). Scores are never
// written: a block holds some query rows and passes over their keys, keeping each
// row's maximum and sum so far (Milakov and Gimelshein 2018, "Online normalizer
// calculation for softmax"; Rabe and Staats 2021, "Self-attention Does Not Need
// O(n^2) Memory").
//
//   q, out [B,T,NH,D]   k, v [B,T,NKV,D]   lse [B,NH,T] float
//
// lse is the binary logarithm of each row's sum of 2^(scale * score), where scale
// includes log2(e); it may be null.
//
// A warp has 16 * M query rows. Each fragment of keys and values that it loads
// serves M products, which is what counts: at M = 1 the tensor cores wait for the
// shared memory. Tiles of keys come by asynchronous copies into the one of two
// stages that is not being used.

#define M 2
#define ROWS (16 * M * WARPS) // queries of a block
#define KEYS 64               // of a tile
#define TILE (KEYS * ROW)     // bytes
#define Q_STAYS (D == 64)     // whether fragments of Q stay in registers

// Shared memory: Q, then two stages of K and V. In the end Q's rows hold the result.
#define SHARED(stage, which) (ROWS * ROW + (2 * (stage) + (which)) * TILE)

struct Rows {
	float o[M][CHUNKS][4]; // the result but for its denominator
	float max[M][2];       // of the row's scores so far; [.][1] is eight rows down
	float sum[M][2];       // of this lane's columns
};

// scores is s = Q Kᵀ for a warp's rows and a tile of keys.
DEVICE void scores(float s[M][KEYS / 8][4], const unsigned held[M][STEPS][4], const char *q, const char *k) {
	unsigned rows = lane_rows(), columns = lane_columns();
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
			for (int e = 0; e < 4; e++)
				s[m][n][e] = 0;
#pragma unroll
	for (int d = 0; d < STEPS; d++) {
		unsigned a[M][4], b[4];
#pragma unroll
		for (int m = 0; m < M; m++) {
			if (Q_STAYS) {
#pragma unroll
				for (int e = 0; e < 4; e++)
					a[m][e] = held[m][d][e];
			} else {
				ldmatrix_x4(a[m], q + (rows ^ d * 32) + m * 16 * ROW);
			}
		}
#pragma unroll
		for (int n = 0; n < KEYS / 16; n++) {
			ldmatrix_x4(b, k + (columns ^ d * 32) + n * 16 * ROW);
			unsigned left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
#pragma unroll
			for (int m = 0; m < M; m++) {
				mma_bf16(s[m][2 * n], a[m], left, s[m][2 * n]);
				mma_bf16(s[m][2 * n + 1], a[m], right, s[m][2 * n + 1]);
			}
		}
	}
}

// mask makes scores minus infinity where a query of row.. does not see a key of
// key..: it sees its own and the window - 1 before.
DEVICE void mask(float s[M][KEYS / 8][4], int row, int key, int window) {
	int l = threadIdx.x % 32, distance = row + l / 4 - key - l % 4 * 2;
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
			for (int e = 0; e < 4; e++)
				if ((unsigned)(distance + m * 16 + e / 2 * 8 - n * 8 - e % 2) >= (unsigned)window)
					s[m][n][e] = -INFINITY;
}

// weigh turns scores into 2^(scale * (score - row's maximum)), and corrects what
// was added up under a smaller maximum. A NaN in s makes its row's sum NaN.
DEVICE void weigh(float s[M][KEYS / 8][4], Rows &r, float scale) {
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int h = 0; h < 2; h++) {
			float old = r.max[m][h], top = old;
#pragma unroll
			for (int n = 0; n < KEYS / 8; n++)
				top = fmaxf(top, fmaxf(s[m][n][2 * h], s[m][n][2 * h + 1]));
			top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
			top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
			r.max[m][h] = top;
			// A row that has seen nothing yet has a maximum of minus infinity.
			float zero = top == -INFINITY ? 0.f : top * scale, less = fast_exp2(old * scale - zero), sum = 0;
#pragma unroll
			for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
				for (int e = 2 * h; e < 2 * h + 2; e++) {
					s[m][n][e] = fast_exp2(s[m][n][e] * scale - zero);
					sum += s[m][n][e];
				}
			r.sum[m][h] = r.sum[m][h] * less + sum;
#pragma unroll
			for (int c = 0; c < CHUNKS; c++)
				r.o[m][c][2 * h] *= less, r.o[m][c][2 * h + 1] *= less;
		}
}

// mix is o += P V.
DEVICE void mix(Rows &r, const float p[M][KEYS / 8][4], const char *v) {
	unsigned rows = lane_rows();
#pragma unroll
	for (int j = 0; j < KEYS / 16; j++) {
		unsigned a[M][4], b[4];
#pragma unroll
		for (int m = 0; m < M; m++)
			pack(a[m], p[m], j);
#pragma unroll
		for (int c = 0; c < CHUNKS / 2; c++) {
			ldmatrix_x4_trans(b, v + (rows ^ c * 32) + j * 16 * ROW);
			unsigned left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
#pragma unroll
			for (int m = 0; m < M; m++) {
				mma_bf16(r.o[m][2 * c], a[m], left, r.o[m][2 * c]);
				mma_bf16(r.o[m][2 * c + 1], a[m], right, r.o[m][2 * c + 1]);
			}
		}
	}
}

// Keys that a query does not see have a weight of zero, and 0 * Inf is NaN. So a
// tile of V that not all queries see and that has elements which are not finite is
// wild: these are added to the results of the queries that see them (whatever
// their weights, nothing finite comes of it) and become zero in the tile.

// has_wild says whether this thread copied something to the tile that is not finite:
// whose exponent is all ones, so that one more carries to the sign.
DEVICE bool has_wild(const char *tile) {
	unsigned found = 0;
#pragma unroll 4
	for (int i = 0; i < KEYS * CHUNKS; i += THREADS) {
		int at = i + threadIdx.x;
		uint4 u = *(const uint4 *)(tile + chunk_at(at / CHUNKS, at % CHUNKS));
		found |= (u.x & 0x7f807f80) + 0x00800080;
		found |= (u.y & 0x7f807f80) + 0x00800080;
		found |= (u.z & 0x7f807f80) + 0x00800080;
		found |= (u.w & 0x7f807f80) + 0x00800080;
	}
	return (found & 0x80008000) != 0;
}

// tame makes what this thread copied to the tile finite.
DEVICE void tame(char *tile) {
	for (int i = threadIdx.x; i < KEYS * CHUNKS; i += THREADS) {
		unsigned *pair = (unsigned *)(tile + chunk_at(i / CHUNKS, i % CHUNKS));
		for (int e = 0; e < 4; e++) {
			if ((pair[e] & 0x7f80) == 0x7f80)
				pair[e] &= 0xffff0000;
			if ((pair[e] & 0x7f800000) == 0x7f800000)
				pair[e] &= 0xffff;
		}
	}
}

// add_wild adds the elements of V that are not finite to the results of the rows
// that see them. Their weights do not matter.
DEVICE void add_wild(Rows &r, const char *v, int row, int key, int window) {
	int l = threadIdx.x % 32;
#pragma unroll 1
	for (int j = 0; j < KEYS; j++) {
#pragma unroll
		for (int c = 0; c < CHUNKS; c++) {
			unsigned u = *(const unsigned *)(v + chunk_at(j, c) + l % 4 * 4);
#pragma unroll
			for (int e = 0; e < 2; e++) {
				float x = e ? bf16_high(u) : bf16_low(u);
				if (x - x == 0)
					continue;
#pragma unroll
				for (int i = 0; i < 2 * M; i++)
					if ((unsigned)(row + l / 4 + i * 8 - key - j) < (unsigned)window)
						r.o[i / 2][c][i % 2 * 2 + e] += x;
			}
		}
	}
}

// finish writes the warp's rows from row on: o / sum.
DEVICE void finish(bf16 *out, unsigned at, float *lse, unsigned lse_at, Rows &r, char *staging, int row, int T, int stride,
                   float scale) {
	int l = threadIdx.x % 32;
#pragma unroll
	for (int m = 0; m < M; m++) {
		float part[2];
#pragma unroll
		for (int h = 0; h < 2; h++) {
			float sum = warp_sum(r.sum[m][h], 4);
			int t = row + m * 16 + l / 4 + h * 8;
			if (lse && l % 4 == 0 && t < T)
				lse[lse_at + t] = r.max[m][h] * scale + log2f(sum);
			part[h] = 1 / sum;
		}
		stage(staging, m * 16, r.o[m], part[0], part[1]);
	}
	store_rows<16 * M>(out, at, staging, row, T, stride, false);
}

// attention_forward: a block per head and ROWS queries, in the order of work_item.
extern "C" __global__ void __launch_bounds__(THREADS, D <= 32 ? 3 : 2)
attention_forward(bf16 *out, float *lse, const bf16 *q, const bf16 *k, const bf16 *v, int B, int T, int NH, int NKV,
                  int window, float scale, int together) {
	extern __shared__ __align__(1024) char shared[];
	int head, ordinal, blocks = (T + ROWS - 1) / ROWS;
	work_item(B * NH, blocks, together, head, ordinal);
	int first = (blocks - 1 - ordinal) * ROWS; // later queries see more
	int warp = threadIdx.x / 32, row = first + warp * 16 * M;
	unsigned q_at = head_at(head / NH, head % NH, T, NH), k_at = head_at(head / NH, head % NH / (NH / NKV), T, NKV);
	int key = max(0, first - window + 1) / KEYS * KEYS, end = min(T, first + ROWS);

	copy_tile<ROWS>(shared, q, q_at, first, T, NH * D);
	copy_tile<KEYS>(shared + SHARED(0, 0), k, k_at, key, T, NKV * D);
	copy_tile<KEYS>(shared + SHARED(0, 1), v, k_at, key, T, NKV * D);
	cp_async_commit();
	char *mine = shared + warp * 16 * M * ROW;
	unsigned held[M][STEPS][4];
	Rows r;
#pragma unroll
	for (int m = 0; m < M; m++) {
		r.max[m][0] = r.max[m][1] = -INFINITY;
		r.sum[m][0] = r.sum[m][1] = 0;
#pragma unroll
		for (int c = 0; c < CHUNKS; c++)
			r.o[m][c][0] = r.o[m][c][1] = r.o[m][c][2] = r.o[m][c][3] = 0;
	}
	for (int stage = 0, begun = 0; key < end; key += KEYS, stage ^= 1) {
		char *tile_k = shared + SHARED(stage, 0), *tile_v = shared + SHARED(stage, 1);
		// Whether all rows see all keys.
		bool edge = key + KEYS - 1 > first || first + ROWS - 1 - key >= window, wild = false;
		cp_async_wait<0>();
		if (edge)
			wild = __syncthreads_or(has_wild(tile_v));
		else
			__syncthreads();
		if (key + KEYS < end) { // all warps are done with the other stage
			copy_tile<KEYS>(shared + SHARED(stage ^ 1, 0), k, k_at, key + KEYS, T, NKV * D);
			copy_tile<KEYS>(shared + SHARED(stage ^ 1, 1), v, k_at, key + KEYS, T, NKV * D);
			cp_async_commit();
		}
		if (Q_STAYS && !begun) {
#pragma unroll
			for (int m = 0; m < M; m++)
#pragma unroll
				for (int d = 0; d < STEPS; d++)
					ldmatrix_x4(held[m][d], mine + (lane_rows() ^ d * 32) + m * 16 * ROW);
			begun = 1;
		}
		bool sees = key <= row + 16 * M - 1 && row - (key + KEYS - 1) < window; // this warp, some of it
		float s[M][KEYS / 8][4];
		if (sees) {
			scores(s, held, mine, tile_k);
			if (edge)
				mask(s, row, key, window);
			weigh(s, r, scale);
		}
		if (wild) {
			add_wild(r, tile_v, row, key, window);
			__syncthreads();
			tame(tile_v);
			__syncthreads();
		}
		if (sees)
			mix(r, s, tile_v);
	}
	finish(out, q_at, lse, (unsigned)head * T, r, mine, row, T, NH * D, scale);
}
