package tensortest

import (
	"slices"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Case is one use of an operation. Every registered operation has at least
// one; Cases without are a failure of the suite.
type Case struct {
	Op   string // registered name
	Name string // what is special about it, "" if nothing
	In   []Input
	// Build is the use itself.
	Build func(in []*tensor.Tensor) *tensor.Tensor
	// Ref computes the same in float64 with plain loops and nothing of package
	// tensor: the oracle of values and, by finite differences, of gradients.
	Ref func(in []*Array) *Array
	// Reads says whether output element o may depend on element e of input k:
	// the oracle of the NaN rule.
	Reads func(k int, e, o []int) bool
	// Tol is the error allowed, in units of 1+|value|; 0 means defaultTol.
	// Gradients get gradFactor times as much.
	Tol float64
	// TrainingOnly operations are not held to the NaN rule.
	TrainingOnly bool
}

const (
	defaultTol = 3e-6 // some 25 roundings of float32
	gradFactor = 10
)

// Cases lists every case.
func Cases() []Case {
	return slices.Concat(unaryCases(), binaryCases(), reduceCases(), rowCases(), scanCases(), productCases(), squareCases(),
		causalCases(), solveCases(), expertCases(), attentionCases(), timeCases(), shapeCases(), indexCases(), composeCases(), lossCases())
}

type (
	tensors = []*tensor.Tensor
	arrays  = []*Array
)

// The common patterns of what reads what.

func always(int, []int, []int) bool { return true }

// aligned: the same position, broadcast dimensions repeated.
func aligned(in ...Input) func(k int, e, o []int) bool {
	return func(k int, e, o []int) bool {
		o = o[len(o)-len(e):]
		for i := range e {
			if in[k].Shape[i] > 1 && e[i] != o[i] {
				return false
			}
		}
		return true
	}
}

// along: the same position, but for one axis where test judges.
func along(axis int, test func(e, o int) bool) func(k int, e, o []int) bool {
	return func(_ int, e, o []int) bool {
		for i := range e {
			if i != axis && e[i] != o[i] || i == axis && !test(e[i], o[i]) {
				return false
			}
		}
		return true
	}
}

// whole: anything along one axis.
func whole(axis int) func(k int, e, o []int) bool {
	return along(axis, func(int, int) bool { return true })
}
