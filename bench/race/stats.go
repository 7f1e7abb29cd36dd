package race

import "slices"

// Ratio is how much more of f a has than b: the median over rounds, each of
// which both spent on a machine in the same mood.
func Ratio(a, b *Peer, f func(Block) float64) float64 {
	var r []float64
	for i := range min(len(a.Blocks), len(b.Blocks)) {
		r = append(r, f(a.Blocks[i])/f(b.Blocks[i]))
	}
	return Median(r)
}

// Each is f of every block.
func Each(blocks []Block, f func(Block) float64) []float64 {
	var v []float64
	for _, b := range blocks {
		v = append(v, f(b))
	}
	return v
}

// Median is 0 of nothing.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Number is a constant as a float; 0 if it is none.
func Number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
