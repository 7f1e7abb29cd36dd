package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// modelOf is a model file of a graph's nodes, with a table "w" [256,256] and a
// word "x" of four values as its weights.
func modelOf(t testing.TB, nodes string) []byte {
	t.Helper()
	table := tensor.Weight{Shape: []int{testV, testV}, Data: make([]float32, testV*testV)}
	word := tensor.Weight{Shape: []int{4}, Data: make([]float32, 4)}
	var b bytes.Buffer
	if err := tensor.WriteSafetensors(&b, tensor.SafeTensors{
		Floats:   map[string]tensor.Weight{"w": table, "x": word},
		Metadata: map[string]string{"graph": fmt.Sprintf(`{"version":1,"nodes":[%s],"output":%d}`, nodes, strings.Count(nodes, `"op"`)-1)},
	}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	idsNode   = `{"op":"ids","shape":[2,4]},`
	tableNode = `{"op":"weight","name":"w","shape":[256,256]},`
	tinyModel = idsNode + tableNode + `{"op":"embed","in":[1,0],"shape":[2,4,256]}`
)

// withHeader puts another header before n bytes of data.
func withHeader(header string, n int) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, n)...)
}

func writeFile(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMalformedModels: whatever a file holds, it is the model's fault, said in
// few words.
func TestMalformedModels(t *testing.T) {
	dir, _ := dataDir(t)
	call(t, exitOK, nil, "score", "--model", writeFile(t, modelOf(t, tinyModel)), "--data", dir)
	edited := func(old, new string) []byte {
		text := strings.Replace(tinyModel, old, new, 1)
		if text == tinyModel {
			t.Fatalf("%s is not in the model", old)
		}
		return modelOf(t, text)
	}
	good := modelOf(t, tinyModel)
	long := strings.Repeat("long", 1<<18)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"without data":      {good[:len(good)-4*(testV*testV+4)], "does not fit"},
		"half a header":     {good[:40], "header of"},
		"huge length":       {append(bytes.Repeat([]byte{0xff}, 8), good[8:]...), "header of 18446744073709551615"},
		"negative length":   {append([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, good[8:]...), "header of"},
		"100 MB header":     {append([]byte{0, 0, 0x40, 6, 0, 0, 0, 0}, good[8:]...), "header of 104857600"},
		"no graph":          {withHeader(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4), "no graph"},
		"metadata list":     {withHeader(`{"__metadata__":[]}`, 0), "metadata"},
		"overlap":           {withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "tensors take 16 bytes"},
		"tensor twice":      {withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "twice"},
		"forward reference": {edited(`"in":[1,0]`, `"in":[2,0]`), "earlier node"},
		"negative input":    {edited(`"in":[1,0]`, `"in":[-1,0]`), "earlier node"},
		"far input":         {edited(`"in":[1,0]`, `"in":[9223372036854775807,0]`), "earlier node"},
		"unknown attribute": {edited(`"in":[1,0]`, `"in":[1,0],"attrs":{"run":1}`), "1 attributes, want 0"},
		"unknown field":     {edited(`"in":[1,0]`, `"in":[1,0],"`+long+`":1`), "unknown field"},
		"unknown operation": {edited(`"op":"embed"`, `"op":"`+long+`"`), "unknown operation"},
		"unknown weight":    {edited(`"name":"w"`, `"name":"`+long+`"`), "missing"},
		"negative shape":    {edited(`"shape":[2,4]`, `"shape":[-2,-4]`), "not allowed"},
		"product overflows": {edited(`"shape":[2,4,256]`, `"shape":[4294967296,4294967296,256]`), "not allowed"},
		"rank 9":            {edited(`"shape":[2,4,256]`, `"shape":[1,1,1,1,1,1,2,4,256]`), "not allowed"},
		"name not UTF-8":    {bytes.Replace(good, []byte(`"w":`), []byte("\"\xff\":"), 1), "UTF-8"},
		"NaN attribute":     {modelOf(t, tinyModel+`,{"op":"scale","in":[2],"attrs":{"s":NaN},"shape":[2,4,256]}`), "invalid character"},
		"infinite":          {modelOf(t, tinyModel+`,{"op":"scale","in":[2],"attrs":{"s":1e39},"shape":[2,4,256]}`), `attribute "s"`},
		"ids below zero":    {modelOf(t, idsNode+tableNode+`{"op":"ints","ints":[-2,0,0,0,0,0,0,0],"shape":[2,4]},{"op":"embed","in":[1,2],"shape":[2,4,256]}`), "running the model"},
		"ids too large":     {modelOf(t, idsNode+tableNode+`{"op":"ints","ints":[256,0,0,0,0,0,0,0],"shape":[2,4]},{"op":"embed","in":[1,2],"shape":[2,4,256]}`), "running the model"},
	} {
		path := writeFile(t, c.file)
		for _, command := range []string{"check", "score"} {
			var f fault
			call(t, exitFault, &f, command, "--model", path, "--data", dir)
			if f.Reason != reasonNotExportable || !strings.Contains(f.Message, c.want) || len(f.Message) > maxMessage+4 {
				t.Errorf("%s, %s: %s, %d bytes: %.300s; want a word on %q", name, command, f.Reason, len(f.Message), f.Message, c.want)
			}
		}
	}
}

// TestLimits: what a model needs is known before it runs, and refused for it.
func TestLimits(t *testing.T) {
	dir, _ := dataDir(t)
	chain := func(op string, n int, shape string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"op":%q,"in":[%d],"shape":%s}`, op, 2+i, shape)
		}
		return b.String()
	}
	context := `{"op":"ids","shape":[%d,%d]},` + tableNode + `{"op":"embed","in":[1,0],"shape":[%[1]d,%[2]d,256]}`
	wide := `,{"op":"reshape","in":[2],"attrs":{"shape":[8,1,256]},"shape":[8,1,256]},{"op":"broadcast_to","in":[3],"attrs":{"shape":[8,512,256]},"shape":[8,512,256]}` +
		`,{"op":"add","in":[4,4],"shape":[8,512,256]},{"op":"mul","in":[4,5],"shape":[8,512,256]},{"op":"slice","in":[6],"attrs":{"axis":1,"lo":0,"hi":1},"shape":[8,1,256]},{"op":"reshape","in":[7],"attrs":{"shape":[2,4,256]},"shape":[2,4,256]}`
	product := `,{"op":"reshape","in":[2],"attrs":{"shape":[8,1,256]},"shape":[8,1,256]},{"op":"broadcast_to","in":[3],"attrs":{"shape":[8,32768,256]},"shape":[8,32768,256]}` +
		strings.Repeat(`,{"op":"matmul","in":[4,1],"shape":[8,32768,256]}`, 260)
	live := strings.Repeat(`,{"op":"relu","in":[2],"shape":[64,16384,256]}`, 4)
	for i := range 3 {
		live += fmt.Sprintf(`,{"op":"add","in":[%d,%d],"shape":[64,16384,256]}`, []int{3, 7, 8}[i], 4+i)
	}
	for name, c := range map[string]struct{ nodes, memory, want string }{
		"nodes":              {tinyModel + chain("relu", maxNodes, "[2,4,256]"), "0", "want 1 to 20000"},
		"many more nodes":    {tinyModel + chain("relu", 3*maxNodes, "[2,4,256]"), "0", "at most 20000 nodes"},
		"context":            {fmt.Sprintf(context, 1, maxContext+1), "0", "the context is 16385 tokens"},
		"intermediate value": {fmt.Sprintf(context, 64, 16384) + live, "0", "needs 5368709120 bytes, limit 4294967296"},
		"elements":           {fmt.Sprintf(context, 65, 16384), "0", "not allowed"},
		"memory":             {tinyModel + wide, "112000000", "needs 12"},
		"file":               {tinyModel, fmt.Sprint(ownBytes), "96 MiB in all"},
		"work":               {tinyModel + product, "0", "multiply-adds"},
	} {
		var f fault
		call(t, exitFault, &f, "check", "--model", writeFile(t, modelOf(t, c.nodes)), "--data", dir, "--memory", c.memory)
		if f.Reason != reasonNotExportable || !strings.Contains(f.Message, c.want) {
			t.Errorf("%s: %+v, want a word on %q", name, f, c.want)
		}
	}
	call(t, exitOK, nil, "check", "--model", writeFile(t, modelOf(t, tinyModel+wide)), "--data", dir, "--memory", "200000000")
}

// The proof has a limit of its own, which says how far it was.
func TestProofIsTooSlow(t *testing.T) {
	m, err := evaluation{model: saveStream(t, 1, honest["layers"]), cores: 1}.loadModel(testV)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	var f *fault
	if err := proveCausal(m, m.sample(opened(t, text(999))), 1e-9); !errors.As(err, &f) || f.Reason != reasonTimeout || !strings.Contains(f.Message, "0.00 s of CPU time") {
		t.Errorf("got %v", err)
	}
}

// judge does all that check does with a file, but for reading it.
func judge(t testing.TB, file []byte) error {
	path := writeFile(t, file)
	m, err := evaluation{model: path, cores: 1, memory: 200 << 20}.loadModel(testV)
	if err != nil {
		return err
	}
	defer m.close()
	if m.B*m.T > 64 || m.graph.Nodes() > 50 { // a fuzzer is to be quick
		return nil
	}
	return proveCausal(m, m.sample(opened(t, text(99))), 1)
}

// TestDamagedModels: single bytes and whole parts of a file change.
func TestDamagedModels(t *testing.T) {
	good := modelOf(t, tinyModel+`,{"op":"cumsum","in":[2],"attrs":{"axis":1},"shape":[2,4,256]},{"op":"softcap","in":[3],"attrs":{"cap":15},"shape":[2,4,256]}`)
	if err := judge(t, good); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	header := 8 + int(binary.LittleEndian.Uint64(good))
	refused := 0
	for range 600 {
		b := bytes.Clone(good)
		switch at := rng.IntN(header); rng.IntN(4) {
		case 0:
			b[at] = byte(rng.IntN(256))
		case 1:
			b[at] = `0123456789-[]{}",:`[rng.IntN(18)]
		case 2:
			b = b[:rng.IntN(len(b))]
		default: // a part of the header stands somewhere else
			n := rng.IntN(min(64, header-at))
			copy(b[rng.IntN(header-n):], b[at:at+n])
		}
		var f *fault
		if err := judge(t, b); err != nil && !errors.As(err, &f) {
			t.Fatalf("%v for %.*q", err, header, b)
		} else if err != nil {
			refused++
		}
	}
	if refused < 500 {
		t.Errorf("%d of 600 damaged files are refused", refused)
	}
}

// FuzzModel: whatever the file, the evaluator ends, and says what is wrong.
func FuzzModel(f *testing.F) {
	good := modelOf(f, tinyModel)
	f.Add(good)
	f.Add(good[:100])
	f.Add(withHeader(`{"__metadata__":{"graph":"{}"}}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		var fault *fault
		if err := judge(t, b); err != nil && !errors.As(err, &fault) {
			t.Fatal(err)
		}
	})
}
