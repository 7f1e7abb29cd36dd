// Sums and maxima along one dimension of [outer, n, inner], of elements or of what
// a gradient's formula makes of them, and running sums. A long dimension is cut
// into parts, each the work of one thread or warp, whose results are [outer, parts,
// inner] and are reduced in turn. How it is cut depends on the shape alone, so
// sums have one order on every GPU.

// What is added up: x is [outer, n, inner], so is z, and w is [outer, inner].
enum {
	term_x, term_neg, term_square, term_product, term_quotient, term_div_other, term_maximum, term_minimum,
	term_where, term_where_else, term_poison, term_max,
};

DEVICE float share(float dy, float lead) { return lead > 0.f ? dy : lead == 0.f ? 0.5f * dy : 0.f; }

// TERM runs its body for the operation, which is looked at once for eight elements.
#define TERM(name, value) \
	case term_##name: \
		_Pragma("unroll") for (int i = 0; i < W; i++) { \
			float X = x[i], Z = z[i]; \
			(void)X, (void)Z; \
			sum[S * i] = larger_or_sum<term_##name == term_max>(sum[S * i], value); \
		} \
		break

template <bool MAX>
DEVICE float larger_or_sum(float a, float b) { return MAX ? larger(a, b) : a + b; }

// fold adds W terms to W sums (S is 1), or to one (S is 0).
template <int W, int S>
DEVICE void fold(int term, float *sum, const float *x, const float *z, const float *w) {
#define OWN w[S * i]
	switch (term) {
		TERM(x, X);
		TERM(neg, -X);
		TERM(square, X * X);
		TERM(product, X * Z);
		TERM(quotient, X / Z);
		TERM(div_other, -X * (Z / OWN / OWN));
		TERM(maximum, share(X, OWN - Z));
		TERM(minimum, share(X, Z - OWN));
		TERM(where, Z != 0.f ? X : 0.f);
		TERM(where_else, Z == 0.f ? X : 0.f);
		TERM(poison, X != X ? X : 0.f);
		TERM(max, X);
	}
}

DEVICE float nothing(int term) { return term == term_max ? __int_as_float(0xff800000) : 0.f; }

// finish scales a sum and writes it, or adds it to what is there.
DEVICE void finish(void *y, int ytype, size_t i, float s, float scale, int add) {
	s *= scale;
	store(y, ytype, i, add ? s + load(y, ytype, i) : s);
}

// reduce_rows reduces along the last dimension: x is [rows, n] and cut into parts
// of length elements. A part is the work of so many neighboring lanes, a power of
// two. vec says that rows and parts begin at multiples of 8. Results are [rows,
// parts].
KERNEL(256) reduce_rows(int term, void *y, int ytype, const void *x, int xtype, const void *z, int ztype, const void *w, int wtype,
	int items, int n, int parts, int length, int lanes, int vec, float scale, int add) {
	unsigned lane = threadIdx.x & (lanes - 1);
	unsigned groups = gridDim.x * blockDim.x / lanes, first = (blockIdx.x * blockDim.x + threadIdx.x) / lanes;
	for (unsigned base = 0; base < (unsigned)items; base += groups) { // all lanes stay, for the shuffles
		unsigned item = base + first;
		bool mine = item < (unsigned)items;
		unsigned row = mine ? item / parts : 0, part = mine ? item - row * parts : 0;
		unsigned from = part * length, to = mine ? min(from + length, n) : 0;
		float own = w && mine ? load(w, wtype, row) : 0.f, sum = nothing(term);
		size_t at = (size_t)row * n;
		if (vec) {
			for (unsigned i = from + lane * 8; i < to; i += lanes * 8) {
				float vx[8], vz[8] = {};
				load8(vx, x, xtype, at + i);
				if (z)
					load8(vz, z, ztype, at + i);
				fold<8, 0>(term, &sum, vx, vz, &own);
			}
		} else {
			for (unsigned i = from + lane; i < to; i += lanes) {
				float vx = load(x, xtype, at + i), vz = z ? load(z, ztype, at + i) : 0.f;
				fold<1, 0>(term, &sum, &vx, &vz, &own);
			}
		}
		sum = term == term_max ? warp_max(sum, lanes) : warp_sum(sum, lanes);
		if (mine && lane == 0)
			finish(y, ytype, item, sum, scale, add);
	}
}

// reduce_columns reduces along a dimension before the last: x is [outer, n,
// inner], each thread adds length rows of eight neighboring columns. inner is a
// multiple of 8. Results are [outer, parts, inner].
KERNEL(256) reduce_columns8(int term, void *y, int ytype, const void *x, int xtype, const void *z, int ztype, const void *w, int wtype,
	int outer, int n, int inner, int parts, int length, float scale, int add) {
	unsigned columns = inner / 8;
	FOR_GRID(item, outer * parts * columns) {
		unsigned part = item / columns, column = (item - part * columns) * 8; // part counts through all of outer
		unsigned o = part / parts, from = (part - o * parts) * length, to = min(from + length, n);
		float sum[8], own[8] = {};
		for (int i = 0; i < 8; i++)
			sum[i] = nothing(term);
		if (w)
			load8(own, w, wtype, (size_t)o * inner + column);
		size_t at = ((size_t)o * n + from) * inner + column;
#pragma unroll 2
		for (unsigned i = from; i < to; i++, at += inner) {
			float vx[8], vz[8] = {};
			load8(vx, x, xtype, at);
			if (z)
				load8(vz, z, ztype, at);
			fold<8, 1>(term, sum, vx, vz, own);
		}
		at = (size_t)part * inner + column;
		if (add) {
			load8(own, y, ytype, at);
			for (int i = 0; i < 8; i++)
				sum[i] = sum[i] * scale + own[i];
		} else {
			for (int i = 0; i < 8; i++)
				sum[i] *= scale;
		}
		store8(y, ytype, at, sum);
	}
}

// reduce_columns1 is the same with one column per thread.
KERNEL(256) reduce_columns1(int term, void *y, int ytype, const void *x, int xtype, const void *z, int ztype, const void *w, int wtype,
	int outer, int n, int inner, int parts, int length, float scale, int add) {
	FOR_GRID(item, outer * parts * inner) {
		unsigned part = item / inner, column = item - part * inner;
		unsigned o = part / parts, from = (part - o * parts) * length, to = min(from + length, n);
		float sum = nothing(term), own = w ? load(w, wtype, (size_t)o * inner + column) : 0.f;
		size_t at = ((size_t)o * n + from) * inner + column;
		for (unsigned i = from; i < to; i++, at += inner) {
			float vx = load(x, xtype, at), vz = z ? load(z, ztype, at) : 0.f;
			fold<1, 1>(term, &sum, &vx, &vz, &own);
		}
		finish(y, ytype, item, sum, scale, add);
	}
}

// max_grad adds dy [outer, inner] to dx [outer, n, inner] at the first of the
// largest, top [outer, inner]; so many lanes look through a line.
KERNEL(256) max_grad(void *dx, int dxtype, const void *dy, int dytype, const void *x, int xtype, const void *top, int toptype,
	int outer, int n, int inner, int lanes) {
	unsigned lane = threadIdx.x & (lanes - 1), lines = outer * inner;
	unsigned groups = gridDim.x * blockDim.x / lanes, first = (blockIdx.x * blockDim.x + threadIdx.x) / lanes;
	for (unsigned base = 0; base < lines; base += groups) {
		unsigned line = base + first, found = n;
		size_t at = 0;
		if (line < lines) {
			unsigned o = line / inner;
			at = (size_t)o * n * inner + (line - o * inner);
			float m = load(top, toptype, line);
			for (unsigned i = lane; i < (unsigned)n && found == (unsigned)n; i += lanes)
				if (load(x, xtype, at + (size_t)i * inner) == m)
					found = i;
		}
		for (int m = lanes / 2; m > 0; m /= 2)
			found = min(found, __shfl_xor_sync(ALL_LANES, found, m));
		if (line < lines && lane == 0 && found < (unsigned)n) {
			size_t i = at + (size_t)found * inner;
			store(dx, dxtype, i, load(dx, dxtype, i) + load(dy, dytype, line));
		}
	}
}

// cumsum writes the running sums along n of [outer, n, inner] (or adds them),
// from the end with back. A line is the work of one thread, or of one warp, which
// takes 32 elements at a time.
KERNEL(256) cumsum(void *y, int ytype, const void *x, int xtype, int outer, int n, int inner, int lanes, int back, int add) {
	unsigned lane = threadIdx.x & (lanes - 1), lines = outer * inner;
	unsigned groups = gridDim.x * blockDim.x / lanes, first = (blockIdx.x * blockDim.x + threadIdx.x) / lanes;
	for (unsigned base = 0; base < lines; base += groups) {
		unsigned line = base + first, o = line / inner;
		bool mine = line < lines;
		size_t at = (size_t)o * n * inner + (line - o * inner);
		float before = 0.f;
		for (unsigned i = 0; i < (unsigned)n; i += lanes) {
			bool in = mine && i + lane < (unsigned)n;
			size_t e = at + (size_t)(back ? n - 1 - (i + lane) : i + lane) * inner;
			float v = in ? load(x, xtype, e) : 0.f;
			for (int m = 1; m < lanes; m *= 2) {
				float left = __shfl_up_sync(ALL_LANES, v, m);
				if ((int)lane >= m)
					v += left;
			}
			v += before;
			if (in)
				store(y, ytype, e, add ? v + load(y, ytype, e) : v);
			before = lanes > 1 ? __shfl_sync(ALL_LANES, v, 31) : v;
		}
	}
}
