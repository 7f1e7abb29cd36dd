package gpu

import "math"

// Arg is one argument of a kernel, in the lower bytes.
type Arg uint64

// Int is an int argument.
func Int(i int) Arg { return Arg(uint32(int32(i))) }

// Long is a long long argument.
func Long(i int64) Arg { return Arg(i) }

// Float is a float argument.
func Float(f float32) Arg { return Arg(math.Float32bits(f)) }

// Address is a pointer argument.
func Address(p Ptr) Arg { return Arg(p) }
