package cuda

import (
	"embed"
	"fmt"

	"github.com/autoresearch-go/autoresearch/gpu"
)

//go:embed kernels
var kernelFiles embed.FS

// source is the text of kernels/<module>.cu behind the device code that all
// kernels share.
func source(module string) string {
	return text("common.cuh") + text("portable.cuh") + "#line 1 \"" + module + ".cu\"\n" + text(module+".cu")
}

func text(file string) string {
	b, err := kernelFiles.ReadFile("kernels/" + file)
	if err != nil {
		panic(fmt.Sprintf("cuda: %v", err))
	}
	return string(b)
}

// launch starts a function of kernels/<module>.cu. Names of functions are
// unique among all modules. It allocates nothing once a function was used.
func (k *Kernels) launch(module, function string, grid, block gpu.Dim, shared int, args ...gpu.Arg) {
	f := k.fns[function]
	if f == nil {
		f = k.dev.Kernel(module, source(module), function)
		if k.fns == nil {
			k.fns = map[string]*gpu.Kernel{}
		}
		k.fns[function] = f
	}
	k.args = append(k.args[:0], args...) // so that args may stay on the caller's stack
	k.dev.Launch(f, grid, block, shared, k.args...)
}

// threads is the block of most kernels that give each thread its own elements.
const threads = 256

// blocks is the grid that gives n items one thread each, as far as that makes
// sense: kernels loop over the rest. Its limit does not depend on the GPU, so
// that sums have the same parts on each: some waves of blocks on the largest.
func blocks(n int) gpu.Dim {
	return gpu.Dim{min(max(1, (n+threads-1)/threads), 1<<14)}
}
