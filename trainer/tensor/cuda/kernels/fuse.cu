// Elementwise operations that usually follow each other, in one pass.

// weigh writes a u + b v. The weights u and v repeat: each of their elements is for
// per_u (per_v) elements in a row, a multiple of 8, or for all; without an address
// they are 1. count is a multiple of 8.
KERNEL(256) weigh(void *y, int ytype, const void *a, int atype, const void *u, int utype, int per_u,
	const void *b, int btype, const void *v, int vtype, int per_v, int count) {
	FOR_GRID(vector, count / 8) {
		unsigned i = vector * 8;
		float x[8], z[8];
		load8(x, a, atype, i);
		load8(z, b, btype, i);
		float wx = u ? load(u, utype, i / per_u) : 1.f, wz = v ? load(v, vtype, i / per_v) : 1.f;
		for (int k = 0; k < 8; k++)
			x[k] = x[k] * wx + z[k] * wz;
		store8(y, ytype, i, x);
	}
}

// weigh_grad is the gradient of x times one number w: dx (+)= dy w, and for each
// block the sum of its dy x, to partial. count is a multiple of 8.
KERNEL(256) weigh_grad(void *dx, int dxtype, int add, float *partial, const void *dy, int dytype, const void *x, int xtype,
	const void *w, int wtype, int count) {
	__shared__ float scratch[32];
	float weight = load(w, wtype, 0), sum = 0.f;
	FOR_GRID(vector, count / 8) {
		unsigned i = vector * 8;
		float g[8], v[8];
		load8(g, dy, dytype, i);
		load8(v, x, xtype, i);
		for (int k = 0; k < 8; k++)
			sum += g[k] * v[k];
		if (add)
			load8(v, dx, dxtype, i);
		for (int k = 0; k < 8; k++)
			v[k] = g[k] * weight + (add ? v[k] : 0.f);
		store8(dx, dxtype, i, v);
	}
	sum = block_sum(sum, scratch);
	if (threadIdx.x == 0)
		partial[blockIdx.x] = sum;
}
