// Products with causal scores: row t of scores [T,S] sees the columns j with
// j <= t + S - T and, with a window, j > t + S - T - window. What a row does not
// see is not multiplied, not even by zero, so that it leaves no NaN.
//
// All three products are C[r,c] = sum over k of A[r,k] B[k,c] in float32, in
// tiles of 32 by 32 by 32, k ascending. They differ in who sees whom.

#define TILE 32

enum { FORWARD, DSCORES, DVALUES };

struct band {
	int t, s, window;
};

DEVICE bool sees(band b, int t, int j) {
	int newest = t + b.s - b.t;
	return j <= newest && (b.window == 0 || j > newest - b.window);
}

// columns_of gives the columns that rows t0..t1-1 see, from..to-1.
DEVICE void columns_of(band b, int t0, int t1, int *from, int *to) {
	*from = b.window == 0 ? 0 : max(0, t0 + b.s - b.t - b.window + 1);
	*to = min(b.s, t1 + b.s - b.t);
}

// rows_of gives the rows that see any of columns j0..j1-1.
DEVICE void rows_of(band b, int j0, int j1, int *from, int *to) {
	*from = max(0, j0 - (b.s - b.t));
	*to = b.window == 0 ? b.t : min(b.t, j1 - 1 - (b.s - b.t) + b.window);
}

// banded_tile computes one tile of C of one batch entry. A and B are read as
// [r,k] and [k,c], A as its transpose for DVALUES and B for DSCORES.
template <int KIND>
DEVICE void banded_tile(band b, int n, const void *a, int typeA, size_t atA, const void *bb, int typeB, size_t atB, void *c, int typeC, size_t atC, int r0, int c0, int add) {
	__shared__ float sa[TILE][TILE + 1], sb[TILE][TILE + 1]; // sa is [r][k], sb [k][c]
	int rows = KIND == DVALUES ? b.s : b.t, cols = KIND == DSCORES ? b.s : n;
	int from = 0, to = n; // of k
	if (KIND == FORWARD)
		columns_of(b, r0, min(r0 + TILE, b.t), &from, &to);
	if (KIND == DVALUES)
		rows_of(b, r0, min(r0 + TILE, b.s), &from, &to);
	int x = threadIdx.x % TILE, y = threadIdx.x / TILE;
	float sum[4] = {0.f, 0.f, 0.f, 0.f};
	for (int k0 = from; k0 < to; k0 += TILE) {
		for (int i = y; i < TILE; i += 8) {
			// Neighboring threads read neighboring elements of memory.
			if (KIND == DVALUES)
				sa[x][i] = r0 + x < rows && k0 + i < to ? load(a, typeA, atA + (size_t)(k0 + i) * b.s + r0 + x) : 0.f;
			else
				sa[i][x] = r0 + i < rows && k0 + x < to ? load(a, typeA, atA + (size_t)(r0 + i) * (KIND == FORWARD ? b.s : n) + k0 + x) : 0.f;
			if (KIND == DSCORES)
				sb[x][i] = c0 + i < cols && k0 + x < to ? load(bb, typeB, atB + (size_t)(c0 + i) * n + k0 + x) : 0.f;
			else
				sb[i][x] = c0 + x < cols && k0 + i < to ? load(bb, typeB, atB + (size_t)(k0 + i) * n + c0 + x) : 0.f;
		}
		__syncthreads();
		int last = min(TILE, to - k0);
		for (int k = 0; k < last; k++) {
#pragma unroll
			for (int i = 0; i < 4; i++) {
				int r = r0 + y + 8 * i;
				bool seen = KIND == DSCORES || (KIND == FORWARD ? sees(b, r, k0 + k) : sees(b, k0 + k, r));
				if (seen)
					sum[i] = fmaf(sa[y + 8 * i][k], sb[k][x], sum[i]);
			}
		}
		__syncthreads();
	}
	for (int i = 0; i < 4; i++) {
		int r = r0 + y + 8 * i, col = c0 + x;
		if (r >= rows || col >= cols)
			continue;
		if (KIND == DSCORES && !sees(b, r, col)) {
			if (!add)
				store(c, typeC, atC + (size_t)r * cols + col, 0.f);
			continue;
		}
		size_t at = atC + (size_t)r * cols + col;
		store(c, typeC, at, add ? load(c, typeC, at) + sum[i] : sum[i]);
	}
}

// place finds the block's batch entry and tile among grids of tiles.
DEVICE void place(int rows, int cols, size_t *entry, int *r0, int *c0) {
	unsigned across = (cols + TILE - 1) / TILE, tiles = (rows + TILE - 1) / TILE * across;
	*entry = blockIdx.x / tiles;
	*r0 = blockIdx.x % tiles / across * TILE, *c0 = blockIdx.x % across * TILE;
}

// causal_product: out [T,N] = scores [T,S] values [S,N]
KERNEL(256) causal_product(void *out, int typeOut, const void *scores, int typeScores, const void *values, int typeValues, int t, int s, int window, int n) {
	band b = {t, s, window};
	size_t entry;
	int r0, c0;
	place(t, n, &entry, &r0, &c0);
	banded_tile<FORWARD>(b, n, scores, typeScores, entry * t * s, values, typeValues, entry * s * n, out, typeOut, entry * t * n, r0, c0, 0);
}

// causal_product_dscores: dscores [T,S] (+)= dout [T,N] valuesᵀ, where seen
KERNEL(256) causal_product_dscores(void *dscores, int type, const void *dout, int typeOut, const void *values, int typeValues, int t, int s, int window, int n, int add) {
	band b = {t, s, window};
	size_t entry;
	int r0, c0;
	place(t, s, &entry, &r0, &c0);
	banded_tile<DSCORES>(b, n, dout, typeOut, entry * t * n, values, typeValues, entry * s * n, dscores, type, entry * t * s, r0, c0, add);
}

// causal_product_dvalues: dvalues [S,N] (+)= scoresᵀ dout [T,N]
KERNEL(256) causal_product_dvalues(void *dvalues, int type, const void *scores, int typeScores, const void *dout, int typeOut, int t, int s, int window, int n, int add) {
	band b = {t, s, window};
	size_t entry;
	int r0, c0;
	place(s, n, &entry, &r0, &c0);
	banded_tile<DVALUES>(b, n, scores, typeScores, entry * t * s, dout, typeOut, entry * t * n, dvalues, type, entry * s * n, r0, c0, add);
}
