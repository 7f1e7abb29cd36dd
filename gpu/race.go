//go:build cuda

package gpu

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Choosing among the algorithms that cublasLt offers for a product. Its own
// first guess is often 10 to 30 percent slower than the best of its list, most
// of all where K is long and the result small: gradients of weights. So the
// first product of a shape runs all of them on scratch memory and keeps the
// fastest, see [tuner]. Choices are remembered on disk by their place in the
// list, see choices.go.
//
// Only algorithms that add up in one fixed order are asked for, so a choice
// gives the same bits each time. Two choices may differ in bits: who wants
// those of an earlier process keeps Config.Cache.
const (
	// tuneInAll bounds the time that a process spends on choosing.
	tuneInAll = 4 * time.Second
	// tuneFinalists are timed a second time.
	tuneFinalists = 4
)

// Tests change these.
var (
	// tunePerShape bounds the time that choosing for one shape takes.
	tunePerShape = 150 * time.Millisecond
	// tuneLook is how long a variant runs to be timed, tuneLookAgain for each of
	// the finalists. Events tell half a microsecond.
	tuneLook, tuneLookAgain = 100 * time.Microsecond, time.Millisecond
)

// tuneSplits are the numbers of parts of K that are tried beside what the
// library proposes, if K is long for the size of the result.
var tuneSplits = []int{2, 4, 8, 16, 32, 64}

// variant is one way to compute a product: an algorithm of the library's list
// and, if Splits is not 0, so many parts of K instead of its own number.
type variant struct{ Index, Splits int }

// tuner chooses variants and remembers what it chose.
type tuner struct {
	memory *choices
	now    func() time.Time
	shapes int // that were timed
	spent  time.Duration
}

// measure runs a variant so many times and says how long one took; ok is false
// when it cannot run.
type measure func(v variant, rounds int) (each time.Duration, ok bool)

// choose returns a variant for a product of this key among those that are
// offered, best guess first. It is false if none can run. When all of the time
// for choosing is spent it is the best guess.
func (t *tuner) choose(key string, offered []variant, run measure) (variant, bool) {
	if v, ok := t.recall(key, offered); ok {
		return v, true
	}
	began := t.now()
	if t.spent >= tuneInAll {
		return offered[0], true
	}
	best, took, ok := t.race(offered, run, began)
	t.shapes++
	t.spent += t.now().Sub(began)
	if !ok {
		return variant{}, false
	}
	if kept := t.memory.add(key, choice{best, took}).variant; slices.Contains(offered, kept) {
		return kept, true
	}
	return best, true
}

// recall finds what was chosen before, if it is still on offer.
func (t *tuner) recall(key string, offered []variant) (variant, bool) {
	c, ok := t.memory.get(key)
	return c.variant, ok && slices.Contains(offered, c.variant)
}

// entry is a variant that has run.
type entry struct {
	variant
	took time.Duration
}

// race times every variant briefly and the fastest of them again. Each is run
// once before it counts: that loads its code.
func (t *tuner) race(offered []variant, run measure, began time.Time) (best variant, took time.Duration, ok bool) {
	late := func() bool { return t.now().Sub(began) >= tunePerShape }
	var field []entry
	for _, v := range offered {
		if len(field) > 0 && late() {
			break
		}
		d, ok := run(v, 1)
		if ok {
			d, ok = run(v, rounds(d, tuneLook))
		}
		if ok {
			field = append(field, entry{v, d})
		}
	}
	if len(field) == 0 {
		return variant{}, 0, false
	}
	slices.SortStableFunc(field, func(a, b entry) int { return cmp.Compare(a.took, b.took) })
	best, took = field[0].variant, field[0].took
	for i, e := range field[:min(tuneFinalists, len(field))] {
		if late() {
			break
		}
		if d, ok := run(e.variant, rounds(e.took, tuneLookAgain)); ok && (i == 0 || d < took) {
			best, took = e.variant, d
		}
	}
	return best, took, true
}

// rounds is how often something that takes each fits into all, from 1 to 20.
func rounds(each, all time.Duration) int {
	return int(min(max(all/max(each, 1), 1), 20))
}

// splits lists variants to be offered beside the library's own. Where the result
// has few elements for the length of K, splitting K is what fills the GPU; the
// library's list has algorithms that do, but seldom enough of them.
func splits(k productKey, offered []variant) (l []variant) {
	// Tiles of 128 by 128; a large GPU has 132 to 160 processors for them.
	tiles := int64((k.M+127)/128) * int64((k.N+127)/128) * int64(k.Batch)
	if k.K < 4096 || tiles >= 256 {
		return nil
	}
	for _, v := range offered[:min(len(offered), 4)] {
		for _, s := range tuneSplits {
			if n := tiles * int64(s); n >= 32 && n <= 1024 {
				l = append(l, variant{v.Index, s})
			}
		}
	}
	return l
}

// choiceKey names what an algorithm is chosen for, in a line of a file. Whether
// the product is added to C is no part of it.
func choiceKey(k productKey) string {
	order := func(t bool) string {
		if t {
			return "T"
		}
		return "N"
	}
	return fmt.Sprintf("%s-%s-%s%s m%d n%d k%d b%d ld%d,%d,%d s%d,%d,%d a%d,%d,%d exact=%t", k.In, k.Out, order(k.TransA), order(k.TransB),
		k.M, k.N, k.K, k.Batch, k.LDA, k.LDB, k.LDC, k.StrideA, k.StrideB, k.StrideC, k.AlignA, k.AlignB, k.AlignC, k.Exact)
}
