// code_length is -log softmax(row)[target] of each row of logits, one block a
// row, in double from the logits on: sums in one order. It is NaN if any logit
// is not finite.
KERNEL(256) code_length(const float *logits, const int *targets, double *nats, int vocab) {
	__shared__ double part[256];
	__shared__ float scratch[32];
	const float *row = logits + (size_t)blockIdx.x * vocab;
	int at = threadIdx.x;
	float top = row[0];
	for (int i = at; i < vocab; i += 256)
		top = larger(top, row[i]);
	top = block_max(top, scratch);
	double sum = 0;
	for (int i = at; i < vocab; i += 256) {
		float v = row[i];
		sum += v - v == 0 ? exp((double)v - (double)top) : (double)NAN32;
	}
	part[at] = sum;
	for (int half = 128; half > 0; half /= 2) {
		__syncthreads();
		if (at < half)
			part[at] += part[at + half];
	}
	if (at == 0)
		nats[blockIdx.x] = log(part[0]) + ((double)top - (double)row[targets[blockIdx.x]]);
}
