// Cross entropy of rows of logits, with its gradient. A block takes one row.
//
// The loss of a row z with target t is log(sum exp z) - z[t] in nats; with a cap
// above 0 the logits are capped first, to cap * tanh(z / cap). Its gradient,
// times f, is f * (softmax(z) - onehot(t)), times 1 - tanh^2 with a cap. Rows
// whose target is not an id (a poisoned one) are NaN, loss and gradient.
//
// g may be the array of the logits itself, or null, which asks for no gradient.
// Rows are ld elements apart.

#define LOSS_THREADS 512

// With a cap up to this the cap itself is subtracted from the logits, instead
// of the largest of them, before they are raised: exp(-2 * cap) is far from
// underflow, and nobody has to look for the largest.
#define EASY_CAP 40.f

// hyperbolic is tanh x within 2e-7, NaN for NaN: what matters of a capped logit
// is its absolute error.
DEVICE float hyperbolic(float x) { return 1.f - 2.f / (1.f + __expf(2.f * x)); }

// raised is e^x of one of a row's logits, which are at most 0 here.
DEVICE float raised(float x, int type) { return type == BF16 ? __expf(x) : expf(x); }

// finish_row writes the loss of the block's row: sum is that of the exponentials
// after most was subtracted, own is the target's logit, capped.
DEVICE void finish_row(float *losses, int id, float sum, float most, float own) {
	if (threadIdx.x == 0)
		losses[blockIdx.x] = id < 0 ? NAN32 : logf(sum) + most - own;
}

// row_in_registers reads and writes a row once, in vectors of eight, of which a
// thread keeps so many: v is at most 8 * VECTORS * LOSS_THREADS. Addresses and ld
// are multiples of 8 elements; those between v and ld may be overwritten.
template <int VECTORS>
DEVICE void row_in_registers(const void *z, void *g, int type, const int *ids, float *losses, int v, int ld, float cap, float f) {
	__shared__ float scratch[32];
	size_t row = (size_t)blockIdx.x * ld;
	int id = ids[blockIdx.x];
	if (id >= v)
		id = -1;
	// The target's logit, before anybody overwrites it.
	float own = id < 0 ? 0.f : load(z, type, row + id), slope = 1.f, inverse = cap > 0.f ? 1.f / cap : 0.f;
	if (cap > 0.f) {
		float t = hyperbolic(own * inverse);
		own = cap * t, slope = 1.f - t * t;
	}

	float x[VECTORS][8]; // logits, or their tanh; at last what the softmax is made of
	float most = cap;
	if (cap == 0.f || cap > EASY_CAP)
		most = -__int_as_float(0x7f800000);
#pragma unroll
	for (int p = 0; p < VECTORS; p++) {
		int at = (p * LOSS_THREADS + threadIdx.x) * 8;
		if (at >= v)
			continue;
		load8(x[p], z, type, row + at);
#pragma unroll
		for (int i = 0; i < 8; i++) {
			if (cap > 0.f)
				x[p][i] = hyperbolic(x[p][i] * inverse);
			if ((cap == 0.f || cap > EASY_CAP) && at + i < v)
				most = larger(most, cap > 0.f ? cap * x[p][i] : x[p][i]);
		}
	}
	if (cap == 0.f || cap > EASY_CAP)
		most = block_max(most, scratch);

	float sum = 0.f;
#pragma unroll
	for (int p = 0; p < VECTORS; p++) {
		int at = (p * LOSS_THREADS + threadIdx.x) * 8;
		if (at >= v)
			continue;
#pragma unroll
		for (int i = 0; i < 8; i++) {
			float t = x[p][i];
			float e = at + i < v ? raised(cap > 0.f ? cap * t - most : t - most, type) : 0.f;
			sum += e;
			x[p][i] = at + i >= v ? 0.f : cap > 0.f ? e * (1.f - t * t) : e;
		}
	}
	sum = block_sum(sum, scratch); // behind its barriers everybody has read own
	finish_row(losses, id, sum, most, own);
	if (!g)
		return;

	float each = id < 0 ? NAN32 : f / sum;
#pragma unroll
	for (int p = 0; p < VECTORS; p++) {
		int at = (p * LOSS_THREADS + threadIdx.x) * 8;
		if (at >= v)
			continue;
#pragma unroll
		for (int i = 0; i < 8; i++) {
			x[p][i] *= each;
			if (at + i == id)
				x[p][i] -= f * slope;
		}
		store8(g, type, row + at, x[p]);
	}
}

KERNEL(LOSS_THREADS) loss_rows_1(const void *z, void *g, int type, const int *ids, float *losses, int v, int ld, float cap, float f) {
	row_in_registers<1>(z, g, type, ids, losses, v, ld, cap, f);
}

KERNEL(LOSS_THREADS) loss_rows_2(const void *z, void *g, int type, const int *ids, float *losses, int v, int ld, float cap, float f) {
	row_in_registers<2>(z, g, type, ids, losses, v, ld, cap, f);
}

KERNEL(LOSS_THREADS) loss_rows_4(const void *z, void *g, int type, const int *ids, float *losses, int v, int ld, float cap, float f) {
	row_in_registers<4>(z, g, type, ids, losses, v, ld, cap, f);
}

KERNEL(LOSS_THREADS) loss_rows_8(const void *z, void *g, int type, const int *ids, float *losses, int v, int ld, float cap, float f) {
	row_in_registers<8>(z, g, type, ids, losses, v, ld, cap, f);
}

// loss_rows_any is for rows of any length and alignment: it reads them three
// times, twice with a cap that is easy.
KERNEL(LOSS_THREADS) loss_rows_any(const void *z, void *g, int type, const int *ids, float *losses, int v, int ld, float cap, float f) {
	__shared__ float scratch[32];
	size_t row = (size_t)blockIdx.x * ld;
	int id = ids[blockIdx.x];
	if (id >= v)
		id = -1;
	float own = id < 0 ? 0.f : load(z, type, row + id), slope = 1.f, inverse = cap > 0.f ? 1.f / cap : 0.f;
	if (cap > 0.f) {
		float t = hyperbolic(own * inverse);
		own = cap * t, slope = 1.f - t * t;
	}
	float most = cap;
	if (cap == 0.f || cap > EASY_CAP) {
		most = -__int_as_float(0x7f800000);
		for (int i = threadIdx.x; i < v; i += LOSS_THREADS) {
			float x = load(z, type, row + i);
			most = larger(most, cap > 0.f ? cap * hyperbolic(x * inverse) : x);
		}
		most = block_max(most, scratch);
	}
	float sum = 0.f;
	for (int i = threadIdx.x; i < v; i += LOSS_THREADS) {
		float x = load(z, type, row + i);
		sum += raised((cap > 0.f ? cap * hyperbolic(x * inverse) : x) - most, type);
	}
	sum = block_sum(sum, scratch);
	finish_row(losses, id, sum, most, own);
	if (!g)
		return;
	float each = id < 0 ? NAN32 : f / sum;
	for (int i = threadIdx.x; i < v; i += LOSS_THREADS) {
		float x = load(z, type, row + i), d;
		if (cap > 0.f) {
			float t = hyperbolic(x * inverse);
			d = raised(cap * t - most, type) * (1.f - t * t) * each;
		} else {
			d = raised(x - most, type) * each;
		}
		store(g, type, row + i, i == id ? d - f * slope : d);
	}
}
