// Rows of the last axis: RMSNorm (Zhang and Sennrich 2019), softmax, and the sum of
// two tensors with the RMSNorm of it. Arrays are [rows,C] of a type each (gpu.Type);
// roots is [rows] float, the reciprocal of each row's root mean square.
//
// A row belongs to a group: 1 to 32 neighboring lanes of a warp, or the whole block.
// It is read in vectors of W elements: 16 or 32 bytes at once if C is a multiple of 8,
// else one by one. KEPT vectors stay in a thread's registers, so that an array is
// read once; the rest of longer rows is read again. All threads of a block take part
// in its sums, also those whose row is beyond the last; they write nothing.

#define KEPT 4
#define BLOCK 256

// Group is this thread's place: thread lane of those that share a row.
struct Group {
	int lanes, lane, row;
	bool live; // the row is one of the array's
};

DEVICE Group group_of(int lanes, int rows) {
	Group g;
	g.lanes = lanes;
	g.lane = threadIdx.x % lanes;
	g.row = blockIdx.x * (BLOCK / lanes) + threadIdx.x / lanes;
	g.live = g.row < rows;
	if (!g.live)
		g.row = rows - 1;
	return g;
}

// add_up and most combine over the group; all its threads get the result.
DEVICE float add_up(const Group &g, float v) {
	__shared__ float scratch[32];
	return g.lanes <= 32 ? warp_sum(v, g.lanes) : block_sum(v, scratch);
}

DEVICE float most(const Group &g, float v) {
	__shared__ float scratch[32];
	return g.lanes <= 32 ? warp_max(v, g.lanes) : block_max(v, scratch);
}

// get is vector i of the group's row in an array [rows,C].
template <int W> DEVICE void get(float (&v)[W], const void *p, int type, const Group &g, int C, int i) {
	size_t at = (size_t)g.row * C + W * i;
	if constexpr (W == 8)
		load8(v, p, type, at);
	else
		v[0] = load(p, type, at);
}

// put writes vector i, or adds to it.
template <int W> DEVICE void put(void *p, int type, const Group &g, int C, int i, const float (&v)[W], bool add) {
	size_t at = (size_t)g.row * C + W * i;
	float w[W];
	if (add)
		get(w, p, type, g, C, i);
#pragma unroll
	for (int e = 0; e < W; e++)
		w[e] = add ? w[e] + v[e] : v[e];
	if constexpr (W == 8)
		store8(p, type, at, w);
	else
		store(p, type, at, w[0]);
}

// keep reads what a thread keeps of its row.
template <int W> DEVICE void keep(float (&kept)[KEPT][W], const void *p, int type, const Group &g, int C) {
#pragma unroll
	for (int k = 0; k < KEPT; k++)
		if ((g.lane + k * g.lanes) * W < C)
			get(kept[k], p, type, g, C, g.lane + k * g.lanes);
}

// each calls body(v, i) for this thread's vectors i of a row, v being what was kept
// of it, and behind that what array p has.
template <int W, class Body>
DEVICE void each(float (&kept)[KEPT][W], const void *p, int type, const Group &g, int C, Body body) {
#pragma unroll
	for (int k = 0; k < KEPT; k++)
		if ((g.lane + k * g.lanes) * W < C)
			body(kept[k], g.lane + k * g.lanes);
#pragma unroll 1
	for (int i = g.lane + KEPT * g.lanes; i * W < C; i += g.lanes) {
		float v[W];
		get(v, p, type, g, C, i);
		body(v, i);
	}
}

// finish_norm is the second half of a forward: the root of a sum of squares, and y.
template <int W>
DEVICE void finish_norm(float (&kept)[KEPT][W], const void *x, int x_type, const Group &g, int C, float sum, void *y, int y_type,
                        float *roots, float eps) {
	float root = 1 / sqrtf(add_up(g, sum) / C + eps);
	if (!g.live)
		return;
	if (roots && g.lane == 0)
		roots[g.row] = root;
	each(kept, x, x_type, g, C, [&](const float (&v)[W], int i) {
		float out[W];
		for (int e = 0; e < W; e++)
			out[e] = v[e] * root;
		put(y, y_type, g, C, i, out, false);
	});
}

template <int W>
DEVICE void norm_forward(void *y, int y_type, float *roots, const void *x, int x_type, const Group &g, int C, float eps) {
	float kept[KEPT][W], sum = 0;
	keep(kept, x, x_type, g, C);
	each(kept, x, x_type, g, C, [&](const float (&v)[W], int) {
		for (int e = 0; e < W; e++)
			sum += v[e] * v[e];
	});
	finish_norm(kept, x, x_type, g, C, sum, y, y_type, roots, eps);
}

KERNEL(BLOCK) rms_norm_forward(void *y, int y_type, float *roots, const void *x, int x_type, int rows, int C, int lanes, float eps) {
	Group g = group_of(lanes, rows);
	if (C % 8 == 0)
		norm_forward<8>(y, y_type, roots, x, x_type, g, C, eps);
	else
		norm_forward<1>(y, y_type, roots, x, x_type, g, C, eps);
}

// add_norm computes the sum as it is stored. What a thread does not keep of it, it
// reads again where it has just written it.
template <int W>
DEVICE void add_norm(void *sum, int sum_type, void *y, int y_type, float *roots, const void *a, int a_type, float a_weight,
                     const void *b, int b_type, float b_weight, const Group &g, int C, float eps) {
	float kept[KEPT][W], total = 0;
	keep(kept, a, a_type, g, C);
	each(kept, a, a_type, g, C, [&](float (&v)[W], int i) {
		float w[W];
		get(w, b, b_type, g, C, i);
		for (int e = 0; e < W; e++) {
			v[e] = round_to(sum_type, v[e] * a_weight + w[e] * b_weight);
			total += v[e] * v[e];
		}
		if (g.live)
			put(sum, sum_type, g, C, i, v, false);
	});
	finish_norm(kept, sum, sum_type, g, C, total, y, y_type, roots, eps);
}

// add_rms_norm: sum = u a + v b, y = RMSNorm(sum); u and v are numbers, 1 where there
// is no address.
KERNEL(BLOCK) add_rms_norm(void *sum, int sum_type, void *y, int y_type, float *roots, const void *a, int a_type, const void *u,
                           int u_type, const void *b, int b_type, const void *v, int v_type, int rows, int C, int lanes, float eps) {
	Group g = group_of(lanes, rows);
	float a_weight = u ? load(u, u_type, 0) : 1.f, b_weight = v ? load(v, v_type, 0) : 1.f;
	if (C % 8 == 0)
		add_norm<8>(sum, sum_type, y, y_type, roots, a, a_type, a_weight, b, b_type, b_weight, g, C, eps);
	else
		add_norm<1>(sum, sum_type, y, y_type, roots, a, a_type, a_weight, b, b_type, b_weight, g, C, eps);
}

// row_gradient is dx = root * (dy - y mean(dy y)) of RMSNorm or, without roots,
// dx = y (dy - sum(dy y)) of softmax.
template <int W>
DEVICE void row_gradient(void *dx, int dx_type, const void *dy, int dy_type, const void *y, int y_type, const float *roots,
                         const Group &g, int C, bool add) {
	float kept[KEPT][W], sum = 0;
	keep(kept, y, y_type, g, C);
	each(kept, y, y_type, g, C, [&](const float (&v)[W], int i) {
		float w[W];
		get(w, dy, dy_type, g, C, i);
		for (int e = 0; e < W; e++)
			sum += v[e] * w[e];
	});
	sum = add_up(g, sum);
	if (!g.live)
		return;
	float root = roots ? roots[g.row] : 0, mean = sum / C;
	each(kept, y, y_type, g, C, [&](const float (&v)[W], int i) {
		float w[W];
		get(w, dy, dy_type, g, C, i);
		for (int e = 0; e < W; e++)
			w[e] = roots ? root * (w[e] - v[e] * mean) : v[e] * (w[e] - sum);
		put(dx, dx_type, g, C, i, w, add);
	});
}

KERNEL(BLOCK) rows_backward(void *dx, int dx_type, const void *dy, int dy_type, const void *y, int y_type, const float *roots,
                                int rows, int C, int lanes, int add) {
	Group g = group_of(lanes, rows);
	if (C % 8 == 0)
		row_gradient<8>(dx, dx_type, dy, dy_type, y, y_type, roots, g, C, add);
	else
		row_gradient<1>(dx, dx_type, dy, dy_type, y, y_type, roots, g, C, add);
}

template <int W> DEVICE void softmax_row(void *y, int y_type, const void *x, int x_type, const Group &g, int C) {
	float kept[KEPT][W], top = -INFINITY, sum = 0;
	keep(kept, x, x_type, g, C);
	each(kept, x, x_type, g, C, [&](const float (&v)[W], int) {
		for (int e = 0; e < W; e++)
			top = fmaxf(top, v[e]);
	});
	top = most(g, top);
	each(kept, x, x_type, g, C, [&](float (&v)[W], int) {
		for (int e = 0; e < W; e++)
			sum += expf(v[e] - top);
	});
	float part = 1 / add_up(g, sum);
	if (!g.live)
		return;
	each(kept, x, x_type, g, C, [&](float (&v)[W], int i) {
		float out[W];
		for (int e = 0; e < W; e++)
			out[e] = expf(v[e] - top) * part;
		put(y, y_type, g, C, i, out, false);
	});
}

// softmax_forward: y = exp(x - max) / sum. A NaN makes its row NaN.
KERNEL(BLOCK) softmax_forward(void *y, int y_type, const void *x, int x_type, int rows, int C, int lanes) {
	Group g = group_of(lanes, rows);
	if (C % 8 == 0)
		softmax_row<8>(y, y_type, x, x_type, g, C);
	else
		softmax_row<1>(y, y_type, x, x_type, g, C);
}
