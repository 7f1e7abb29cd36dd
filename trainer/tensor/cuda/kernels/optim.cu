// What optimizers do to whole arrays, each in one pass. Persistent tensors (t,
// p, m, v and gradients) are float32; what they are changed by may be of any
// type. A thread takes eight elements at a time, and the last ones of an array,
// and all of one that is not aligned to 16 bytes, one by one.

// FOR_EIGHTS runs its body with at = 0, 8, 16, ... and count elements from there
// on, 8 but for the end of n.
#define FOR_EIGHTS(at, count, n) \
	for (size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * 8, count; at < (size_t)(n) && (count = (size_t)(n) - at < 8 ? (size_t)(n) - at : 8, true); \
	     at += (size_t)gridDim.x * blockDim.x * 8)

DEVICE void take(float v[8], const void *p, int type, size_t at, size_t count) {
	if (count == 8 && ((size_t)p & 15) == 0)
		load8(v, p, type, at);
	else
		for (size_t i = 0; i < 8; i++)
			v[i] = i < count ? load(p, type, at + i) : 0.f;
}

DEVICE void give(void *p, int type, size_t at, size_t count, const float v[8]) {
	if (count == 8 && ((size_t)p & 15) == 0)
		store8(p, type, at, v);
	else
		for (size_t i = 0; i < count; i++)
			store(p, type, at + i, v[i]);
}

// adamw: see tensor.AdamW. rate is the learning rate over the correction of the
// first moment, c that of the second, keep what decay leaves of p. half, if there
// is one, gets the new p in bfloat16.
KERNEL(256) adamw(float *p, const float *g, float *m, float *v, void *half, int n, float beta1, float beta2, float rate, float c, float eps, float keep) {
	FOR_EIGHTS(at, count, n) {
		float pp[8], gg[8], mm[8], vv[8];
		take(pp, p, F32, at, count), take(gg, g, F32, at, count), take(mm, m, F32, at, count), take(vv, v, F32, at, count);
#pragma unroll
		for (int i = 0; i < 8; i++) {
			mm[i] = beta1 * mm[i] + (1.f - beta1) * gg[i];
			vv[i] = beta2 * vv[i] + (1.f - beta2) * gg[i] * gg[i];
			pp[i] = pp[i] * keep - rate * mm[i] / (sqrtf(vv[i]) * c + eps);
		}
		give(p, F32, at, count, pp), give(m, F32, at, count, mm), give(v, F32, at, count, vv);
		if (half)
			give(half, BF16, at, count, pp);
	}
}

// lerp: t += w * (b - t)
KERNEL(256) lerp(void *t, int typeT, const void *b, int typeB, int n, float w) {
	FOR_EIGHTS(at, count, n) {
		float x[8], y[8];
		take(x, t, typeT, at, count), take(y, b, typeB, at, count);
#pragma unroll
		for (int i = 0; i < 8; i++)
			x[i] += w * (y[i] - x[i]);
		give(t, typeT, at, count, x);
	}
}

// add_scaled: t += s * b, times *factor if there is one
KERNEL(256) add_scaled(void *t, int typeT, const void *b, int typeB, int n, float s, const float *factor) {
	if (factor)
		s *= *factor;
	FOR_EIGHTS(at, count, n) {
		float x[8], y[8];
		take(x, t, typeT, at, count), take(y, b, typeB, at, count);
#pragma unroll
		for (int i = 0; i < 8; i++)
			x[i] += s * y[i];
		give(t, typeT, at, count, x);
	}
}

// scale_in_place: t *= s, times *factor if there is one; nothing is touched if that is 1
KERNEL(256) scale_in_place(void *t, int type, int n, float s, const float *factor) {
	if (factor)
		s *= *factor;
	if (s == 1.f)
		return;
	FOR_EIGHTS(at, count, n) {
		float x[8];
		take(x, t, type, at, count);
#pragma unroll
		for (int i = 0; i < 8; i++)
			x[i] *= s;
		give(t, type, at, count, x);
	}
}

// cautious_step: t -= lr * u, and also decay * t where u and t have one sign
KERNEL(256) cautious_step(float *t, const void *u, int typeU, int n, float lr, float decay) {
	FOR_EIGHTS(at, count, n) {
		float x[8], y[8];
		take(x, t, F32, at, count), take(y, u, typeU, at, count);
#pragma unroll
		for (int i = 0; i < 8; i++) {
			float d = lr * y[i];
			if (y[i] * x[i] >= 0.f)
				d += decay * x[i];
			x[i] -= d;
		}
		give(t, F32, at, count, x);
	}
}

// cast_array copies an array, rounding where the types say so
KERNEL(256) cast_array(void *to, int typeTo, const void *from, int typeFrom, int n) {
	FOR_EIGHTS(at, count, n) {
		float x[8];
		take(x, from, typeFrom, at, count);
		give(to, typeTo, at, count, x);
	}
}

KERNEL(256) fill_array(void *t, int type, int n, float x) {
	float v[8] = {x, x, x, x, x, x, x, x};
	FOR_EIGHTS(at, count, n) { give(t, type, at, count, v); }
}

// total_parts leaves one sum per block, in float64, of elements or of their
// squares; total_whole adds those up and gives scale * sum, or its root. Both add
// in an order that depends on n only.
KERNEL(256) total_parts(double *parts, const void *x, int type, int n, int squares) {
	__shared__ double scratch[256];
	double s = 0;
	FOR_EIGHTS(at, count, n) {
		float v[8];
		take(v, x, type, at, count);
#pragma unroll
		for (int i = 0; i < 8; i++)
			s += squares ? (double)v[i] * v[i] : (double)v[i];
	}
	scratch[threadIdx.x] = s;
	for (int half = 128; half > 0; half /= 2) {
		__syncthreads();
		if (threadIdx.x < half)
			scratch[threadIdx.x] += scratch[threadIdx.x + half];
	}
	if (threadIdx.x == 0)
		parts[blockIdx.x] = scratch[0];
}

KERNEL(256) total_whole(float *out, const double *parts, int n, double factor, int root) {
	__shared__ double scratch[256];
	double s = 0;
	for (int i = threadIdx.x; i < n; i += 256)
		s += parts[i];
	scratch[threadIdx.x] = s;
	for (int half = 128; half > 0; half /= 2) {
		__syncthreads();
		if (threadIdx.x < half)
			scratch[threadIdx.x] += scratch[threadIdx.x + half];
	}
	if (threadIdx.x == 0)
		*out = (float)(root ? sqrt(scratch[0] * factor) : scratch[0] * factor);
}
