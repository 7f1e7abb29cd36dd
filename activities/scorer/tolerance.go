package scorer

import "fmt"

// Tolerance is what numerics may do: how far two processes that run the same
// model over the same tokens may be apart. All are in nats.
type Tolerance struct {
	// Outlier bounds every single difference between claim and answer. It grows
	// with the loss where that is above ln V, since logits of low precision are
	// wrong in proportion to their size.
	Outlier float64
	// Spread bounds the root of the mean squared difference of an honest program.
	Spread float64
	// Bias bounds the mean difference of an honest program.
	Bias float64
	// Sum bounds the logarithm of what a distribution adds up to.
	Sum float64
}

// Tolerances by the name of the arithmetic, which the target's manifest gives.
// float32 is for programs whose two passes run the same kernels on the same
// shapes, as on a CPU: they differ by rounding at most. bfloat16 is for GPUs,
// where a logit near 10 has steps of 1/16 and sums may come in any order.
var tolerances = map[string]Tolerance{
	"float32":  {Outlier: 0.01, Spread: 0.001, Bias: 1e-5, Sum: 1e-3},
	"bfloat16": {Outlier: 0.25, Spread: 0.02, Bias: 2e-4, Sum: 2e-3},
}

// ToleranceOf returns the tolerance for an arithmetic: float32 or bfloat16.
func ToleranceOf(arithmetic string) (Tolerance, error) {
	t, ok := tolerances[arithmetic]
	if !ok {
		return t, fmt.Errorf("there is no arithmetic %q: it is float32 or bfloat16", arithmetic)
	}
	return t, nil
}
