package main

import (
	"math"
	"sync"
)

// codeLength adds up what it costs, in bits, to encode the target of each row
// of logits with the probabilities that the row's softmax gives. logits is
// [n, V] row by row, targets [n]. It works in float64 from the logits on, rows
// spread over so many goroutines; the sum has one order whatever their number.
func codeLength(logits []float32, targets []int32, V, cores int) float64 {
	bits := make([]float64, len(targets))
	var wait sync.WaitGroup
	for part := range cores {
		lo, hi := len(targets)*part/cores, len(targets)*(part+1)/cores
		wait.Go(func() {
			for i := lo; i < hi; i++ {
				row := logits[i*V : (i+1)*V]
				bits[i] = rowBits(row, targets[i])
			}
		})
	}
	wait.Wait()
	total := 0.0
	for _, v := range bits {
		total += v
	}
	return total
}

// rowBits returns -log2 of the probability that the softmax of row gives to
// target. It is NaN if any logit is NaN or infinite.
func rowBits(row []float32, target int32) float64 {
	top := row[0]
	for _, v := range row {
		if v > top {
			top = v
		}
	}
	sum := 0.0
	for _, v := range row {
		sum += expNegative(float64(v) - float64(top))
	}
	return math.Log2(sum) + (float64(top)-float64(row[target]))/math.Ln2
}

// expTable holds 2^(i/256). With it an exponential takes a third of the time of
// math.Exp, which alone would cost a quarter of a forward pass.
var expTable = func() (table [256]float64) {
	for i := range table {
		table[i] = math.Exp2(float64(i) / 256)
	}
	return table
}()

// expNegative returns exp(x) for x <= 0 with a relative error below 1e-11:
// 2^e from the exponent bits, 2^(i/256) from the table, the rest, at most
// 0.0014 in size, from the series.
func expNegative(x float64) float64 {
	const step = math.Ln2 / 256
	if !(x > -700) { // underflow in all but name, or NaN
		return x - x // 0, or NaN
	}
	k := int64(x*(1/step) - 0.5) // rounds to the nearest, as x <= 0
	r := x - float64(k)*step
	bits := math.Float64bits(expTable[k&255]) + uint64(k>>8)<<52
	return math.Float64frombits(bits) * (1 + r*(1+r*(0.5+r*(1.0/6))))
}
