package main

import (
	"fmt"
	"slices"
	"strings"
)

// table is the measurement as Markdown.
func (b bench) table(constants map[string]any, peers []*peer) string {
	var out strings.Builder
	n := func(name string) float64 { return number(constants[name]) }
	fmt.Fprintf(&out, "\n### %s, %d threads\n\n", b.size.name, b.threads)
	fmt.Fprintf(&out, "L %v, C %v, NH %v, T %v, V %d, B %v, float32, optimizer %s; %.1f MFLOP a token in products of matrices; %d rounds of %d steps\n\n",
		n("Depth"), n("Dim"), n("Heads"), n("Context"), b.vocab, n("BatchSize"), b.optimizer, b.flops(n)/1e6, b.rounds, b.steps)
	out.WriteString("| | tokens/s (min..max) | ours is faster by | tokens per CPU-second | ours by CPU time | GFLOP/s | peak MiB |\n|---|---|---|---|---|---|---|\n")
	for _, p := range peers {
		speed := each(p.blocks, block.speed)
		fmt.Fprintf(&out, "| %s | %.0f (%.0f..%.0f) | %.2f | %.0f | %.2f | %.0f | %d |\n", p.name,
			median(speed), slices.Min(speed), slices.Max(speed), ratio(peers[0], p, block.speed), median(each(p.blocks, block.thrift)), ratio(peers[0], p, block.thrift),
			median(speed)*b.flops(n)/1e9, p.peak>>20)
	}
	out.WriteString("\n" + b.verdict(peers))
	return out.String()
}

// verdict says which floors hold, and whether the machine was quiet enough to
// say so.
func (b bench) verdict(peers []*peer) string {
	var out strings.Builder
	var others []float64
	for _, p := range peers {
		others = append(others, each(p.blocks, func(b block) float64 { return b.others })...)
		if floor, ok := b.floors[p.name]; ok {
			fmt.Fprintf(&out, "- %s: %.2f, floor %.1f: %s\n", p.name, ratio(peers[0], p, block.speed), floor, holds(ratio(peers[0], p, block.speed) >= floor))
			fmt.Fprintf(&out, "- peak memory against %s: %d of %d MiB: %s\n", p.name, peers[0].peak>>20, p.peak>>20, holds(peers[0].peak <= p.peak))
		}
	}
	fmt.Fprintf(&out, "- other processes kept %.2f CPUs busy (median; at most %.2f)\n", median(others), slices.Max(others))
	if median(others) > 0.1 {
		out.WriteString("- the machine was not quiet: measure again before you believe this table\n")
	}
	return out.String()
}

func holds(ok bool) string {
	if ok {
		return "holds"
	}
	return "DOES NOT HOLD"
}

// ratio is how much more of f a has than b: the median over rounds, each of
// which both spent on a machine in the same mood.
func ratio(a, b *peer, f func(block) float64) float64 {
	var r []float64
	for i := range min(len(a.blocks), len(b.blocks)) {
		r = append(r, f(a.blocks[i])/f(b.blocks[i]))
	}
	return median(r)
}

func each(blocks []block, f func(block) float64) []float64 {
	var v []float64
	for _, b := range blocks {
		v = append(v, f(b))
	}
	return v
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// flops counts multiplications and additions in products of matrices for one
// token, forward and backward, attention as if every token saw half of the
// context, and without the optimizer's products.
func (b bench) flops(n func(string) float64) float64 {
	c, kv := n("Dim"), n("KVHeads")*n("HeadDim")
	layer := 2*c*c + 2*c*kv + 2*n("MLPRatio")*c*c + n("Context")*c
	return 6 * (n("Depth")*layer + float64(b.vocab)*c)
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
