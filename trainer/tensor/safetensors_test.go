package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"runtime"
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
		"overlap":        {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "take 8 bytes or more of 4"},
		"unknown field":  {withHeader(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "unknown field"},
		"metadata types": {withHeader(`{"__metadata__":{"a":1}}`, 0), "metadata"},
		"tensor twice":   {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "twice"},
		"other twice":    {withHeader(`{"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "twice"},
		"field twice":    {withHeader(`{"a":{"dtype":"F32","shape":[1],"Shape":[2],"data_offsets":[0,4]}}`, 4), `"shape" stands twice`},
		"metadata twice": {withHeader(`{"__metadata__":{},"__metadata__":{}}`, 0), "twice"},
		"key twice":      {withHeader(`{"__metadata__":{"graph":"a","graph":"b"}}`, 0), `"graph" stands twice`},
		"not UTF-8":      {withHeader("{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4), "UTF-8"},
		"one offset":     {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}}`, 4), "1 data_offsets"},
		"three offsets":  {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, 4), "3 data_offsets"},
		"negative size":  {withHeader(`{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}`, 4), "does not fit"},
		"fraction":       {withHeader(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4), "cannot unmarshal"},
		"backwards":      {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "does not fit"},
		"null":           {withHeader(`null`, 0), "not a JSON object"},
		"list":           {withHeader(`[]`, 0), "not a JSON object"},
		"no end":         {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`, 4), "header"},
		"two headers":    {withHeader(`{}{}`, 0), "after the end"},
		"100 MB header":  {withHeader(string(bytes.Repeat([]byte(" "), 100<<20)), 0), "header of 104857600 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadSafetensors(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// What is hostile costs little to refuse: memory of at most so many times its
// length, garbage included.
const maxFactor = 64

// TestHostileFilesAreCheap: a megabyte of nonsense does not become a gigabyte.
func TestHostileFilesAreCheap(t *testing.T) {
	many := func(s string) string { return strings.Repeat(s, 1<<20/len(s)) }
	numbered := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < 1<<20; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	graph := func(nodes string) []byte { return []byte(`{"version":1,"nodes":[` + nodes + `],"output":0}`) }
	for name, f := range map[string]func() error{
		"entries": func() error { _, err := ReadSafetensors(withHeader(`{`+numbered(`"%x":1,`)+`"a":1}`, 0)); return err },
		"dimensions": func() error {
			_, err := ReadSafetensors(withHeader(`{"a":{"shape":[`+many(`1,`)+`1]}}`, 0))
			return err
		},
		"metadata": func() error {
			_, err := ReadSafetensors(withHeader(`{"__metadata__":{`+numbered(`"%x":"",`)+`"a":""}}`, 0))
			return err
		},
		"depth": func() error { _, err := ReadSafetensors(withHeader(`{"a":`+many(`[`), 0)); return err },
		"tensors": func() error {
			_, err := ReadSafetensors(withHeader(`{`+numbered(`"%x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`)+`"a":1}`, 4<<14))
			return err
		},
		"nodes":  func() error { _, err := Parse(graph(many(`{},`)+`{}`), nil, Limits{}); return err },
		"inputs": func() error { _, err := Parse(graph(`{"in":[`+many(`0,`)+`0]}`), nil, Limits{}); return err },
		"attributes": func() error {
			_, err := Parse(graph(`{"attrs":{`+numbered(`"%x":1,`)+`"a":1}}`), nil, Limits{})
			return err
		},
		"brackets": func() error { _, err := Parse(graph(many(`[`)[:9000]), nil, Limits{}); return err },
		"sizes": func() error {
			_, err := Parse(graph(`{"op":"ids","shape":[`+many(`1,`)+`1]}`), nil, Limits{})
			return err
		},
		"values": func() error {
			_, err := Parse(graph(`{"op":"ints","ints":[`+many(`1,`)+`1]}`), nil, Limits{})
			return err
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := f()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > maxFactor<<20 || len(err.Error()) > 500 {
			t.Errorf("%s: %d MiB for a file of about 1 MiB: %.500v", name, used>>20, err)
		} else {
			t.Logf("%s: %d MiB: %v", name, used>>20, err)
		}
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
