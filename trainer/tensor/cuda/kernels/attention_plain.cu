// Attention in float32, for any head size D up to 256 (a #define in front) and any
// type: what the tensor cores' kernels do not serve, and where results must be
// exact. The algorithm is that of attention_forward.cu and attention_backward.cu.
//
//   q, out, dout, dq [B,T,NH,D]   k, v, dk, dv [B,T,NKV,D]   lse, delta [B,NH,T] float
//
// A block of 16 x 16 threads has N rows (queries, or keys in the second pass of
// backward) and passes over tiles of N columns. A thread computes the scores of
// SIDE x SIDE pairs and has the results of SIDE rows and some of the D channels.

#define N (D <= 64 ? 64 : 32)
#define SIDE (N / 16)
#define PAD ((D + 3) / 4 * 4 + 4) // floats from row to row: eight rows lie in different banks
#define QUADS ((D + 63) / 64)     // groups of four channels that a thread has
#define TILE (N * PAD)            // floats
#define WIDE (N + 4)              // floats from row to row of weights

// load_tile puts rows first.. of a head into a tile, zeros from row T or channel D on.
DEVICE void load_tile(float *tile, const void *x, int type, unsigned at, int first, int T, int stride) {
	for (int i = threadIdx.x; i < TILE; i += 256) {
		int r = i / PAD, d = i % PAD;
		tile[i] = d < D && first + r < T ? load(x, type, at + (first + r) * stride + d) : 0.f;
	}
}

// products is s = A Bᵀ of two tiles: s[i][j] of rows y * SIDE + i and x + 16 j.
DEVICE void products(float s[SIDE][SIDE], const float *a, const float *b) {
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
	for (int i = 0; i < SIDE; i++)
		for (int j = 0; j < SIDE; j++)
			s[i][j] = 0;
#pragma unroll 4
	for (int d = 0; d < PAD - 4; d += 4) {
		float4 f[SIDE], g[SIDE];
#pragma unroll
		for (int i = 0; i < SIDE; i++) {
			f[i] = *(const float4 *)(a + (y * SIDE + i) * PAD + d);
			g[i] = *(const float4 *)(b + (x + 16 * i) * PAD + d);
		}
#pragma unroll
		for (int i = 0; i < SIDE; i++)
#pragma unroll
			for (int j = 0; j < SIDE; j++) {
				s[i][j] += f[i].x * g[j].x;
				s[i][j] += f[i].y * g[j].y;
				s[i][j] += f[i].z * g[j].z;
				s[i][j] += f[i].w * g[j].w;
			}
	}
}

// add_products is o += P B for weights p [N,N] in shared memory and the first rows of
// a tile b. What is not seen does not count, whatever it is: distance is that of row 0
// and column 0, growing with rows (or with columns, if turned).
DEVICE void add_products(float o[SIDE][QUADS][4], const float *p, const float *b, int rows, bool edge, bool turned,
                         int distance, int window) {
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
	for (int j = 0; j < min(N, rows); j++) {
		float4 v[QUADS];
#pragma unroll
		for (int c = 0; c < QUADS; c++)
			v[c] = *(const float4 *)(b + j * PAD + min(c * 64 + x * 4, PAD - 4));
#pragma unroll
		for (int i = 0; i < SIDE; i++) {
			int r = y * SIDE + i;
			if (edge && (unsigned)(distance + (turned ? j - r : r - j)) >= (unsigned)window)
				continue;
			float w = p[r * WIDE + j];
#pragma unroll
			for (int c = 0; c < QUADS; c++) {
				o[i][c][0] += w * v[c].x;
				o[i][c][1] += w * v[c].y;
				o[i][c][2] += w * v[c].z;
				o[i][c][3] += w * v[c].w;
			}
		}
	}
}

// write_rows writes (or adds) this thread's part of rows first.. of a head.
DEVICE void write_rows(void *out, int type, unsigned at, const float o[SIDE][QUADS][4], const float *factor, int first, int T,
                       int stride, bool add) {
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
	for (int i = 0; i < SIDE; i++)
#pragma unroll
		for (int c = 0; c < QUADS; c++)
#pragma unroll
			for (int e = 0; e < 4; e++) {
				int t = first + y * SIDE + i, d = c * 64 + x * 4 + e;
				if (t >= T || d >= D)
					continue;
				unsigned to = at + t * stride + d;
				float v = o[i][c][e] * factor[i];
				store(out, type, to, add ? v + load(out, type, to) : v);
			}
}

DEVICE unsigned head_at(int batch, int head, int T, int n) { return ((unsigned)batch * T * n + head) * D; }

// attention_plain_forward: a block per N queries (x) and head (y, and z beyond 2^15).
extern "C" __global__ void __launch_bounds__(256, 1)
attention_plain_forward(void *out, float *lse, const void *q, const void *k, const void *v, int type, int heads, int T, int NH,
                        int NKV, int window, float scale) {
	extern __shared__ __align__(16) float shared[];
	float *tq = shared, *tk = tq + TILE, *p = tk + TILE; // Q; K, then V; weights
	int head = blockIdx.y + blockIdx.z * gridDim.y, first = (gridDim.x - 1 - blockIdx.x) * N;
	if (head >= heads)
		return;
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
	unsigned at = head_at(head / NH, head % NH, T, NH), k_at = head_at(head / NH, head % NH / (NH / NKV), T, NKV);
	float o[SIDE][QUADS][4] = {}, top[SIDE], sum[SIDE];
#pragma unroll
	for (int i = 0; i < SIDE; i++)
		top[i] = -INFINITY, sum[i] = 0;
	load_tile(tq, q, type, at, first, T, NH * D);
	for (int key = max(0, first - window + 1) / N * N; key < min(T, first + N); key += N) {
		bool edge = key + N - 1 > first || first + N - 1 - key >= window;
		__syncthreads(); // nobody reads the last V any more
		load_tile(tk, k, type, k_at, key, T, NKV * D);
		__syncthreads();
		float s[SIDE][SIDE];
		products(s, tq, tk);
#pragma unroll
		for (int i = 0; i < SIDE; i++) {
			float most = top[i], row = 0;
			for (int j = 0; j < SIDE; j++) {
				if (edge && (unsigned)(first + y * SIDE + i - key - x - 16 * j) >= (unsigned)window)
					s[i][j] = -INFINITY;
				most = fmaxf(most, s[i][j]);
			}
			for (int m = 8; m > 0; m /= 2)
				most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, m));
			float zero = most == -INFINITY ? 0.f : most * scale, less = exp2f(top[i] * scale - zero);
			top[i] = most;
			for (int j = 0; j < SIDE; j++) {
				float w = exp2f(s[i][j] * scale - zero);
				p[(y * SIDE + i) * WIDE + x + 16 * j] = w;
				row += w;
			}
			sum[i] = sum[i] * less + warp_sum(row, 16);
#pragma unroll
			for (int c = 0; c < QUADS; c++)
				for (int e = 0; e < 4; e++)
					o[i][c][e] *= less;
		}
		__syncthreads(); // nobody reads K any more, and the weights are there
		load_tile(tk, v, type, k_at, key, T, NKV * D);
		__syncthreads();
		add_products(o, p, tk, T - key, edge, false, first - key, window);
	}
	float part[SIDE];
#pragma unroll
	for (int i = 0; i < SIDE; i++) {
		int t = first + y * SIDE + i;
		part[i] = 1 / sum[i];
		if (lse && x == 0 && t < T)
			lse[(unsigned)head * T + t] = top[i] * scale + log2f(sum[i]);
	}
	write_rows(out, type, at, o, part, first, T, NH * D, false);
}

// attention_plain_backward_q makes dQ and delta, blocks as in forward.
extern "C" __global__ void __launch_bounds__(256, 1)
attention_plain_backward_q(void *dq, float *deltas, const void *q, const void *k, const void *v, const void *out,
                           const void *dout, const float *lse, int type, int heads, int T, int NH, int NKV, int window,
                           float scale, float factor, int add) {
	extern __shared__ __align__(16) float shared[];
	float *tq = shared, *td = tq + TILE, *tk = td + TILE, *tv = tk + TILE, *ds = tv + TILE;
	int head = blockIdx.y + blockIdx.z * gridDim.y, first = (gridDim.x - 1 - blockIdx.x) * N;
	if (head >= heads)
		return;
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
	unsigned at = head_at(head / NH, head % NH, T, NH), k_at = head_at(head / NH, head % NH / (NH / NKV), T, NKV);
	load_tile(tq, q, type, at, first, T, NH * D);
	load_tile(td, dout, type, at, first, T, NH * D);
	__syncthreads();
	float o[SIDE][QUADS][4] = {}, log_sum[SIDE], delta[SIDE], factors[SIDE];
#pragma unroll
	for (int i = 0; i < SIDE; i++) {
		int r = y * SIDE + i, t = min(first + r, T - 1);
		float sum = 0;
		for (int d = x; d < D; d += 16)
			sum += td[r * PAD + d] * load(out, type, at + t * NH * D + d);
		delta[i] = warp_sum(sum, 16);
		log_sum[i] = lse[(unsigned)head * T + t];
		factors[i] = factor;
		if (x == 0 && first + r < T)
			deltas[(unsigned)head * T + t] = delta[i];
	}
	for (int key = max(0, first - window + 1) / N * N; dq && key < min(T, first + N); key += N) {
		bool edge = key + N - 1 > first || first + N - 1 - key >= window;
		__syncthreads(); // nobody reads the last tiles any more
		load_tile(tk, k, type, k_at, key, T, NKV * D);
		load_tile(tv, v, type, k_at, key, T, NKV * D);
		__syncthreads();
		float s[SIDE][SIDE], dp[SIDE][SIDE];
		products(s, tq, tk);
		products(dp, td, tv);
#pragma unroll
		for (int i = 0; i < SIDE; i++)
			for (int j = 0; j < SIDE; j++)
				ds[(y * SIDE + i) * WIDE + x + 16 * j] = exp2f(s[i][j] * scale - log_sum[i]) * (dp[i][j] - delta[i]);
		__syncthreads();
		add_products(o, ds, tk, T - key, edge, false, first - key, window);
	}
	if (dq)
		write_rows(dq, type, at, o, factors, first, T, NH * D, add);
}

// attention_plain_backward_kv makes dK and dV: a block per N keys and key head.
extern "C" __global__ void __launch_bounds__(256, 1)
attention_plain_backward_kv(void *dk, void *dv, const void *q, const void *k, const void *v, const void *dout,
                            const float *lse, const float *deltas, int type, int heads, int T, int NH, int NKV, int window,
                            float scale, float factor, int add_k, int add_v) {
	extern __shared__ __align__(16) float shared[];
	float *tk = shared, *tv = tk + TILE, *tq = tv + TILE, *td = tq + TILE, *p = td + TILE, *ds = p + N * WIDE;
	int kv = blockIdx.y + blockIdx.z * gridDim.y, first = blockIdx.x * N, group = NH / NKV;
	if (kv >= heads)
		return;
	int x = threadIdx.x % 16, y = threadIdx.x / 16;
	unsigned k_at = head_at(kv / NKV, kv % NKV, T, NKV);
	load_tile(tk, k, type, k_at, first, T, NKV * D);
	load_tile(tv, v, type, k_at, first, T, NKV * D);
	float ok[SIDE][QUADS][4] = {}, ov[SIDE][QUADS][4] = {}, factors[SIDE], ones[SIDE];
#pragma unroll
	for (int i = 0; i < SIDE; i++)
		factors[i] = factor, ones[i] = 1;
	for (int head = kv / NKV * NH + kv % NKV * group, h = 0; h < group; h++, head++) {
		unsigned at = head_at(head / NH, head % NH, T, NH);
		for (int query = first; query < min(T, first + N - 1 + window); query += N) {
			bool edge = query < first + N - 1 || query + N - 1 - first >= window;
			__syncthreads(); // nobody reads the last tiles any more
			load_tile(tq, q, type, at, query, T, NH * D);
			load_tile(td, dout, type, at, query, T, NH * D);
			__syncthreads();
			float s[SIDE][SIDE], dp[SIDE][SIDE];
			products(s, tk, tq);
			products(dp, tv, td);
			for (int j = 0; j < SIDE; j++) {
				int t = query + x + 16 * j;
				float log_sum = t < T ? lse[(unsigned)head * T + t] : INFINITY;
				float delta = t < T ? deltas[(unsigned)head * T + t] : 0;
#pragma unroll
				for (int i = 0; i < SIDE; i++) {
					float w = exp2f(s[i][j] * scale - log_sum);
					p[(y * SIDE + i) * WIDE + x + 16 * j] = w;
					ds[(y * SIDE + i) * WIDE + x + 16 * j] = w * (dp[i][j] - delta);
				}
			}
			__syncthreads();
			add_products(ov, p, td, T - query, edge, true, query - first, window);
			add_products(ok, ds, tq, T - query, edge, true, query - first, window);
		}
	}
	if (dk)
		write_rows(dk, type, k_at, ok, factors, first, T, NKV * D, add_k);
	if (dv)
		write_rows(dv, type, k_at, ov, ones, first, T, NKV * D, add_v);
}
