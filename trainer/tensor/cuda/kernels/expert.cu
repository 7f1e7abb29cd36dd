// The parts of expert_matmul that are no products: rows times all experts' matrices
// side by side, [rows, experts * n], are computed first, and each row keeps what
// its own expert gave.

// expert_wild sets flags[j] where row j of any expert's matrix [n,k] has a NaN: any
// expert could have been chosen. A block does one j.
KERNEL(256) expert_wild(int *flags, const void *w, int type, int experts, int n, int k) {
	__shared__ float scratch[32];
	float bad = 0.f;
	for (int e = 0; e < experts; e++)
		for (int i = threadIdx.x; i < k; i += 256) {
			float v = load(w, type, ((size_t)e * n + blockIdx.x) * k + i);
			bad = v != v ? 1.f : bad;
		}
	bad = block_sum(bad, scratch);
	if (threadIdx.x == 0)
		flags[blockIdx.x] = bad > 0.f;
}

// expert_select: out [rows,n] from all [rows, experts * n]; ids that are none give
// NaN.
KERNEL(256) expert_select(void *out, int typeOut, const void *all, int typeAll, const int *ids, const int *flags, int rows, int experts, int n) {
	FOR_GRID(i, rows * n) {
		int row = i / n, j = i % n, id = ids[row];
		float v = NAN32;
		if (id >= 0 && id < experts && !flags[j])
			v = load(all, typeAll, ((size_t)row * experts + id) * n + j);
		store(out, typeOut, i, v);
	}
}

// expert_spread is the way back: all [rows, experts * n] has dout [rows,n] where the
// row's expert is, and zeros.
KERNEL(256) expert_spread(void *all, int typeAll, const void *dout, int typeOut, const int *ids, int rows, int experts, int n) {
	FOR_GRID(i, rows * experts * n) {
		int row = i / (experts * n), e = i / n % experts, j = i % n;
		store(all, typeAll, i, ids[row] == e ? load(dout, typeOut, (size_t)row * n + j) : 0.f);
	}
}
