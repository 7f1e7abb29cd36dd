// Recurrences along time, and the largest of a row. What follows from what came
// before runs in one thread; columns and batch entries run side by side.

// scan_forward: y[i] = a[i] * y[i-1] + x[i] along the middle of [outer,n,inner],
// one thread a column.
KERNEL(128) scan_forward(void *y, int typeY, const void *x, int typeX, const void *a, int typeA, int outer, int n, int inner) {
	FOR_GRID(c, outer * inner) {
		size_t at = (size_t)(c / inner) * n * inner + c % inner;
		float last = 0.f;
		for (int i = 0; i < n; i++, at += inner) {
			last = i == 0 ? load(x, typeX, at) : load(a, typeA, at) * last + load(x, typeX, at);
			store(y, typeY, at, last);
		}
	}
}

// scan_backward goes from the last to the first; dx and da may be null.
KERNEL(128) scan_backward(void *dx, int typeDX, int addX, void *da, int typeDA, int addA, const void *dy, int typeDY, const void *y, int typeY, const void *a, int typeA, int outer, int n, int inner) {
	FOR_GRID(c, outer * inner) {
		size_t at = (size_t)(c / inner) * n * inner + c % inner + (size_t)(n - 1) * inner;
		float g = 0.f; // the whole gradient of y: of later steps too
		for (int i = n - 1; i >= 0; i--, at -= inner) {
			g = load(dy, typeDY, at) + (i < n - 1 ? load(a, typeA, at + inner) * g : 0.f);
			if (dx)
				store(dx, typeDX, at, addX ? load(dx, typeDX, at) + g : g);
			if (da) {
				float d = i > 0 ? g * load(y, typeY, at - inner) : 0.f;
				store(da, typeDA, at, addA ? load(da, typeDA, at) + d : d);
			}
		}
	}
}

// solve_forward: y[i] = b[i] - sum over j < i of x[i,j] y[j], of systems x [t,t]
// and b, y [t,n]; one thread a column of y, which is float32.
KERNEL(128) solve_forward(float *y, const void *x, int typeX, const void *b, int typeB, int systems, int t, int n) {
	FOR_GRID(c, systems * n) {
		size_t entry = c / n, at = entry * t * n + c % n;
		for (int i = 0; i < t; i++) {
			float v = load(b, typeB, at + (size_t)i * n);
			for (int j = 0; j < i; j++)
				v -= load(x, typeX, (entry * t + i) * t + j) * y[at + (size_t)j * n];
			y[at + (size_t)i * n] = v;
		}
	}
}

// solve_transposed: g[j] = dy[j] - sum over i > j of x[i,j] g[i]
KERNEL(128) solve_transposed(float *g, const void *x, int typeX, const void *dy, int typeDY, int systems, int t, int n) {
	FOR_GRID(c, systems * n) {
		size_t entry = c / n, at = entry * t * n + c % n;
		for (int j = t - 1; j >= 0; j--) {
			float v = load(dy, typeDY, at + (size_t)j * n);
			for (int i = j + 1; i < t; i++)
				v -= load(x, typeX, (entry * t + i) * t + j) * g[at + (size_t)i * n];
			g[at + (size_t)j * n] = v;
		}
	}
}

// solve_dscores: dx[i,j] (+)= -g[i] . y[j] for j < i, and 0 elsewhere
KERNEL(256) solve_dscores(void *dx, int typeDX, int add, const float *g, const void *y, int typeY, int systems, int t, int n) {
	FOR_GRID(e, systems * t * t) {
		int j = e % t, i = e / t % t;
		size_t rows = (size_t)(e / t / t) * t;
		float sum = 0.f;
		if (j < i)
			for (int k = 0; k < n; k++)
				sum -= g[(rows + i) * n + k] * load(y, typeY, (rows + j) * n + k);
		store(dx, typeDX, e, add ? load(dx, typeDX, e) + sum : sum);
	}
}

// top_k writes the positions of the k largest of each row, larger first, earlier
// first among equals, or poison in all where one is NaN. A warp takes a row, and
// looks k times for the largest that comes after the one before.
KERNEL(256) top_k(int *ids, const void *x, int type, int rows, int n, int k, int poison) {
	int lane = threadIdx.x & 31;
	int row = blockIdx.x * 8 + threadIdx.x / 32;
	if (row >= rows)
		return; // whole warps
	size_t from = (size_t)row * n;
	float nan = 0.f;
	for (int i = lane; i < n; i += 32) {
		float v = load(x, type, from + i);
		nan = v != v ? 1.f : nan;
	}
	bool bad = warp_sum(nan) > 0.f;
	float last = 0.f;
	int lastAt = -1; // none yet
	for (int place = 0; place < k; place++) {
		float best = 0.f;
		int at = -1;
		for (int i = lane; i < n; i += 32) {
			float v = load(x, type, from + i);
			bool after = lastAt < 0 || v < last || (v == last && i > lastAt);
			if (after && (at < 0 || v > best))
				best = v, at = i;
		}
		for (int m = 16; m > 0; m /= 2) {
			float v = __shfl_xor_sync(ALL_LANES, best, m);
			int i = __shfl_xor_sync(ALL_LANES, at, m);
			if (i >= 0 && (at < 0 || v > best || (v == best && i < at)))
				best = v, at = i;
		}
		last = best, lastAt = at;
		if (lane == 0)
			ids[(size_t)row * k + place] = bad ? poison : at;
	}
}
