package tensor_test

import (
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/cpu"
	"github.com/autoresearch-go/autoresearch/trainer/tensor/tensortest"
)

// TestConformance runs every kernel set that the machine has.
func TestConformance(t *testing.T) {
	for _, kernels := range cpu.Names() {
		t.Run(kernels, func(t *testing.T) {
			tensortest.Run(t, tensortest.Options{Config: tensor.Config{Threads: 2, Kernels: kernels}})
		})
	}
}

// TestConformanceInParts sends every operation through its parallel paths, in
// memory that is NaN until it is written. More threads than cores would spend
// their time waiting for one another; TestThreadsAgree has more.
func TestConformanceInParts(t *testing.T) {
	defer tensor.SmallGrains()()
	defer tensor.DirtyMemory()()
	tensortest.Run(t, tensortest.Options{Config: tensor.Config{Threads: 2}})
}

// TestThreadsAgree wants the bits of one thread from any number of them.
func TestThreadsAgree(t *testing.T) {
	defer tensor.SmallGrains()()
	for _, kernels := range cpu.Names() {
		t.Run(kernels, func(t *testing.T) {
			var l []tensor.Config
			for _, n := range []int{1, 2, 3, 5} {
				l = append(l, tensor.Config{Threads: n, Kernels: kernels})
			}
			tensortest.SameBits(t, l...)
		})
	}
}
