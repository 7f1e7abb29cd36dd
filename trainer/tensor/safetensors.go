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
	"unicode/utf8"
)

// The safetensors format: eight bytes of little-endian header length, a JSON
// header that gives each tensor's type, shape and byte range, then the bytes.

// maxHeader bounds the header, in bytes. The format allows 100 MB; we write far
// less, and reading one costs several times its length.
const maxHeader = 16 << 20

// Bounds on the metadata and on the entry of one tensor.
var (
	metadataBounds = jsonBounds{objects: 1, keys: 1000}
	entryBounds    = jsonBounds{objects: 1, values: 64}
)

type safeEntry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"`
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
		header[name] = safeEntry{dtype, append([]int{}, shape...), []int{at, at + 4*n}}
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
// checks every length and that nothing is said twice; no input makes it panic or
// allocate more than a small multiple of len(b).
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
	if !utf8.Valid(header) {
		return s, fmt.Errorf("tensor: safetensors: the header is not UTF-8")
	}
	used, err := s.readHeader(header, data)
	if err != nil {
		return s, fmt.Errorf("tensor: safetensors: %w", err)
	}
	// Ranges may overlap only if something else is left out, so one sum
	// bounds what a hostile header can make us copy.
	if used != len(data) {
		return s, fmt.Errorf("tensor: safetensors: tensors take %d bytes of %d", used, len(data))
	}
	return s, nil
}

// readHeader reads one entry after the other, so that a header of many that
// say nothing costs no more than its first. It returns the bytes that the
// tensors take.
func (s *SafeTensors) readHeader(header, data []byte) (used int, err error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return 0, fmt.Errorf("the header is not a JSON object: %v", err)
	}
	described := false
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return 0, fmt.Errorf("header: %w", err)
		}
		name, _ := tok.(string) // a key is one
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return 0, fmt.Errorf("header: %.80q: %w", name, err)
		}
		if name == "__metadata__" {
			if err := s.readMetadata(raw, described); err != nil {
				return 0, fmt.Errorf("metadata: %w", err)
			}
			described = true
			continue
		}
		size, err := s.readEntry(name, raw, data)
		if err != nil {
			return 0, fmt.Errorf("%.80q: %w", name, err)
		}
		if used += size; used > len(data) {
			return 0, fmt.Errorf("tensors take %d bytes or more of %d", used, len(data))
		}
	}
	if _, err := dec.Token(); err != nil {
		return 0, fmt.Errorf("header: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return 0, fmt.Errorf("header: text after the end")
	}
	return used, nil
}

func (s *SafeTensors) readMetadata(raw json.RawMessage, again bool) error {
	if again {
		return fmt.Errorf("it stands twice in the header")
	}
	if err := checkJSON(raw, metadataBounds); err != nil {
		return err
	}
	return json.Unmarshal(raw, &s.Metadata)
}

func (s *SafeTensors) readEntry(name string, raw json.RawMessage, data []byte) (int, error) {
	if _, twice := s.Floats[name]; twice || s.Ints[name].Data != nil {
		return 0, fmt.Errorf("it stands twice in the header")
	}
	if err := checkJSON(raw, entryBounds); err != nil {
		return 0, err
	}
	var e safeEntry
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return 0, err
	}
	if len(e.Offsets) != 2 {
		return 0, fmt.Errorf("%d data_offsets, want the first byte and the end", len(e.Offsets))
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
