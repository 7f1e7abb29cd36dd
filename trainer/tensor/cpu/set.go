// Package cpu holds the kernels of the tensor package: matrix products and
// vector loops over float32 slices, in plain Go and in assembly chosen at run
// time. It knows nothing of tensors, threads or gradients.
//
// A [Set] is one consistent choice of kernels. The set "go" runs everywhere
// and is the oracle for the others. Every kernel lets NaN through: none skips
// zeros or clamps a NaN away.
//
// AVX-512 and AVX2 have assembly, written by the generator in gen (go generate)
// and chosen by what the processor says it has. Other processors, arm64 among
// them, run the set "go": right, tested as the oracle everywhere, and some ten
// times slower.
//
// Errors: [Get] fails for a set that the machine lacks. Lengths that do not
// agree are bugs of the caller and panic as slices do.
package cpu

import (
	"fmt"
	"strings"
)

// Set is one choice of kernels. Slices given to one call have equal lengths;
// the destination may be one of the sources.
type Set struct {
	Name string

	idle   bool // see Idle
	mr, nr int
	// widths of the tiles there are, widest (nr) first.
	widths []int
	// tile is c[mr,width] (+)= a b: one stride of a is 1, b is a packed panel.
	tile func(width, kc int, a Mat, b, c []float32, ldc int, acc bool)
	// pack lays one panel of r rows out; rows from have on become zero.
	pack func(dst []float32, r int, src Mat, have, k int)
	// columns writes 8 rows of 8*n8 floats as columns.
	columns func(dst []float32, ld int, src []float32, ls, n8 int)
	vectors
}

// Tile is the size of the micro-kernel: split work at multiples of it.
func (s *Set) Tile() (rows, cols int) { return s.mr, s.nr }

// Names lists the sets this machine can run, best first.
func Names() []string {
	var l []string
	for _, s := range available() {
		l = append(l, s.Name)
	}
	return l
}

// Get returns a set by name; "" is the best available.
func Get(name string) (*Set, error) {
	if name == Idle {
		return idle(), nil
	}
	all := available()
	for _, s := range all {
		if name == "" || s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no kernels %q on this machine (have: %s)", name, strings.Join(Names(), ", "))
}

// available lists the sets, best first.
func available() []*Set { return append(accelerated(), plain()) }

func plain() *Set {
	return &Set{Name: "go", mr: goMR, nr: goNR, widths: []int{goNR}, tile: tileGo, pack: packGo, columns: columnsGo, vectors: plainVectors()}
}
