package cuda

import "github.com/autoresearch-go/autoresearch/gpu"

// Embed copies rows of table [v,c] to y [n,c]: NaN where ids [n] are not in 0..v-1,
// and in columns where the table has a NaN.
func (k *Kernels) Embed(y, table Array, ids gpu.Ptr, n, v, c int) {
	poison := k.scratch(c)
	defer k.dev.Free(poison.At)
	k.Reduce("poison", 1, false, poison, table, Array{}, Array{}, Lanes{1, v, c})
	vec := c%8 == 0 && whole(y) && whole(table)
	items := n * c
	if vec {
		items /= 8
	}
	k.launch("index", "embed", blocks(items), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(table.At), typed(table),
		gpu.Address(ids), gpu.Address(poison.At), gpu.Int(n), gpu.Int(v), gpu.Int(c), flag(vec))
}

// SortedIDs are the positions of N ids in order of the ids, equal ones as they
// were, for tables of V rows: in memory of Size int32, where they begin, then the
// positions, then their ids.
type SortedIDs struct {
	At   gpu.Ptr
	N, V int
}

// Size is how many int32 they take.
func (s SortedIDs) Size() int { return s.V + 2 + 2*s.N }

func (s SortedIDs) order() gpu.Ptr { return s.At.At(int64(s.V+2) * 4) }
func (s SortedIDs) ids() gpu.Ptr   { return s.order().At(int64(s.N) * 4) }

// The counting sort gives chunks of ids to warps, each of which counts in an array
// of its own; there are no more chunks than serve, nor than fit in so many numbers.
const (
	mostChunks, leastChunk = 256, 128
	sortNumbers            = 1 << 22
)

// SortIDs fills s from ids [s.N]. Those not in 0..s.V-1 come last.
func (k *Kernels) SortIDs(s SortedIDs, ids gpu.Ptr) {
	n, v, buckets := s.N, s.V, s.V+1
	chunks := max(1, min(mostChunks, n/leastChunk, sortNumbers/buckets))
	chunk := roundUp((n+chunks-1)/chunks, 32)
	chunks = (n + chunk - 1) / chunk
	counts := k.dev.Alloc(int64(chunks) * int64(buckets) * 4)
	defer k.dev.Free(counts)
	k.dev.Clear(counts, int64(chunks)*int64(buckets)*4)
	warp := gpu.Dim{32}
	k.launch("index", "sort_count", gpu.Dim{chunks}, warp, 0, gpu.Address(counts), gpu.Address(ids), gpu.Int(n), gpu.Int(chunk), gpu.Int(v))
	k.launch("index", "sort_chunks", blocks(buckets), gpu.Dim{threads}, 0, gpu.Address(counts), gpu.Address(s.At), gpu.Int(chunks), gpu.Int(buckets))
	k.launch("index", "sort_starts", gpu.Dim{1}, gpu.Dim{1024}, 0, gpu.Address(s.At), gpu.Int(buckets), gpu.Int(n))
	k.launch("index", "sort_fill", gpu.Dim{chunks}, warp, 0, gpu.Address(s.order()), gpu.Address(s.ids()), gpu.Address(counts), gpu.Address(s.At),
		gpu.Address(ids), gpu.Int(n), gpu.Int(chunk), gpu.Int(v))
}

// embedRun is how many sorted positions a block of embed_grad takes: RUN there.
const embedRun = 128

// EmbedGrad adds to dtable [s.V,c] the rows of dy [s.N,c] of each id, in order of
// their positions in runs of embedRun.
func (k *Kernels) EmbedGrad(dtable, dy Array, s SortedIDs, c int) {
	n, v := s.N, s.V
	runs := (n + embedRun - 1) / embedRun
	partial := k.scratch(runs * 2 * c)
	defer k.dev.Free(partial.At)
	vec, columns := c%8 == 0 && whole(dtable) && whole(dy), c
	if vec {
		columns /= 8
	}
	block := gpu.Dim{min(threads, roundUp(columns, 32))}
	k.launch("index", "embed_grad", gpu.Dim{runs}, block, 0, gpu.Address(dtable.At), typed(dtable), gpu.Address(partial.At), gpu.Address(dy.At), typed(dy),
		gpu.Address(s.order()), gpu.Address(s.ids()), gpu.Int(n), gpu.Int(v), gpu.Int(c), flag(vec))
	if runs > 1 {
		k.launch("index", "embed_join", gpu.Dim{runs}, gpu.Dim{min(threads, roundUp(c, 32))}, 0, gpu.Address(dtable.At), typed(dtable), gpu.Address(partial.At),
			gpu.Address(s.ids()), gpu.Address(s.At), gpu.Int(n), gpu.Int(v), gpu.Int(c))
	}
}

// ScatterRows adds to y [s.V,c] the rows of x [s.N,c] of each id, as EmbedGrad does.
// Columns of y become NaN where x has a NaN, all if an id is not in 0..s.V-1.
func (k *Kernels) ScatterRows(y, x Array, s SortedIDs, c int) {
	poison := k.scratch(c)
	defer k.dev.Free(poison.At)
	k.Reduce("poison", 1, false, poison, x, Array{}, Array{}, Lanes{1, s.N, c})
	k.EmbedGrad(y, x, s, c)
	k.launch("index", "poison_columns", blocks(y.N), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(poison.At), gpu.Address(s.At),
		gpu.Int(s.N), gpu.Int(s.V), gpu.Int(c))
}

// Picks are ids into the N of large arrays [Outer, N, Inner], which make small
// ones [Outer, Count, Inner]: [Outer, Count, Inner] of them, or with Shared
// [Count] for all lines.
type Picks struct {
	Lanes
	IDs    gpu.Ptr
	Count  int
	Shared bool
}

func (p *Picks) args() [5]gpu.Arg {
	return [5]gpu.Arg{gpu.Int(p.Outer), gpu.Int(p.N), gpu.Int(p.Inner), gpu.Int(p.Count), flag(p.Shared)}
}

// Gather is y = x at the ids; NaN where they are not in 0..N-1, and in lines where
// x has a NaN.
func (k *Kernels) Gather(y, x Array, p Picks) {
	poison := k.scratch(p.Outer * p.Inner)
	defer k.dev.Free(poison.At)
	k.Reduce("poison", 1, false, poison, x, Array{}, Array{}, p.Lanes)
	k.gather(y, x, poison.At, p)
}

// GatherAdd adds x at the ids to y, nothing where they are not in 0..N-1.
func (k *Kernels) GatherAdd(y, x Array, p Picks) { k.gather(y, x, 0, p) }

func (k *Kernels) gather(y, x Array, poison gpu.Ptr, p Picks) {
	a := p.args()
	k.launch("index", "gather", blocks(p.Outer*p.Count*p.Inner), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x),
		gpu.Address(p.IDs), gpu.Address(poison), a[0], a[1], a[2], a[3], a[4])
}

// ScatterAdd adds the small x to the large y at the ids, in their order. With
// poison lines become NaN whose ids are not all in 0..N-1, or whose x has a NaN.
func (k *Kernels) ScatterAdd(y, x Array, p Picks, poison bool) {
	a := p.args()
	k.launch("index", "scatter", blocks(p.Outer*p.Inner), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(x.At), typed(x),
		gpu.Address(p.IDs), a[0], a[1], a[2], a[3], a[4], flag(poison))
}

// OneHot writes y [.., n]: 1 at the id, 0 elsewhere, NaN for ids not in 0..n-1.
func (k *Kernels) OneHot(y Array, ids gpu.Ptr, n int) {
	k.launch("index", "one_hot", blocks(y.N), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(ids), gpu.Int(y.N), gpu.Int(n))
}

// ToFloat writes ids as floats, NaN for those below 0.
func (k *Kernels) ToFloat(y Array, ids gpu.Ptr) {
	k.launch("index", "to_float", blocks(y.N), gpu.Dim{threads}, 0, gpu.Address(y.At), typed(y), gpu.Address(ids), gpu.Int(y.N))
}

// HashIDs writes (a mul + b) mod m of n ids, -1 where a or b is below 0.
func (k *Kernels) HashIDs(y, a, b gpu.Ptr, n int, mul, m int64) {
	k.launch("index", "hash_ids", blocks(n), gpu.Dim{threads}, 0, gpu.Address(y), gpu.Address(a), gpu.Address(b), gpu.Int(n), gpu.Long(mul), gpu.Long(m))
}
