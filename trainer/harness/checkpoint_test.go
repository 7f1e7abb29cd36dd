package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// smallCheckpoint writes a checkpoint of two tensors as step 20, with one of
// step 18 beside it, and returns its path.
func smallCheckpoint(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkpoints")
	d := smallDevice(t)
	for _, step := range []int64{16, 18, 20} {
		h := checkpointHeader{Seed: 7, Steps: 60, Step: step, RNG: []byte("pcg"), Tensors: describe(d.Persistent())}
		if err := writeCheckpoint(dir, h, oneByOne(d.Persistent()), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	paths := listCheckpoints(dir)
	if len(paths) != checkpointsKept || filepath.Base(paths[1]) != "step-00000020.ckpt" {
		t.Fatalf("these are left: %v", paths)
	}
	return paths[1]
}

func smallDevice(t *testing.T) *tensor.Device {
	t.Helper()
	d, err := tensor.Open(tensor.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	d.Param("w", 2, 3).SetHost([]float32{1, -2, 3e-40, 3e38, 0, float32(math.Copysign(0, -1))})
	d.State("m", 5).Fill(0.1)
	return d
}

// wantBad opens a checkpoint that cannot be used. The message names the file,
// what is wrong and what to do.
func wantBad(t *testing.T, path, what string) {
	t.Helper()
	c, err := openCheckpoint(path)
	if err == nil {
		c.close()
		t.Fatalf("%s was accepted", what)
	}
	var f *Failure
	if !errors.As(err, &f) || f.Reason != ReasonBadCheckpoint || !strings.Contains(f.Message, path) ||
		!strings.Contains(f.Message, what) || !strings.Contains(f.Message, "start again without --resume") {
		t.Errorf("got %v, want a bad checkpoint that names %s and says %q", err, path, what)
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	path := smallCheckpoint(t)
	c, err := openCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	other, err := tensor.Open(tensor.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.Param("w", 2, 3)
	other.State("m", 5)
	if err := c.load(other.Persistent()); err != nil {
		t.Fatal(err)
	}
	for i, p := range smallDevice(t).Persistent() {
		if got := other.Persistent()[i]; !slices.EqualFunc(got.Host(), p.Host(), func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%s came back as %v, was %v", p.Name(), got.Host(), p.Host())
		}
	}
	if h := c.header; h.Step != 20 || h.Seed != 7 || string(h.RNG) != "pcg" {
		t.Errorf("the header came back as %+v", h)
	}
}

// Cut anywhere, or with any bit flipped, a checkpoint is refused.
func TestDamageAnywhere(t *testing.T) {
	path := smallCheckpoint(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(damaged []byte, what string) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := openCheckpoint(path)
		var f *Failure
		if err == nil {
			c.close()
			t.Fatalf("%s was accepted", what)
		} else if !errors.As(err, &f) || f.Reason != ReasonBadCheckpoint || !strings.Contains(f.Message, "resume from the one before, "+checkpointPath(filepath.Dir(path), 18)) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for n := range whole {
		try(whole[:n], fmt.Sprintf("cut to %d of %d bytes", n, len(whole)))
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		try(damaged, fmt.Sprintf("byte %d flipped", i))
	}
	try(append(bytes.Clone(whole), 0), "one byte too many")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := openCheckpoint(path); err != nil {
		t.Fatal(err)
	} else {
		c.close()
	}
}

// What is wrong is said in words that fit.
func TestBadCheckpoints(t *testing.T) {
	seal := func(body string) []byte {
		sum := sha256.Sum256([]byte(body))
		return append([]byte(body), sum[:]...)
	}
	framed := func(header, values string) []byte {
		return seal(string(binary.LittleEndian.AppendUint32([]byte(checkpointMagic), uint32(len(header)))) + header + values)
	}
	for what, content := range map[string][]byte{
		"it is empty":            nil,
		"it is not a checkpoint": []byte("{\"step\": 12}\n"),
		"of version 2, and this trainer reads version 1; use the trainer that wrote it": []byte("ARCKPT2\nwhatever"),
		"cut short: 9 bytes":                 []byte(checkpointMagic + "x"),
		"checksum does not match":            append(framed("{}", "")[:20], make([]byte, 40)...),
		"its header is longer than the file": seal(checkpointMagic + "\xff\xff\xff\xff{}"),
		"its header cannot be read":          framed("{\"step\": \"many\"}", ""),
		"speaks of 6 values, and 8 bytes":    framed(`{"tensors":[{"name":"w","shape":[2,3]}]}`, "12345678"),
		"speaks of 0 values, and 4 bytes":    framed(`{"tensors":[{"name":"w","shape":[9999999999,9999999999]}]}`, "1234"),
	} {
		path := filepath.Join(t.TempDir(), "step-00000020.ckpt")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		wantBad(t, path, what)
	}
	wantBad(t, filepath.Join(t.TempDir(), "absent.ckpt"), "no such file")
	wantBad(t, t.TempDir(), "it is not a file")
}

// A checkpoint of another run is refused with what differs.
func TestForeignCheckpoint(t *testing.T) {
	d := smallDevice(t)
	h := checkpointHeader{Seed: 7, Steps: 60, Tensors: describe(d.Persistent())}
	same := options{seed: 7, steps: 60, resume: "step-00000020.ckpt"}
	if err := h.belongsTo(same, d.Persistent()); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*checkpointHeader){
		"with --seed 8 --steps 60, and this run has --seed 7 --steps 60": func(h *checkpointHeader) { h.Seed = 8 },
		"--steps 61": func(h *checkpointHeader) { h.Steps = 61 },
		"--budget 1m0s, and this run has --seed 7 --steps 60":             func(h *checkpointHeader) { h.Steps, h.Budget = 0, time.Minute },
		"its tensor 0 is w [3 2], and that of this program is w [2 3]":    func(h *checkpointHeader) { h.Tensors[0].Shape = []int{3, 2} },
		"its tensor 1 is velocity [5], and that of this program is m [5]": func(h *checkpointHeader) { h.Tensors[1].Name = "velocity" },
		"its tensor 1 is missing":                                         func(h *checkpointHeader) { h.Tensors = h.Tensors[:1] },
		"that of this program is missing":                                 func(h *checkpointHeader) { h.Tensors = append(h.Tensors, tensorInfo{"extra", []int{1}}) },
	} {
		other := h
		other.Tensors = slices.Clone(h.Tensors)
		change(&other)
		var f *Failure
		if err := other.belongsTo(same, d.Persistent()); !errors.As(err, &f) || f.Reason != ReasonBadCheckpoint || !strings.Contains(f.Message, want) || !strings.Contains(f.Message, same.resume) {
			t.Errorf("got %v, want a bad checkpoint that names the file and says %q", err, want)
		}
	}
}

// The bytes in a checkpoint do not depend on the machine.
func TestLittleEndian(t *testing.T) {
	v := []float32{0, 1, -1, 1e-45, math.MaxFloat32, float32(math.Inf(1)), 0.1}
	var a, b []byte
	native, portable := littleEndian(v, &a), encode(v, &b)
	if !bytes.Equal(native, portable) {
		t.Errorf("% x natively, % x portably", native, portable)
	}
	if want := "00000000 0000803f 000080bf 01000000"; fmt.Sprintf("%x %x %x %x", portable[:4], portable[4:8], portable[8:12], portable[12:16]) != want {
		t.Errorf("1, -1 and the smallest number begin with % x, want %s", portable, want)
	}
	if got := fromLittleEndian(nil, portable); !slices.Equal(got, v) {
		t.Errorf("back: %v", got)
	}
	if len(littleEndian(nil, &a)) != 0 {
		t.Error("nothing became something")
	}
}
