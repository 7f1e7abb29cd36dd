package tensor

import (
	"fmt"
	"slices"
)

// opCausalMatMul works on blocks of rows. A block copies what it sees of the
// scores next to zeros and is one product. What a row does not see leaves no
// trace in it: see mixBlock.
var opCausalMatMul = register(Op{
	Name: "causal_matmul", Arity: 2, Ints: []string{"window"},
	Infer: func(a Attrs, in []Spec) (Spec, error) {
		if _, err := inferCausal(a, in); err != nil {
			return Spec{}, err
		}
		x, v := in[0].Shape, in[1].Shape
		if len(v) != len(x) || !slices.Equal(v[:len(v)-2], x[:len(x)-2]) {
			return Spec{}, fmt.Errorf("batch dimensions differ, want scores [...,T,S] and values [...,S,N]")
		}
		if v[len(v)-2] != x[len(x)-1] {
			return Spec{}, fmt.Errorf("inner dimensions differ: %d columns of scores against %d values", x[len(x)-1], v[len(v)-2])
		}
		out := slices.Clone(x)
		out[len(out)-1] = v[len(v)-1]
		return checked(out)
	},
	Forward: func(c *call) {
		b := c.band()
		c.arg.flag = c.dev.allFinite(c.in[1].data)
		c.arg.n[0] = (b.t + attnBlock - 1) / attnBlock
		c.each(b.batch*c.arg.n[0], func(c *call, w, i int) {
			b, d, n, blocks, finite := c.band(), c.dev, c.out.Dim(-1), c.arg.n[0], c.arg.flag
			lo := i % blocks * attnBlock
			p := c.block(&b, i/blocks, lo, min(lo+attnBlock, b.t))
			out := c.out.data[(p.entry*b.t+lo)*n:]
			v := rowMajor(c.in[1].data[(p.entry*b.s+p.from)*n:], n)
			room, tame := d.tmp(w, attnBlock*b.s+b.s*n), v
			if !finite {
				tame = tamed(v, p.keys, n, room[attnBlock*b.s:])
			}
			s := p.masked(&b, room)
			d.kern.Gemm(d.work[w], p.hi-p.lo, n, p.keys, rowMajor(s, p.keys), tame, out, n, false)
			wild := -1
			for t := p.lo; t < p.hi && !finite; t++ {
				from, to := b.sees(t)
				if wild = d.lastWild(v, n, wild, from-p.from, to-p.from, t == p.lo); wild >= from-p.from {
					y := out[(t-lo)*n:][:n]
					clear(y)
					for j := from; j < to; j++ {
						d.kern.Axpy(y, p.x[t*b.s+j], v.Data[(j-p.from)*n:][:n])
					}
				}
			}
			out = out[:(p.hi-p.lo)*n]
			d.kern.Offset(out, out, 0)
		})
	},
	Backward: func(c *call) {
		c.arg.a, c.arg.b = c.din(0), c.din(1)
		c.each(c.band().batch, func(c *call, w, entry int) { // dv has one writer per entry
			b, d, n, dx, dv := c.band(), c.dev, c.out.Dim(-1), c.arg.a, c.arg.b
			buf := d.tmp(w, attnBlock*b.s)
			for lo := 0; lo < b.t; lo += attnBlock {
				p := c.block(&b, entry, lo, min(lo+attnBlock, b.t))
				dy := rowMajor(c.dout[(entry*b.t+lo)*n:], n)
				at, rows := (entry*b.s+p.from)*n, p.hi-p.lo
				if dv != nil { // dv += scoresᵀ dy
					s := p.masked(&b, buf)
					d.kern.Gemm(d.work[w], p.keys, n, rows, transposed(s, p.keys), dy, dv[at:], n, true)
				}
				if dx == nil { // else dscores = dy vᵀ
					continue
				}
				v := rowMajor(c.in[1].data[at:], n)
				d.kern.Gemm(d.work[w], rows, p.keys, n, dy, v.T(), buf, p.keys, false)
				for t := p.lo; t < p.hi; t++ {
					from, to := b.sees(t)
					g := dx[(entry*b.t+t)*b.s:]
					d.kern.Add(g[from:to], g[from:to], buf[(t-lo)*p.keys+from-p.from:][:to-from])
				}
			}
		})
	},
})

// scoreBlock is rows lo..hi of one batch entry and the keys that they see.
type scoreBlock struct {
	entry, lo, hi, from, keys int
	x                         []float32 // scores of the entry
}

func (c *call) block(b *band, entry, lo, hi int) scoreBlock {
	p := scoreBlock{entry: entry, lo: lo, hi: hi, x: c.in[0].data[entry*b.t*b.s:][:b.t*b.s]}
	p.from, _ = b.sees(lo)
	_, to := b.sees(hi - 1)
	p.keys = to - p.from
	return p
}

// masked copies the block [hi-lo, keys] to buf, zeros where nothing is seen.
func (p *scoreBlock) masked(b *band, buf []float32) []float32 {
	for t := p.lo; t < p.hi; t++ {
		row := buf[(t-p.lo)*p.keys:][:p.keys]
		from, to := b.sees(t)
		clear(row[:from-p.from])
		copy(row[from-p.from:], p.x[t*b.s+from:t*b.s+to])
		clear(row[to-p.from:])
	}
	return buf
}
