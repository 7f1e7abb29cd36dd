//go:build ignore

package main

import "math"

// bits is the word of a float, as DATA wants it.
func bits(x float32) uint32 { return math.Float32bits(x) }
