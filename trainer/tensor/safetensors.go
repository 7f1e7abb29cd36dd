package tensor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// The safetensors format: eight bytes of little-endian header length, a JSON
// header that gives each tensor's type, shape and byte range, then the bytes.

// maxHeader is the format's own bound on the header.
const maxHeader = 100 << 20

type safeEntry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// SafeTensors is the content of a safetensors file: arrays of float32 and of
// int32 by name, and free text by key.
type SafeTensors struct {
	Floats   map[string]Weight
	Ints     map[string]IntWeight
	Metadata map[string]string
}

// IntWeight is a named array of int32.
type IntWeight struct {
	Shape []int
	Data  []int32
}

// WriteSafetensors writes s to w. The same content gives the same bytes.
func WriteSafetensors(w io.Writer, s SafeTensors) error {
	header := map[string]any{}
	if len(s.Metadata) > 0 {
		header["__metadata__"] = s.Metadata
	}
	at := 0
	add := func(name, dtype string, shape []int, n int) error {
		if size, ok := sizeOf(shape); !ok || size != n || name == "__metadata__" || header[name] != nil {
			return fmt.Errorf("tensor: safetensors: cannot write %q of shape %v with %d values", name, shape, n)
		}
		header[name] = safeEntry{dtype, append([]int{}, shape...), [2]int{at, at + 4*n}}
		at += 4 * n
		return nil
	}
	floats, ints := slices.Sorted(maps.Keys(s.Floats)), slices.Sorted(maps.Keys(s.Ints))
	for _, name := range floats {
		if err := add(name, "F32", s.Floats[name].Shape, len(s.Floats[name].Data)); err != nil {
			return err
		}
	}
	for _, name := range ints {
		if err := add(name, "I32", s.Ints[name].Shape, len(s.Ints[name].Data)); err != nil {
			return err
		}
	}
	h, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("tensor: safetensors: %w", err)
	}
	h = append(h, bytes.Repeat([]byte{' '}, roundUp(len(h), 8)-len(h))...)
	if len(h) > maxHeader {
		return fmt.Errorf("tensor: safetensors: header of %d bytes, limit %d", len(h), maxHeader)
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)); err != nil {
		return err
	}
	var buf []byte
	for _, name := range floats {
		if buf, err = writeWords(w, buf, s.Floats[name].Data, math.Float32bits); err != nil {
			return err
		}
	}
	for _, name := range ints {
		if buf, err = writeWords(w, buf, s.Ints[name].Data, func(v int32) uint32 { return uint32(v) }); err != nil {
			return err
		}
	}
	return nil
}

// writeWords writes values as little-endian words through a reused buffer.
func writeWords[T any](w io.Writer, buf []byte, v []T, bits func(T) uint32) ([]byte, error) {
	for part := range slices.Chunk(v, 1<<16) {
		buf = buf[:0]
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint32(buf, bits(x))
		}
		if _, err := w.Write(buf); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// ReadSafetensors reads a whole file from b. It accepts F32 and I32 only and
// checks every length; no input makes it panic or allocate more than a small
// multiple of len(b).
func ReadSafetensors(b []byte) (SafeTensors, error) {
	s := SafeTensors{Floats: map[string]Weight{}, Ints: map[string]IntWeight{}, Metadata: map[string]string{}}
	if len(b) < 8 {
		return s, fmt.Errorf("tensor: safetensors: %d bytes, too short for a header", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader || n > uint64(len(b)-8) {
		return s, fmt.Errorf("tensor: safetensors: header of %d bytes in a file of %d", n, len(b))
	}
	header, data := b[8:8+n], b[8+n:]
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return s, fmt.Errorf("tensor: safetensors: header: %w", err)
	}
	used := 0
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if name == "__metadata__" {
			if err := json.Unmarshal(raw[name], &s.Metadata); err != nil {
				return s, fmt.Errorf("tensor: safetensors: metadata: %w", err)
			}
			continue
		}
		size, err := s.readEntry(name, raw[name], data)
		if err != nil {
			return s, fmt.Errorf("tensor: safetensors: %.80q: %w", name, err)
		}
		used += size
	}
	// Ranges may overlap only if something else is left out, so one sum
	// bounds what a hostile header can make us copy.
	if used != len(data) {
		return s, fmt.Errorf("tensor: safetensors: tensors take %d bytes of %d", used, len(data))
	}
	return s, nil
}

func (s *SafeTensors) readEntry(name string, raw json.RawMessage, data []byte) (int, error) {
	var e safeEntry
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return 0, err
	}
	lo, hi := e.Offsets[0], e.Offsets[1]
	size, ok := sizeOf(e.Shape)
	if !ok || lo < 0 || hi < lo || hi > len(data) || hi-lo != 4*size {
		return 0, fmt.Errorf("shape %v does not fit bytes %d to %d of %d", clip(e.Shape), lo, hi, len(data))
	}
	words := data[lo:hi]
	switch e.DType {
	case "F32":
		v := make([]float32, size)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(words[4*i:]))
		}
		s.Floats[name] = Weight{e.Shape, v}
	case "I32":
		v := make([]int32, size)
		for i := range v {
			v[i] = int32(binary.LittleEndian.Uint32(words[4*i:]))
		}
		s.Ints[name] = IntWeight{e.Shape, v}
	default:
		return 0, fmt.Errorf("type %.20q, want F32 or I32", e.DType)
	}
	return hi - lo, nil
}
