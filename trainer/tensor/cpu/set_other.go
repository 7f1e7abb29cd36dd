//go:build !amd64

package cpu

// accelerated: no assembly for this architecture yet.
func accelerated() []*Set { return nil }
