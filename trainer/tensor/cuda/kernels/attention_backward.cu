// Attention backward on the tensor cores, for bfloat16. Scores S = Q Kᵀ are computed
// again, P = 2^(scale S - lse), and with dP = dO Vᵀ and delta the row sums of
// dO * out (Dao 2023, "FlashAttention-2"):
//
//   dS = P * (dP - delta)    dQ = scale dS K    dK = scale dSᵀ Q    dV = Pᵀ dO
//
// There are two passes: attention_backward_q over the keys of some queries, which
// makes dQ and delta, and attention_backward_kv over the queries of some keys, which
// makes dK and dV. One pass would need five products of matrices instead of seven,
// but then either dQ or dK and dV have many writers: atomic additions, whose order
// changes the bits, or a partial dQ of float for each tile of keys, which at T = 2048
// and D = 128 takes about as long to write and read as the two products.
//
//   q, out, dout, dq [B,T,NH,D]   k, v, dk, dv [B,T,NKV,D]   lse, delta [B,NH,T] float
//
// Shapes of the tiles: a fragment that is loaded serves M products, and what has to
// stay in registers fills them.

#if D == 128
#define QM 2     // 16-row fragments of queries per warp of attention_backward_q
#define QKEYS 32 // keys of its tiles
#define KM 1     // 16-row fragments of keys per warp of attention_backward_kv
#define KQS 64   // queries of its tiles
#elif D == 64
#define QM 2
#define QKEYS 64
#define KM 2
#define KQS 32
#else
#define QM 2
#define QKEYS 64
#define KM 2
#define KQS 64
#endif

// product_ab is s = A Bᵀ for 16 M rows of a and 8 N of b, both tiles.
template <int M, int N> DEVICE void product_ab(float (&s)[M][N][4], const char *a, const char *b) {
	unsigned rows = lane_rows(), columns = lane_columns();
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < N; n++)
			s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0;
#pragma unroll
	for (int d = 0; d < STEPS; d++) {
		unsigned f[M][4], g[4];
#pragma unroll
		for (int m = 0; m < M; m++)
			ldmatrix_x4(f[m], a + (rows ^ d * 32) + m * 16 * ROW);
#pragma unroll
		for (int n = 0; n < N / 2; n++) {
			ldmatrix_x4(g, b + (columns ^ d * 32) + n * 16 * ROW);
			unsigned left[2] = {g[0], g[1]}, right[2] = {g[2], g[3]};
#pragma unroll
			for (int m = 0; m < M; m++) {
				mma_bf16(s[m][2 * n], f[m], left, s[m][2 * n]);
				mma_bf16(s[m][2 * n + 1], f[m], right, s[m][2 * n + 1]);
			}
		}
	}
}

// add_product is o += P B for 16 M rows of p, in registers, and a tile b of 8 N rows.
template <int M, int N> DEVICE void add_product(float (&o)[M][CHUNKS][4], const float (&p)[M][N][4], const char *b) {
	unsigned rows = lane_rows();
#pragma unroll
	for (int j = 0; j < N / 2; j++) {
		unsigned f[M][4], g[4];
#pragma unroll
		for (int m = 0; m < M; m++)
			pack(f[m], p[m], j);
#pragma unroll
		for (int c = 0; c < CHUNKS / 2; c++) {
			ldmatrix_x4_trans(g, b + (rows ^ c * 32) + j * 16 * ROW);
			unsigned left[2] = {g[0], g[1]}, right[2] = {g[2], g[3]};
#pragma unroll
			for (int m = 0; m < M; m++) {
				mma_bf16(o[m][2 * c], f[m], left, o[m][2 * c]);
				mma_bf16(o[m][2 * c + 1], f[m], right, o[m][2 * c + 1]);
			}
		}
	}
}

template <int M> DEVICE void clear(float (&o)[M][CHUNKS][4]) {
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int c = 0; c < CHUNKS; c++)
			o[m][c][0] = o[m][c][1] = o[m][c][2] = o[m][c][3] = 0;
}

// write_rows puts o times a factor into the warp's own rows of a tile, and from
// there to rows row.. of a head.
template <int M>
DEVICE void write_rows(bf16 *x, unsigned at, float (&o)[M][CHUNKS][4], float factor, char *tile, int row, int T, int stride,
                       bool add) {
#pragma unroll
	for (int m = 0; m < M; m++)
		stage(tile, m * 16, o[m], factor, factor);
	store_rows<16 * M>(x, at, tile, row, T, stride, add);
}

// ---- dQ, and delta on the way

#define QROWS (16 * QM * WARPS)
#define QTILE (QKEYS * ROW)
// Shared memory: Q, dO, two stages of K and V, delta.
#define QSHARED(stage, which) (2 * QROWS * ROW + (2 * (stage) + (which)) * QTILE)

// delta_rows adds up dout * out for the block's rows, of which the tile has dout,
// and leaves it in shared delta and in the array. Each thread reads of the tile what
// it has copied itself.
DEVICE void delta_rows(float *delta, float *deltas, unsigned delta_at, const char *tile, const bf16 *out, unsigned at,
                       int first, int T, int stride) {
#pragma unroll 4
	for (int i = 0; i < QROWS * CHUNKS; i += THREADS) {
		int r = (i + threadIdx.x) / CHUNKS, c = (i + threadIdx.x) % CHUNKS;
		float a[8], b[8], sum = 0;
		load8(a, tile + chunk_at(r, c), BF16, 0);
		load8(b, out + (at + min(first + r, T - 1) * stride + c * 8), BF16, 0);
#pragma unroll
		for (int e = 0; e < 8; e++)
			sum += a[e] * b[e];
		sum = warp_sum(sum, CHUNKS);
		if (c == 0) {
			delta[r] = sum;
			if (first + r < T)
				deltas[delta_at + first + r] = sum;
		}
	}
}

// attention_backward_q: a block per head and QROWS queries, in the order of
// work_item. scale is that of the forward pass, with log2(e), and factor without.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_backward_q(bf16 *dq, float *deltas, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *out, const bf16 *dout,
                     const float *lse, int B, int T, int NH, int NKV, int window, float scale, float factor, int together,
                     int add) {
	extern __shared__ __align__(1024) char shared[];
	float *delta = (float *)(shared + QSHARED(2, 0)); // [QROWS]
	int head, ordinal, blocks = (T + QROWS - 1) / QROWS;
	work_item(B * NH, blocks, together, head, ordinal);
	int first = (blocks - 1 - ordinal) * QROWS;
	int warp = threadIdx.x / 32, l = threadIdx.x % 32, row = first + warp * 16 * QM;
	unsigned at = head_at(head / NH, head % NH, T, NH), k_at = head_at(head / NH, head % NH / (NH / NKV), T, NKV);
	int key = max(0, first - window + 1) / QKEYS * QKEYS, end = min(T, first + QROWS);

	copy_tile<QROWS>(shared, q, at, first, T, NH * D);
	copy_tile<QROWS>(shared + QROWS * ROW, dout, at, first, T, NH * D);
	cp_async_commit();
	copy_tile<QKEYS>(shared + QSHARED(0, 0), k, k_at, key, T, NKV * D);
	copy_tile<QKEYS>(shared + QSHARED(0, 1), v, k_at, key, T, NKV * D);
	cp_async_commit();
	cp_async_wait<1>();
	delta_rows(delta, deltas, (unsigned)head * T, shared + QROWS * ROW, out, at, first, T, NH * D);
	float log_sum[QM][2], less[QM][2], o[QM][CHUNKS][4];
#pragma unroll
	for (int i = 0; i < 2 * QM; i++)
		log_sum[i / 2][i % 2] = lse[(unsigned)head * T + min(row + l / 4 + i * 8, T - 1)];
	clear(o);
	char *mine = shared + warp * 16 * QM * ROW;
	for (int stage = 0, begun = 0; key < end; key += QKEYS, stage ^= 1) {
		cp_async_wait<0>();
		__syncthreads();
		if (key + QKEYS < end) {
			copy_tile<QKEYS>(shared + QSHARED(stage ^ 1, 0), k, k_at, key + QKEYS, T, NKV * D);
			copy_tile<QKEYS>(shared + QSHARED(stage ^ 1, 1), v, k_at, key + QKEYS, T, NKV * D);
			cp_async_commit();
		}
		if (!begun) {
#pragma unroll
			for (int i = 0; i < 2 * QM; i++)
				less[i / 2][i % 2] = delta[warp * 16 * QM + l / 4 + i * 8];
			begun = 1;
		}
		if (key > row + 16 * QM - 1 || row - (key + QKEYS - 1) >= window)
			continue; // this warp sees none of it
		bool edge = key + QKEYS - 1 > row || row + 16 * QM - 1 - key >= window;
		int distance = row + l / 4 - key - l % 4 * 2;
		float p[QM][QKEYS / 8][4], ds[QM][QKEYS / 8][4];
		product_ab(p, mine, shared + QSHARED(stage, 0));
		product_ab(ds, mine + QROWS * ROW, shared + QSHARED(stage, 1));
#pragma unroll
		for (int m = 0; m < QM; m++)
#pragma unroll
			for (int n = 0; n < QKEYS / 8; n++)
#pragma unroll
				for (int e = 0; e < 4; e++) {
					float w = fast_exp2(p[m][n][e] * scale - log_sum[m][e / 2]);
					ds[m][n][e] = w * (ds[m][n][e] - less[m][e / 2]);
					if (edge && (unsigned)(distance + m * 16 + e / 2 * 8 - n * 8 - e % 2) >= (unsigned)window)
						ds[m][n][e] = 0;
				}
		add_product(o, ds, shared + QSHARED(stage, 0));
	}
	if (dq)
		write_rows(dq, at, o, factor, mine, row, T, NH * D, add);
}

// ---- dK and dV

// Products are transposed here: a warp has 16 KM rows of keys, and the queries are
// columns. So P and dS are made in the registers from which they are multiplied.

#define KROWS (16 * KM * WARPS)
#define KTILE (KQS * ROW)
// Shared memory: K, V, two stages of Q and dO, two of lse and delta.
#define KSHARED(stage, which) (2 * KROWS * ROW + (2 * (stage) + (which)) * KTILE)

// copy_queries starts to copy a tile of queries with what belongs to them. A query
// that is none has zeros, and so adds nothing.
DEVICE void copy_queries(char *shared, float2 *sums, int stage, const bf16 *q, const bf16 *dout, const float *lse,
                         const float *deltas, int head, int query, int T, int NH) {
	unsigned at = head_at(head / NH, head % NH, T, NH);
	copy_tile<KQS>(shared + KSHARED(stage, 0), q, at, query, T, NH * D);
	copy_tile<KQS>(shared + KSHARED(stage, 1), dout, at, query, T, NH * D);
	int i = opaque(threadIdx.x);
	if (i < KQS) {
		float *to = (float *)(sums + stage * KQS + i / 2 * 2) + i % 2;
		bool in = query + i < T;
		at = (unsigned)head * T + (in ? query + i : 0);
		cp_async4(to, lse + at, in ? 4 : 0);
		cp_async4(to + 2, deltas + at, in ? 4 : 0);
	}
}

// attention_backward_kv: a block per key head and KROWS keys, in the order of
// work_item. It adds up over the query heads that share the key head, in order.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_backward_kv(bf16 *dk, bf16 *dv, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dout, const float *lse,
                      const float *deltas, int B, int T, int NH, int NKV, int window, float scale, float factor, int together,
                      int add_k, int add_v) {
	extern __shared__ __align__(1024) char shared[];
	float2 *sums = (float2 *)(shared + KSHARED(2, 0)); // [2][KQS / 2][lse, delta]: of two queries each
	int group = NH / NKV, kv, ordinal;
	work_item(B * NKV, (T + KROWS - 1) / KROWS, together, kv, ordinal);
	int first = ordinal * KROWS; // earlier keys are seen by more
	int warp = threadIdx.x / 32, l = threadIdx.x % 32, row = first + warp * 16 * KM;
	unsigned k_at = head_at(kv / NKV, kv % NKV, T, NKV);
	int head = kv / NKV * NH + kv % NKV * group, last = head + group; // of [B,NH]: those that share the key head

	// The tiles of queries that see some of the keys, head after head.
	int begin = first / KQS * KQS, end = min(T, first + KROWS - 1 + window), query = begin;
	copy_tile<KROWS>(shared, k, k_at, first, T, NKV * D);
	copy_tile<KROWS>(shared + KROWS * ROW, v, k_at, first, T, NKV * D);
	copy_queries(shared, sums, 0, q, dout, lse, deltas, head, query, T, NH);
	cp_async_commit();
	float ok[KM][CHUNKS][4], ov[KM][CHUNKS][4];
	clear(ok);
	clear(ov);
	char *mine = shared + warp * 16 * KM * ROW;
	for (int stage = 0; head < last; stage ^= 1) {
		int this_query = query;
		query += KQS;
		if (query >= end)
			query = begin, head++;
		cp_async_wait<0>();
		__syncthreads();
		if (head < last) { // all warps are done with the other stage
			copy_queries(shared, sums, stage ^ 1, q, dout, lse, deltas, head, query, T, NH);
			cp_async_commit();
		}
		if (this_query + KQS - 1 < row || this_query - (row + 16 * KM - 1) >= window)
			continue; // no key of this warp is seen
		bool edge = this_query < row + 16 * KM - 1 || this_query + KQS - 1 - row >= window;
		int lane = opaque(l), distance = this_query + lane % 4 * 2 - row - lane / 4;
		const float2 *sum = sums + stage * KQS + lane % 4 * 2; // [8 * n]: lse, delta of the queries of columns 8 n..
		float p[KM][KQS / 8][4], ds[KM][KQS / 8][4];
		product_ab(p, mine, shared + KSHARED(stage, 0));
#pragma unroll
		for (int n = 0; n < KQS / 8; n++) {
			float2 log_sum = sum[n * 8];
#pragma unroll
			for (int m = 0; m < KM; m++)
#pragma unroll
				for (int e = 0; e < 4; e++) {
					p[m][n][e] = fast_exp2(p[m][n][e] * scale - (e % 2 ? log_sum.y : log_sum.x));
					if (edge && (unsigned)(distance + n * 8 + e % 2 - m * 16 - e / 2 * 8) >= (unsigned)window)
						p[m][n][e] = 0;
				}
		}
		add_product(ov, p, shared + KSHARED(stage, 1));
		product_ab(ds, mine + KROWS * ROW, shared + KSHARED(stage, 1));
#pragma unroll
		for (int n = 0; n < KQS / 8; n++) {
			float2 less = sum[n * 8 + 1];
#pragma unroll
			for (int m = 0; m < KM; m++)
#pragma unroll
				for (int e = 0; e < 4; e++)
					ds[m][n][e] = p[m][n][e] * (ds[m][n][e] - (e % 2 ? less.y : less.x));
		}
		add_product(ok, ds, shared + KSHARED(stage, 0));
	}
	if (dk)
		write_rows(dk, k_at, ok, factor, mine, row, T, NKV * D, add_k);
	if (dv)
		write_rows(dv, k_at, ov, 1.f, mine + KROWS * ROW, row, T, NKV * D, add_v);
}
