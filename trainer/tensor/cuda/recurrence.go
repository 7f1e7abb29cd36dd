package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// columnBlocks is the grid for kernels that give each of n columns a thread:
// blocks are small, since a column takes long.
func columnBlocks(n int) (grid, block gpu.Dim) { return gpu.Dim{(n + 127) / 128}, gpu.Dim{128} }

// Scan is y[i] = a[i] y[i-1] + x[i] along N, from y[0] = x[0].
func (k *Kernels) Scan(l Lanes, y, x, a Array) {
	grid, block := columnBlocks(l.Outer * l.Inner)
	k.launch("recurrence", "scan_forward", grid, block, 0, gpu.Address(y.At), gpu.Int(int(y.Type)), gpu.Address(x.At), gpu.Int(int(x.Type)),
		gpu.Address(a.At), gpu.Int(int(a.Type)), gpu.Int(l.Outer), gpu.Int(l.N), gpu.Int(l.Inner))
}

// ScanBackward writes the gradients of Scan to dx and da, if they have an address,
// or adds them there.
func (k *Kernels) ScanBackward(l Lanes, dx Array, addX bool, da Array, addA bool, dy, y, a Array) {
	grid, block := columnBlocks(l.Outer * l.Inner)
	k.launch("recurrence", "scan_backward", grid, block, 0, gpu.Address(dx.At), gpu.Int(int(dx.Type)), gpu.Int(truth(addX)),
		gpu.Address(da.At), gpu.Int(int(da.Type)), gpu.Int(truth(addA)), gpu.Address(dy.At), gpu.Int(int(dy.Type)),
		gpu.Address(y.At), gpu.Int(int(y.Type)), gpu.Address(a.At), gpu.Int(int(a.Type)), gpu.Int(l.Outer), gpu.Int(l.N), gpu.Int(l.Inner))
}

// Solve is (I + L) y = b for so many systems, L the part of x [t,t] below its
// diagonal, b and y [t,n]; y is float32. With transposed it is (I + Lᵀ) y = b.
func (k *Kernels) Solve(y, x, b Array, systems, t int, transposed bool) {
	function := "solve_forward"
	if transposed {
		function = "solve_transposed"
	}
	n := y.N / (systems * t)
	grid, block := columnBlocks(systems * n)
	k.launch("recurrence", function, grid, block, 0, gpu.Address(y.At), gpu.Address(x.At), gpu.Int(int(x.Type)), gpu.Address(b.At), gpu.Int(int(b.Type)),
		gpu.Int(systems), gpu.Int(t), gpu.Int(n))
}

// SolveDScores is the gradient of Solve for x: -g yᵀ below the diagonal, 0
// elsewhere; with add it is added. g is float32.
func (k *Kernels) SolveDScores(dx, g, y Array, systems, t int, add bool) {
	k.launch("recurrence", "solve_dscores", blocks(systems*t*t), gpu.Dim{threads}, 0, gpu.Address(dx.At), gpu.Int(int(dx.Type)), gpu.Int(truth(add)),
		gpu.Address(g.At), gpu.Address(y.At), gpu.Int(int(y.Type)), gpu.Int(systems), gpu.Int(t), gpu.Int(y.N/(systems*t)))
}

// TopK writes the positions of the n largest of each of the rows of x, larger
// first, earlier first among equals; poison in all of a row with a NaN.
func (k *Kernels) TopK(ids gpu.Ptr, x Array, rows, n int, poison int32) {
	k.launch("recurrence", "top_k", gpu.Dim{(rows + 7) / 8}, gpu.Dim{threads}, 0, gpu.Address(ids), gpu.Address(x.At), gpu.Int(int(x.Type)),
		gpu.Int(rows), gpu.Int(x.N/rows), gpu.Int(n), gpu.Int(int(poison)))
}
