package tensor

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
)

func sampleFile(t testing.TB) ([]byte, SafeTensors) {
	s := SafeTensors{
		Floats:   map[string]Weight{"w": {[]int{2, 2}, []float32{1, -2, 3.5, float32(math.Inf(1))}}, "a": {[]int{1}, []float32{7}}},
		Ints:     map[string]IntWeight{"step": {[]int{3}, []int32{-1, 0, 1 << 30}}},
		Metadata: map[string]string{"graph": `{"nodes":[]}`},
	}
	var b bytes.Buffer
	if err := WriteSafetensors(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), s
}

func TestSafetensorsRoundTrip(t *testing.T) {
	b, want := sampleFile(t)
	got, err := ReadSafetensors(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	again, _ := sampleFile(t)
	if !bytes.Equal(b, again) {
		t.Error("the same content gave other bytes")
	}
}

func withHeader(h string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	return append(append(b, h...), make([]byte, data)...)
}

func TestSafetensorsMalformed(t *testing.T) {
	good, _ := sampleFile(t)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":          {nil, "too short"},
		"truncated":      {good[:len(good)-1], "does not fit"},
		"trailing":       {append(bytes.Clone(good), 0), "take"},
		"huge header":    {append(bytes.Repeat([]byte{255}, 8), good...), "header of"},
		"not json":       {withHeader("hello", 0), "header"},
		"bad range":      {withHeader(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4), "does not fit"},
		"overflow":       {withHeader(`{"w":{"dtype":"F32","shape":[2147483647,4],"data_offsets":[0,0]}}`, 0), "does not fit"},
		"unknown type":   {withHeader(`{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, 4), "F16"},
		"overlap":        {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "take 8 bytes of 4"},
		"unknown field":  {withHeader(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "unknown field"},
		"metadata types": {withHeader(`{"__metadata__":{"a":1}}`, 0), "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadSafetensors(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzSafetensors(f *testing.F) {
	good, _ := sampleFile(f)
	f.Add(good)
	f.Add(withHeader(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadSafetensors(b)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := WriteSafetensors(&out, s); err != nil {
			t.Fatalf("read but not written: %v", err)
		}
	})
}
