// Operations along time but attention: scores [batch, T, S] of which row t sees
// columns up to t+S-T, with a window the last so many of them; and convolutions.

DEVICE int sees_from(int t, int rows, int columns, int window) { return max(0, t + columns - rows + 1 - window); }
DEVICE int sees_to(int t, int rows, int columns) { return t + columns - rows + 1; }

// causal_mask copies what is seen and writes 0 elsewhere, or adds what is seen.
KERNEL(256) causal_mask(void *y, int ytype, const void *x, int xtype, int count, int rows, int columns, int window, int add) {
	FOR_GRID(i, count) {
		unsigned row = i / columns;
		int t = row % rows, s = i - row * columns;
		bool seen = s >= sees_from(t, rows, columns, window) && s < sees_to(t, rows, columns);
		float v = seen ? load(x, xtype, i) : 0.f;
		if (!add)
			store(y, ytype, i, v);
		else if (seen)
			store(y, ytype, i, v + load(y, ytype, i));
	}
}

// causal_softmax: a block of 128 takes a row.
KERNEL(128) causal_softmax(void *y, int ytype, const void *x, int xtype, int count, int rows, int columns, int window) {
	__shared__ float scratch[32];
	for (int row = blockIdx.x; row < count; row += gridDim.x) {
		int t = row % rows, from = sees_from(t, rows, columns, window), to = sees_to(t, rows, columns);
		size_t at = (size_t)row * columns;
		float top = __int_as_float(0xff800000), sum = 0.f;
		for (int s = from + threadIdx.x; s < to; s += blockDim.x)
			top = larger(top, load(x, xtype, at + s));
		top = block_max(top, scratch);
		for (int s = from + threadIdx.x; s < to; s += blockDim.x)
			sum += expf(load(x, xtype, at + s) - top);
		float scale = 1.f / block_sum(sum, scratch);
		for (int s = threadIdx.x; s < columns; s += blockDim.x)
			store(y, ytype, at + s, s >= from && s < to ? expf(load(x, xtype, at + s) - top) * scale : 0.f);
	}
}

// causal_softmax_grad adds y (dy - sum(y dy)) to dx.
KERNEL(128) causal_softmax_grad(void *dx, int dxtype, const void *dy, int dytype, const void *y, int ytype, int count, int rows, int columns, int window) {
	__shared__ float scratch[32];
	for (int row = blockIdx.x; row < count; row += gridDim.x) {
		int t = row % rows, from = sees_from(t, rows, columns, window), to = sees_to(t, rows, columns);
		size_t at = (size_t)row * columns;
		float sum = 0.f;
		for (int s = from + threadIdx.x; s < to; s += blockDim.x)
			sum += load(y, ytype, at + s) * load(dy, dytype, at + s);
		sum = block_sum(sum, scratch);
		for (int s = from + threadIdx.x; s < to; s += blockDim.x)
			store(dx, dxtype, at + s, load(dx, dxtype, at + s) + load(y, ytype, at + s) * (load(dy, dytype, at + s) - sum));
	}
}

// causal_conv writes (or adds) the sum over k of x [B,T,C] at t-(K-1-k), for the
// gradient at t+(K-1-k), times w [K,C] at k. What lies outside is zero.
KERNEL(256) causal_conv(void *y, int ytype, const void *x, int xtype, const void *w, int wtype, int batch, int time, int c, int taps, int back, int add) {
	FOR_GRID(i, batch * time * c) {
		unsigned row = i / c, channel = i - row * c;
		int t = row % time;
		float sum = 0.f;
		for (int k = 0; k < taps; k++) {
			int away = back ? taps - 1 - k : k + 1 - taps;
			if (t + away >= 0 && t + away < time)
				sum += load(x, xtype, (size_t)((long long)i + (long long)away * c)) * load(w, wtype, (size_t)k * c + channel);
		}
		store(y, ytype, i, add ? sum + load(y, ytype, i) : sum);
	}
}

// causal_conv_kernel writes, for each part of length rows of [B*T], the sum of dy
// times the x that tap k meets there: [parts, K, C].
KERNEL(256) causal_conv_kernel(float *partial, const void *dy, int dytype, const void *x, int xtype, int rows, int time, int c, int taps, int parts, int length) {
	FOR_GRID(i, parts * taps * c) {
		unsigned part = i / (taps * c), rest = i - part * taps * c, k = rest / c, channel = rest - k * c;
		int from = part * length, to = min(from + length, rows), away = taps - 1 - (int)k;
		float sum = 0.f;
		for (int r = from; r < to; r++)
			if (r % time >= away)
				sum += load(dy, dytype, (size_t)r * c + channel) * load(x, xtype, (size_t)(r - away) * c + channel);
		partial[i] = sum;
	}
}
