package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// Array is an array in GPU memory: N elements of a type. Where it is aligned to 16
// bytes, as all that Alloc returns is, it is read and written in large pieces.
type Array struct {
	At   gpu.Ptr
	Type gpu.Type
	N    int
}
