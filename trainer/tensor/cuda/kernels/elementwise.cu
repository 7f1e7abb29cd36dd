// Elementwise operations: y[o] = f(a[o], b[o], c[o]), or y[o] += that, over a nest
// of up to eight loops with a stride for each array in each of them. Repeated
// (broadcast) dimensions have stride 0. Everything that moves elements (permute,
// slice, concat, shift, broadcast) is the same with f = copy.
//
// Inputs of gradients are dy first, then what the formula needs: x or y of unary
// operations, the input in question and the other one of binary ones.

// The operations; source.go reads the names. Those from op_heavy on are too large
// to be had eight at once, and do one element per thread.
enum {
	op_fill, op_copy, op_poison, op_add, op_sub, op_mul, op_div, op_maximum, op_minimum,
	op_greater, op_equal, op_where,
	op_div_other_grad, op_maximum_grad, op_minimum_grad, op_where_grad, op_where_else_grad,
	op_add_scalar, op_scale, op_neg, op_exp, op_log, op_tanh, op_sigmoid, op_relu, op_relu_square,
	op_silu, op_gelu, op_sqrt, op_rsqrt, op_square, op_abs, op_softcap, op_softplus, op_reciprocal,
	op_leaky_relu, op_at_least, op_at_most, op_sign, op_floor,
	op_tanh_grad, op_sigmoid_grad, op_relu_grad, op_relu_square_grad, op_silu_grad, op_gelu_grad,
	op_sqrt_grad, op_rsqrt_grad, op_square_grad, op_abs_grad, op_softcap_grad, op_softplus_grad,
	op_reciprocal_grad, op_leaky_relu_grad, op_at_least_grad, op_at_most_grad, op_erf_grad,
	op_heavy, op_sin, op_cos, op_erf, op_pow, op_sin_grad, op_cos_grad, op_pow_grad,
};

#define GELU 0.7978845608028654f // sqrt(2/pi)

DEVICE float logistic(float x) { return 1.f / (1.f + expf(-x)); }
DEVICE float truth(bool yes, bool no) { return yes ? 1.f : no ? 0.f : NAN32; }
// share is a gradient where the input won: all of it, or half in a tie.
DEVICE float share(float dy, float lead) { return lead > 0.f ? dy : lead == 0.f ? 0.5f * dy : 0.f; }

DEVICE float gelu_grad(float x) {
	float t = tanhf(GELU * (x + 0.044715f * x * x * x));
	return 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * GELU * (1.f + 3.f * 0.044715f * x * x);
}

DEVICE float silu_grad(float x) {
	float s = logistic(x);
	return s * (1.f + x * (1.f - s));
}

#define EACH(name, value) \
	case op_##name: \
		_Pragma("unroll") for (int i = 0; i < W; i++) { \
			float A = a[i], B = b[i], C = c[i]; \
			(void)A, (void)B, (void)C; \
			y[i] = value; \
		} \
		break

// apply computes W results. p is the operation's parameter.
template <int W>
DEVICE void apply(int op, float p, float *y, const float *a, const float *b, const float *c) {
	switch (op) {
		EACH(fill, p);
		EACH(copy, A);
		EACH(poison, A != A ? A : 0.f); // zero, or NaN
		EACH(add, A + B);
		EACH(sub, A - B);
		EACH(mul, A * B);
		EACH(div, A / B);
		EACH(maximum, larger(A, B));
		EACH(minimum, smaller(A, B));
		EACH(greater, truth(A > B, A <= B));
		EACH(equal, truth(A == B, A < B || A > B));
		EACH(where, A != A || B != B || C != C ? NAN32 : A != 0.f ? B : C);
		EACH(div_other_grad, -A * (C / B / B)); // of c/b to b
		EACH(maximum_grad, share(A, B - C));
		EACH(minimum_grad, share(A, C - B));
		EACH(where_grad, B != 0.f ? A : 0.f);
		EACH(where_else_grad, B == 0.f ? A : 0.f);
		EACH(add_scalar, A + p);
		EACH(scale, A * p);
		EACH(neg, -A);
		EACH(exp, expf(A));
		EACH(log, logf(A));
		EACH(tanh, tanhf(A));
		EACH(sigmoid, logistic(A));
		EACH(relu, larger(A, 0.f));
		EACH(relu_square, larger(A, 0.f) * larger(A, 0.f));
		EACH(silu, A * logistic(A));
		EACH(gelu, 0.5f * A * (1.f + tanhf(GELU * (A + 0.044715f * A * A * A))));
		EACH(sqrt, sqrtf(A));
		EACH(rsqrt, rsqrtf(A));
		EACH(square, A * A);
		EACH(abs, fabsf(A));
		EACH(softcap, p * tanhf(A / p));
		EACH(softplus, larger(A, 0.f) + log1pf(expf(-fabsf(A))));
		EACH(reciprocal, 1.f / A);
		EACH(leaky_relu, A > 0.f ? A : p * A);
		EACH(at_least, larger(A, p));
		EACH(at_most, smaller(A, p));
		EACH(sign, A > 0.f ? 1.f : A < 0.f ? -1.f : A); // A is zero, or NaN
		EACH(floor, floorf(A));
		EACH(tanh_grad, A * (1.f - B * B)); // B is y
		EACH(sigmoid_grad, A * B * (1.f - B));
		EACH(relu_grad, B > 0.f ? A : 0.f); // B is x
		EACH(relu_square_grad, 2.f * A * larger(B, 0.f));
		EACH(silu_grad, A * silu_grad(B));
		EACH(gelu_grad, A * gelu_grad(B));
		EACH(sqrt_grad, 0.5f * A / B);               // y
		EACH(rsqrt_grad, -0.5f * A * B * B * B);     // y
		EACH(square_grad, 2.f * A * B);              // x
		EACH(abs_grad, B > 0.f ? A : B < 0.f ? -A : 0.f);
		EACH(softcap_grad, A * (1.f - (B / p) * (B / p))); // y
		EACH(softplus_grad, A * logistic(B));
		EACH(reciprocal_grad, -A * B * B); // y
		EACH(leaky_relu_grad, B > 0.f ? A : p * A);
		EACH(at_least_grad, B > p ? A : 0.f);
		EACH(at_most_grad, B < p ? A : 0.f);
		EACH(erf_grad, A * 1.1283791670955126f * expf(-B * B));
	default:
		if (W == 1)
			switch (op) {
				EACH(sin, sinf(A));
				EACH(cos, cosf(A));
				EACH(erf, erff(A));
				EACH(pow, A != A ? A : powf(A, p)); // NaN to the 0 would be 1
				EACH(sin_grad, A * cosf(B));
				EACH(cos_grad, -A * sinf(B));
				EACH(pow_grad, A * p * powf(B, p - 1.f));
			}
	}
}

// The loops, innermost first, two to an argument; likewise the strides of each
// array. All but the innermost are computed from the position by division.
#define LOOPS(x) long long x##01, long long x##23, long long x##45, long long x##67
#define LOW(x) ((unsigned)(x))
#define HIGH(x) ((unsigned)((unsigned long long)(x) >> 32))

// STEP takes loop k out of rest and moves the offsets.
#define STEP(k, pair, half) \
	if (k < rank) { \
		unsigned i = rest; \
		if (k + 1 < rank) { \
			unsigned d = half(n##pair); \
			rest = i / d; \
			i -= rest * d; \
		} \
		oy += i * half(y##pair), oa += i * half(a##pair), ob += i * half(b##pair), oc += i * half(c##pair); \
	}
#define OFFSETS(position) \
	unsigned rest = position, oy = 0, oa = 0, ob = 0, oc = 0; \
	STEP(0, 01, LOW) STEP(1, 01, HIGH) STEP(2, 23, LOW) STEP(3, 23, HIGH) \
	STEP(4, 45, LOW) STEP(5, 45, HIGH) STEP(6, 67, LOW) STEP(7, 67, HIGH)

// kinds packs the types of y, a, b and c in 4 bits each, with a further bit for an
// input whose innermost stride is 0.
#define KIND(k) (kinds >> (4 * k) & 15)

// part loads eight elements, or one into all, or nothing where there is no array.
DEVICE void part(float v[8], const void *x, int kind, unsigned at) {
	if (!x)
		return;
	if (kind & 8) {
		float s = load(x, kind & 7, at);
		for (int i = 0; i < 8; i++)
			v[i] = s;
	} else {
		load8(v, x, kind & 7, at);
	}
}

// map8 does eight neighbors per thread: the innermost loop has a multiple of
// eight, its strides are 1 (or 0 for inputs), all others are multiples of eight (or
// 0), and addresses are multiples of 16. count is the number of elements.
KERNEL(256) map8(int op, float p, int count, int add, int kinds, int rank, void *y, const void *a, const void *b, const void *c,
	LOOPS(n), LOOPS(y), LOOPS(a), LOOPS(b), LOOPS(c)) {
	FOR_GRID(vector, count / 8) {
		OFFSETS(vector * 8)
		float vy[8], va[8] = {}, vb[8] = {}, vc[8] = {};
		part(va, a, KIND(1), oa);
		part(vb, b, KIND(2), ob);
		part(vc, c, KIND(3), oc);
		apply<8>(op, p, vy, va, vb, vc);
		if (add) {
			load8(va, y, KIND(0), oy);
			for (int i = 0; i < 8; i++)
				vy[i] += va[i];
		}
		store8(y, KIND(0), oy, vy);
	}
}

// map1 is map8 with one element per thread, for anything. from is the first.
KERNEL(256) map1(int op, float p, int count, int add, int kinds, int rank, void *y, const void *a, const void *b, const void *c,
	LOOPS(n), LOOPS(y), LOOPS(a), LOOPS(b), LOOPS(c), int from) {
	FOR_GRID(one, count - from) {
		OFFSETS(one + from)
		float vy = 0.f, va = 0.f, vb = 0.f, vc = 0.f;
		if (a)
			va = load(a, KIND(1) & 7, oa);
		if (b)
			vb = load(b, KIND(2) & 7, ob);
		if (c)
			vc = load(c, KIND(3) & 7, oc);
		apply<1>(op, p, &vy, &va, &vb, &vc);
		store(y, KIND(0), oy, add ? vy + load(y, KIND(0), oy) : vy);
	}
}

// transpose turns [batch, rows, columns] into [batch, columns, rows] by tiles of
// 32 x 32, so that reads and writes are of whole lines: grid (columns / 32,
// rows / 32, batch), block 32 x 8. The tile's rows are 33 long, against conflicts.
KERNEL(256) transpose(void *y, const void *x, int ytype, int xtype, int rows, int columns, int add) {
	__shared__ float tile[32][33];
	size_t base = (size_t)blockIdx.z * rows * columns;
	int r0 = blockIdx.y * 32, c0 = blockIdx.x * 32;
	for (int i = threadIdx.y; i < 32; i += 8)
		if (r0 + i < rows && c0 + (int)threadIdx.x < columns)
			tile[i][threadIdx.x] = load(x, xtype, base + (size_t)(r0 + i) * columns + c0 + threadIdx.x);
	__syncthreads();
	for (int i = threadIdx.y; i < 32; i += 8)
		if (c0 + i < columns && r0 + (int)threadIdx.x < rows) {
			size_t o = base + (size_t)(c0 + i) * rows + r0 + threadIdx.x;
			float v = tile[threadIdx.x][i];
			store(y, ytype, o, add ? v + load(y, ytype, o) : v);
		}
}
