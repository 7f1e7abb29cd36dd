package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// ExpertWild writes to flags, n of int32, which rows of the matrices w
// [experts,n,k] have a NaN in any of them.
func (k *Kernels) ExpertWild(flags gpu.Ptr, w Array, experts, n int) {
	k.launch("expert", "expert_wild", gpu.Dim{n}, gpu.Dim{threads}, 0, gpu.Address(flags), gpu.Address(w.At), gpu.Int(int(w.Type)),
		gpu.Int(experts), gpu.Int(n), gpu.Int(w.N/(experts*n)))
}

// ExpertSelect keeps of all [rows,experts,n] what each row's id names: out
// [rows,n], NaN where the id names none and in flagged columns.
func (k *Kernels) ExpertSelect(out, all Array, ids, flags gpu.Ptr, rows, experts, n int) {
	k.launch("expert", "expert_select", blocks(rows*n), gpu.Dim{threads}, 0, gpu.Address(out.At), gpu.Int(int(out.Type)),
		gpu.Address(all.At), gpu.Int(int(all.Type)), gpu.Address(ids), gpu.Address(flags), gpu.Int(rows), gpu.Int(experts), gpu.Int(n))
}

// ExpertSpread puts dout [rows,n] where each row's id says in all
// [rows,experts,n], and zeros elsewhere.
func (k *Kernels) ExpertSpread(all, dout Array, ids gpu.Ptr, rows, experts, n int) {
	k.launch("expert", "expert_spread", blocks(rows*experts*n), gpu.Dim{threads}, 0, gpu.Address(all.At), gpu.Int(int(all.Type)),
		gpu.Address(dout.At), gpu.Int(int(dout.Type)), gpu.Address(ids), gpu.Int(rows), gpu.Int(experts), gpu.Int(n))
}
