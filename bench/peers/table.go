package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// table is the measurement as Markdown.
func (b bench) table(constants map[string]any, peers []*race.Peer) string {
	var out strings.Builder
	n := func(name string) float64 { return race.Number(constants[name]) }
	fmt.Fprintf(&out, "\n### %s, %d threads\n\n", b.size.name, b.threads)
	fmt.Fprintf(&out, "L %v, C %v, NH %v, T %v, V %d, B %v, float32, optimizer %s; %.1f MFLOP a token in products of matrices; %d rounds of %d steps\n\n",
		n("Depth"), n("Dim"), n("Heads"), n("Context"), b.vocab, n("BatchSize"), b.optimizer, b.flops(n)/1e6, b.rounds, b.steps)
	out.WriteString("| | tokens/s (min..max) | ours is faster by | tokens per CPU-second | ours by CPU time | GFLOP/s | peak MiB |\n|---|---|---|---|---|---|---|\n")
	for _, p := range peers {
		speed := race.Each(p.Blocks, race.Block.Speed)
		fmt.Fprintf(&out, "| %s | %.0f (%.0f..%.0f) | %.2f | %.0f | %.2f | %.0f | %d |\n", p.Name,
			race.Median(speed), slices.Min(speed), slices.Max(speed), race.Ratio(peers[0], p, race.Block.Speed), race.Median(race.Each(p.Blocks, race.Block.Thrift)), race.Ratio(peers[0], p, race.Block.Thrift),
			race.Median(speed)*b.flops(n)/1e9, p.Peak>>20)
	}
	out.WriteString("\n" + b.verdict(peers))
	return out.String()
}

// verdict says which floors hold, and whether the machine was quiet enough to
// say so.
func (b bench) verdict(peers []*race.Peer) string {
	var out strings.Builder
	var others []float64
	for _, p := range peers {
		others = append(others, race.Each(p.Blocks, func(b race.Block) float64 { return b.Others })...)
		if floor, ok := b.floors[p.Name]; ok {
			fmt.Fprintf(&out, "- %s: %.2f, floor %.1f: %s\n", p.Name, race.Ratio(peers[0], p, race.Block.Speed), floor, holds(race.Ratio(peers[0], p, race.Block.Speed) >= floor))
			fmt.Fprintf(&out, "- peak memory against %s: %d of %d MiB: %s\n", p.Name, peers[0].Peak>>20, p.Peak>>20, holds(peers[0].Peak <= p.Peak))
		}
	}
	fmt.Fprintf(&out, "- other processes kept %.2f CPUs busy (median; at most %.2f)\n", race.Median(others), slices.Max(others))
	if race.Median(others) > 0.1 {
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

// flops counts multiplications and additions in products of matrices for one
// token, forward and backward, attention as if every token saw half of the
// context, and without the optimizer's products.
func (b bench) flops(n func(string) float64) float64 {
	c, kv := n("Dim"), n("KVHeads")*n("HeadDim")
	layer := 2*c*c + 2*c*kv + 2*n("MLPRatio")*c*c + n("Context")*c
	return 6 * (n("Depth")*layer + float64(b.vocab)*c)
}
