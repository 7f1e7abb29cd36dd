// Operations with ids. An id that is not of a row (PoisonID is -1) gives NaN.

DEVICE bool within(int id, int n) { return (unsigned)id < (unsigned)n; }

// embed copies rows of table [V,C] to y [n,C]. poison [C] is NaN in the columns of
// the table that have a NaN anywhere, else 0. With vec C is a multiple of 8.
KERNEL(256) embed(void *y, int ytype, const void *table, int type, const int *ids, const float *poison, int n, int v, int c, int vec) {
	if (vec) {
		unsigned columns = c / 8;
		FOR_GRID(i, n * columns) {
			unsigned row = i / columns, at = (i - row * columns) * 8;
			int id = ids[row];
			float x[8], bad[8];
			load8(bad, poison, F32, at);
			if (within(id, v))
				load8(x, table, type, (size_t)id * c + at);
			for (int k = 0; k < 8; k++)
				x[k] = within(id, v) ? x[k] + bad[k] : NAN32;
			store8(y, ytype, (size_t)row * c + at, x);
		}
		return;
	}
	FOR_GRID(i, n * c) {
		unsigned row = i / c, at = i - row * c;
		int id = ids[row];
		store(y, ytype, i, within(id, v) ? load(table, type, (size_t)id * c + at) + poison[at] : NAN32);
	}
}

// The gradient of embed sums up the rows of dy that have the same id. Positions
// are sorted by id first, keeping their order: a counting sort, in which one warp
// owns a chunk of the positions, so that nothing depends on who comes first.
// Bucket V takes the ids that are none.

DEVICE int bucket(int id, int v) { return within(id, v) ? id : v; }

// same_as says which lanes have the same value.
DEVICE unsigned same_as(int value) {
#ifdef __CUDA_EMULATED__
	unsigned mask = 0;
	for (int l = 0; l < 32; l++)
		mask |= (unsigned)(__shfl_sync(ALL_LANES, value, l) == value) << l;
	return mask;
#else
	return __match_any_sync(ALL_LANES, value);
#endif
}

DEVICE int bits(unsigned mask) { return __popc(mask); }

// sort_count counts the ids of each bucket in each chunk: counts [chunks, V+1],
// zero before. Block 32, a chunk each.
KERNEL(32) sort_count(int *counts, const int *ids, int n, int chunk, int v) {
	int from = blockIdx.x * chunk, to = min(from + chunk, n), lane = threadIdx.x;
	counts += (size_t)blockIdx.x * (v + 1);
	for (int i = from; i < to; i += 32) {
		int b = i + lane < to ? bucket(ids[i + lane], v) : -1;
		unsigned same = same_as(b);
		if (b >= 0 && (same & ((1u << lane) - 1)) == 0) // the first of them
			counts[b] += bits(same);
		__syncwarp();
	}
}

// sort_chunks replaces the counts of a bucket by their sums before each chunk,
// and writes the sum of all to totals [V+1].
KERNEL(256) sort_chunks(int *counts, int *totals, int chunks, int buckets) {
	FOR_GRID(b, buckets) {
		int sum = 0;
		for (int c = 0; c < chunks; c += 16) { // together, to wait once for them
			int count[16];
#pragma unroll
			for (int k = 0; k < 16; k++)
				count[k] = c + k < chunks ? counts[(size_t)(c + k) * buckets + b] : 0;
#pragma unroll
			for (int k = 0; k < 16; k++) {
				if (c + k < chunks)
					counts[(size_t)(c + k) * buckets + b] = sum;
				sum += count[k];
			}
		}
		totals[b] = sum;
	}
}

// sort_starts replaces totals [buckets] by the sums before each bucket, and
// writes n behind them. One block of 1024.
KERNEL(1024) sort_starts(int *totals, int buckets, int n) {
	__shared__ int sums[32];
	int per = (buckets + blockDim.x - 1) / blockDim.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
	int from = min((int)threadIdx.x * per, buckets), to = min(from + per, buckets), mine = 0;
	for (int i = from; i < to; i++)
		mine += totals[i];
	int sum = mine;
	for (int m = 1; m < 32; m *= 2) {
		int left = __shfl_up_sync(ALL_LANES, sum, m);
		if (lane >= m)
			sum += left;
	}
	if (lane == 31)
		sums[warp] = sum;
	__syncthreads();
	sum -= mine;
	for (int w = 0; w < warp; w++)
		sum += sums[w];
	for (int i = from; i < to; i++) {
		int t = totals[i];
		totals[i] = sum;
		sum += t;
	}
	if (threadIdx.x == 0)
		totals[buckets] = n;
}

// sort_fill writes the positions in order of their buckets, and the buckets.
KERNEL(32) sort_fill(int *order, int *sorted, int *counts, const int *starts, const int *ids, int n, int chunk, int v) {
	int from = blockIdx.x * chunk, to = min(from + chunk, n), lane = threadIdx.x;
	counts += (size_t)blockIdx.x * (v + 1);
	for (int i = from; i < to; i += 32) {
		int b = i + lane < to ? bucket(ids[i + lane], v) : -1;
		unsigned same = same_as(b), before = same & ((1u << lane) - 1);
		int at = b >= 0 ? counts[b] : 0;
		__syncwarp();
		if (b >= 0) {
			order[starts[b] + at + bits(before)] = i + lane;
			sorted[starts[b] + at + bits(before)] = b;
			if (before == 0)
				counts[b] = at + bits(same);
		}
		__syncwarp();
	}
}

#define RUN 128 // sorted positions of a block of embed_grad

// put adds W columns to a row of the gradient, or writes them to a partial sum.
template <int W>
DEVICE void put(void *p, int type, size_t i, float *sum, bool add) {
	if (W == 8) {
		if (add) {
			float old[8];
			load8(old, p, type, i);
			for (int k = 0; k < W; k++)
				sum[k] += old[k];
		}
		store8(p, type, i, sum);
	} else {
		store(p, type, i, add ? sum[0] + load(p, type, i) : sum[0]);
	}
	for (int k = 0; k < W; k++)
		sum[k] = 0.f;
}

// sum_runs adds up W columns of the rows of dy, which are sorted. Rows whose ids
// begin and end here go to dtable. The others are unfinished: partial [blocks, 2,
// C] has what continues the last of the block before, then what the next
// continues.
template <int W>
DEVICE void sum_runs(void *dtable, int type, float *partial, const void *dy, int dytype, const int *row, const int *id, int count,
	bool continues, bool continued, int v, int c, int at) {
	float sum[W];
	for (int k = 0; k < W; k++)
		sum[k] = 0.f;
	for (int j = 0; j < count; j += 4) {
		float x[4][W];
#pragma unroll
		for (int u = 0; u < 4; u++) // all at once, to wait once for them
			if (j + u < count) {
				size_t i = (size_t)row[j + u] * c + at;
				if (W == 8)
					load8(x[u], dy, dytype, i);
				else
					x[u][0] = load(dy, dytype, i);
			}
#pragma unroll
		for (int u = 0; u < 4; u++) {
			if (j + u >= count)
				break;
			for (int k = 0; k < W; k++)
				sum[k] += x[u][k];
			int now = id[j + u];
			bool last = j + u + 1 == count;
			if (!last && id[j + u + 1] == now)
				continue;
			if (continues && id[0] == now)
				put<W>(partial, F32, at, sum, false);
			else if (last && continued)
				put<W>(partial, F32, (size_t)c + at, sum, false);
			else if (now < v)
				put<W>(dtable, type, (size_t)now * c + at, sum, true);
			else
				for (int k = 0; k < W; k++)
					sum[k] = 0.f;
		}
	}
}

// embed_grad adds to dtable [V,C] from dy [n,C]: each block sums up RUN sorted
// positions, each thread its columns of them.
KERNEL(256) embed_grad(void *dtable, int type, float *partial, const void *dy, int dytype, const int *order, const int *sorted,
	int n, int v, int c, int vec) {
	__shared__ int row[RUN], id[RUN];
	int from = blockIdx.x * RUN, count = min(RUN, n - from);
	for (int i = threadIdx.x; i < count; i += blockDim.x)
		row[i] = order[from + i], id[i] = sorted[from + i];
	__syncthreads();
	bool continues = from > 0 && sorted[from - 1] == id[0];
	bool continued = from + count < n && sorted[from + count] == id[count - 1];
	partial += (size_t)blockIdx.x * 2 * c;
	if (vec)
		for (int at = threadIdx.x * 8; at < c; at += blockDim.x * 8)
			sum_runs<8>(dtable, type, partial, dy, dytype, row, id, count, continues, continued, v, c, at);
	else
		for (int at = threadIdx.x; at < c; at += blockDim.x)
			sum_runs<1>(dtable, type, partial, dy, dytype, row, id, count, continues, continued, v, c, at);
}

// embed_join adds up, in order, what blocks of embed_grad left of ids that began
// in this block and did not end there. starts [V+2] has where ids begin.
KERNEL(256) embed_join(void *dtable, int type, const float *partial, const int *sorted, const int *starts, int n, int v, int c) {
	int to = blockIdx.x * RUN + RUN;
	if (to >= n)
		return;
	int id = sorted[to - 1];
	if (id >= v || sorted[to] != id || starts[id] / RUN != blockIdx.x)
		return;
	unsigned last = (starts[id + 1] - 1) / RUN;
	for (int at = threadIdx.x; at < c; at += blockDim.x) {
		float sum = partial[((size_t)blockIdx.x * 2 + 1) * c + at];
#pragma unroll 8
		for (unsigned b = blockIdx.x + 1; b <= last; b++)
			sum += partial[(size_t)b * 2 * c + at];
		size_t i = (size_t)id * c + at;
		store(dtable, type, i, sum + load(dtable, type, i));
	}
}

// poison_columns makes columns of y [v,c] NaN where poison [c] is, all of them if
// there were ids that are none: starts as above, n ids in all.
KERNEL(256) poison_columns(void *y, int ytype, const float *poison, const int *starts, int n, int v, int c) {
	bool all = starts[v] < n;
	FOR_GRID(i, v * c)
		if (all || poison[i % c] != 0.f)
			store(y, ytype, i, NAN32);
}

// Gather and its like see x as [outer, n, inner] and ids as [outer, k, inner], or
// [k] for all lines.

// gather writes x at the ids, NaN for those that are none and in lines whose
// poison [outer, inner] is NaN; or, where there is no poison, adds it to y.
KERNEL(256) gather(void *y, int ytype, const void *x, int xtype, const int *ids, const float *poison, int outer, int n, int inner, int k, int shared) {
	FOR_GRID(i, outer * k * inner) {
		unsigned o = i / (k * inner), rest = i - o * k * inner, j = rest / inner, c = rest - j * inner;
		int id = ids[shared ? j : i];
		size_t at = ((size_t)o * n + id) * inner + c;
		if (poison)
			store(y, ytype, i, within(id, n) ? load(x, xtype, at) + poison[o * inner + c] : NAN32);
		else if (within(id, n))
			store(y, ytype, i, load(y, ytype, i) + load(x, xtype, at));
	}
}

// scatter adds x [outer, k, inner] to y [outer, n, inner] at the ids, in their
// order: a thread owns a line. With poison a line becomes NaN if anything that
// goes there is, or an id is none.
KERNEL(256) scatter(void *y, int ytype, const void *x, int xtype, const int *ids, int outer, int n, int inner, int k, int shared, int poison) {
	FOR_GRID(line, outer * inner) {
		unsigned o = line / inner, c = line - o * inner;
		bool bad = false;
		for (unsigned j = 0; j < (unsigned)k; j++) {
			size_t i = ((size_t)o * k + j) * inner + c;
			int id = ids[shared ? j : i];
			float v = load(x, xtype, i);
			bad = bad || !within(id, n) || v != v;
			if (within(id, n)) {
				size_t at = ((size_t)o * n + id) * inner + c;
				store(y, ytype, at, load(y, ytype, at) + v);
			}
		}
		if (bad && poison)
			for (unsigned j = 0; j < (unsigned)n; j++)
				store(y, ytype, ((size_t)o * n + j) * inner + c, NAN32);
	}
}

// one_hot writes [count / n, n].
KERNEL(256) one_hot(void *y, int ytype, const int *ids, int count, int n) {
	FOR_GRID(i, count) {
		int id = ids[i / n];
		store(y, ytype, i, within(id, n) ? (i % n == (unsigned)id ? 1.f : 0.f) : NAN32);
	}
}

KERNEL(256) to_float(void *y, int ytype, const int *ids, int count) {
	FOR_GRID(i, count)
		store(y, ytype, i, ids[i] < 0 ? NAN32 : (float)ids[i]);
}

// hash_ids is (a mul + b) mod m, or PoisonID where one of them is.
KERNEL(256) hash_ids(int *y, const int *a, const int *b, int count, long long mul, long long m) {
	FOR_GRID(i, count)
		y[i] = a[i] < 0 || b[i] < 0 ? -1 : (int)((a[i] * mul + b[i]) % m);
}
