package tensortest

import (
	"math"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

func toFloats(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func fromFloats(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// toInts makes ids; NaN stands for poison.
func toInts(x []float64) []int32 {
	y := make([]int32, len(x))
	for i, v := range x {
		if y[i] = int32(v); v != v {
			y[i] = tensor.PoisonID
		}
	}
	return y
}

func fromInts(x []int32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		if y[i] = float64(v); v == tensor.PoisonID {
			y[i] = math.NaN()
		}
	}
	return y
}
