// Rotary position embedding (Su et al. 2021, "RoFormer"), alone and with the RMSNorm
// of each head behind it, which queries and keys go through (Henry et al. 2020,
// "Query-Key Normalization"): read once, written once.
//
//   x, y [B,T,NH,D]   table [T,D] float: cosines of D/2 angles, then sines
//   roots [B,T,NH] float, the reciprocal of each rotated head's root mean square
//
// A head belongs to a group of neighboring lanes, a power of two of them. Lane l has
// the channels 8l..8l+7 of the first half and their partners in the second, so D is
// at most 512.

#define BLOCK 256

// Pairs is what a lane has of a head.
struct Pairs {
	float a[8], b[8]; // channels i and i + D/2
};

struct Head {
	int lanes, lane, row, t, D;
	bool live;
};

DEVICE Head head_of(int lanes, int rows, int T, int NH, int D) {
	Head h;
	h.lanes = lanes, h.lane = threadIdx.x % lanes, h.D = D;
	h.row = blockIdx.x * (BLOCK / lanes) + threadIdx.x / lanes;
	h.live = h.row < rows;
	if (!h.live)
		h.row = rows - 1;
	h.t = h.row / NH % T;
	return h;
}

// get_half is eight channels from i on of half the head's size, zeros behind.
DEVICE void get_half(float v[8], const void *p, int type, size_t at, int i, int half) {
	if (half % 8 == 0) {
		load8(v, p, type, at + i);
		return;
	}
	for (int e = 0; e < 8; e++)
		v[e] = i + e < half ? load(p, type, at + i + e) : 0.f;
}

DEVICE void put_half(void *p, int type, size_t at, int i, int half, const float v[8], bool add) {
	float w[8];
	if (half % 8 == 0) {
		if (add)
			load8(w, p, type, at + i);
		for (int e = 0; e < 8; e++)
			w[e] = add ? w[e] + v[e] : v[e];
		store8(p, type, at + i, w);
		return;
	}
	for (int e = 0; e < 8 && i + e < half; e++)
		store(p, type, at + i + e, add ? v[e] + load(p, type, at + i + e) : v[e]);
}

DEVICE Pairs get_pairs(const void *p, int type, const Head &h, size_t at) {
	Pairs x;
	int half = h.D / 2;
	for (int e = 0; e < 8; e++)
		x.a[e] = x.b[e] = 0;
	if (8 * h.lane < half) {
		get_half(x.a, p, type, at, 8 * h.lane, half);
		get_half(x.b, p, type, at + half, 8 * h.lane, half);
	}
	return x;
}

DEVICE void put_pairs(void *p, int type, const Head &h, const Pairs &x, bool add) {
	int half = h.D / 2;
	size_t at = (size_t)h.row * h.D;
	if (8 * h.lane < half && h.live) {
		put_half(p, type, at, 8 * h.lane, half, x.a, add);
		put_half(p, type, at + half, 8 * h.lane, half, x.b, add);
	}
}

// turn rotates the pairs by the angles of the head's position times sign.
DEVICE void turn(Pairs &x, const float *table, const Head &h, float sign) {
	Pairs angles = get_pairs(table, F32, h, (size_t)h.t * h.D);
#pragma unroll
	for (int e = 0; e < 8; e++) {
		float a = x.a[e], b = x.b[e], c = angles.a[e], s = angles.b[e] * sign;
		x.a[e] = a * c + b * s;
		x.b[e] = b * c - a * s;
	}
}

DEVICE float dot(const Pairs &x, const Pairs &y, int lanes) {
	float s = 0;
#pragma unroll
	for (int e = 0; e < 8; e++)
		s += x.a[e] * y.a[e] + x.b[e] * y.b[e];
	return warp_sum(s, lanes);
}

DEVICE void scale_pairs(Pairs &x, float f) {
#pragma unroll
	for (int e = 0; e < 8; e++)
		x.a[e] *= f, x.b[e] *= f;
}

// rope turns x by sign and writes y, or adds to it: forward with 1, backward with -1.
KERNEL(BLOCK) rope(void *y, int y_type, const void *x, int x_type, const float *table, int rows, int T, int NH, int D, int lanes,
                   float sign, int add) {
	Head h = head_of(lanes, rows, T, NH, D);
	Pairs p = get_pairs(x, x_type, h, (size_t)h.row * D);
	turn(p, table, h, sign);
	put_pairs(y, y_type, h, p, add);
}

// rope_norm_forward: y = RMSNorm(RoPE(x)).
KERNEL(BLOCK) rope_norm_forward(void *y, int y_type, float *roots, const void *x, int x_type, const float *table, int rows, int T,
                                int NH, int D, int lanes, float eps) {
	Head h = head_of(lanes, rows, T, NH, D);
	Pairs p = get_pairs(x, x_type, h, (size_t)h.row * D);
	turn(p, table, h, 1);
	float root = 1 / sqrtf(dot(p, p, lanes) / D + eps);
	if (roots && h.lane == 0 && h.live)
		roots[h.row] = root;
	scale_pairs(p, root);
	put_pairs(y, y_type, h, p, false);
}

// rope_norm_backward: dx = RoPE backward of root * (dy - y mean(dy y)).
KERNEL(BLOCK) rope_norm_backward(void *dx, int dx_type, const void *dy, int dy_type, const void *y, int y_type, const float *roots,
                                 const float *table, int rows, int T, int NH, int D, int lanes, int add) {
	Head h = head_of(lanes, rows, T, NH, D);
	Pairs p = get_pairs(dy, dy_type, h, (size_t)h.row * D), q = get_pairs(y, y_type, h, (size_t)h.row * D);
	float mean = dot(p, q, lanes) / D, root = roots[h.row];
#pragma unroll
	for (int e = 0; e < 8; e++) {
		p.a[e] = root * (p.a[e] - q.a[e] * mean);
		p.b[e] = root * (p.b[e] - q.b[e] * mean);
	}
	turn(p, table, h, -1);
	put_pairs(dx, dx_type, h, p, add);
}
