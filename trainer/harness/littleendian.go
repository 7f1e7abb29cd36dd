package harness

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"
)

// hostIsLittle says whether this machine keeps numbers as checkpoints do.
var hostIsLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// littleEndian returns v as bytes in little-endian order: v's own memory where
// the machine has that order, and else buffer, which it lets grow.
func littleEndian(v []float32, buffer *[]byte) []byte {
	if hostIsLittle && len(v) > 0 {
		return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
	}
	return encode(v, buffer)
}

// encode is littleEndian for machines of any order.
func encode(v []float32, buffer *[]byte) []byte {
	b := slices.Grow((*buffer)[:0], 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	*buffer = b
	return b
}

// fromLittleEndian appends the floats in b to v.
func fromLittleEndian(v []float32, b []byte) []float32 {
	v = slices.Grow(v, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return v
}
