package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// A checkpoint file is
//
//	magic    8 bytes
//	length   of the header, uint32
//	header   a checkpointHeader as JSON
//	values   of each tensor in the header's order, float32
//	digest   SHA-256 of all of the above
//
// with numbers in little-endian order.
const checkpointMagic = "ARCKPT1\n"

// checkpointsKept is how many checkpoints stay on disk. The older one is for
// the case that the newer one is damaged.
const checkpointsKept = 2

// checkpointHeader is everything a run needs to go on, apart from the values
// of the tensors.
type checkpointHeader struct {
	Seed       uint64        `json:"seed"`
	Budget     time.Duration `json:"budget_ns"` // schedules follow this one,
	Steps      int           `json:"steps"`     // or this one
	Step       int64         `json:"step"`
	Tokens     int64         `json:"tokens"`
	Windows    int64         `json:"windows"` // position in the data
	Charged    time.Duration `json:"charged_ns"`
	SmoothLoss float64       `json:"smooth_loss"`
	RNG        []byte        `json:"rng"`
	Tensors    []tensorInfo  `json:"tensors"`
}

type tensorInfo struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// describe lists the tensors that a checkpoint holds.
func describe(tensors []*tensor.Tensor) []tensorInfo {
	infos := make([]tensorInfo, len(tensors))
	for i, t := range tensors {
		infos[i] = tensorInfo{t.Name(), t.Shape()}
	}
	return infos
}

// writeCheckpoint writes a checkpoint below dir and removes all but the latest.
func writeCheckpoint(dir string, h checkpointHeader, tensors []*tensor.Tensor) error {
	h.Tensors = describe(tensors)
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, fmt.Sprintf("step-%08d.ckpt", h.Step))
	err = writeFile(path, func(file io.Writer) error {
		digest := sha256.New()
		w := io.MultiWriter(file, digest)
		_, err := w.Write(binary.LittleEndian.AppendUint32([]byte(checkpointMagic), uint32(len(header))))
		if err == nil {
			_, err = w.Write(header)
		}
		var buffer []byte
		for _, t := range tensors {
			if err == nil {
				buffer = appendFloats(buffer[:0], t.Host())
				_, err = w.Write(buffer)
			}
		}
		if err == nil {
			_, err = file.Write(digest.Sum(nil))
		}
		return err
	})
	if err != nil {
		return err
	}
	return pruneCheckpoints(dir, func(older []string) []string {
		return older[:max(0, len(older)-checkpointsKept)]
	})
}

// pruneCheckpoints removes those that doomed picks from the checkpoints below
// dir, which it gets from first to last.
func pruneCheckpoints(dir string, doomed func([]string) []string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "step-*.ckpt"))
	slices.Sort(paths)
	for _, path := range doomed(paths) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// readCheckpoint reads a checkpoint: its header and the values of its tensors.
func readCheckpoint(path string) (h checkpointHeader, values [][]float32, err error) {
	bad := func(format string, args ...any) (checkpointHeader, [][]float32, error) {
		return checkpointHeader{}, nil, failuref(ReasonBadCheckpoint,
			"resuming from the checkpoint %s: %s; resume from the older one, or start again without --resume",
			path, fmt.Sprintf(format, args...))
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return bad("%v", err)
	}
	const frame = len(checkpointMagic) + 4
	if len(file) < frame+sha256.Size || string(file[:len(checkpointMagic)]) != checkpointMagic {
		return bad("it is not a checkpoint, or cut short")
	}
	body, sum := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(want[:], sum) {
		return bad("it is damaged: its checksum does not match")
	}
	size := int(binary.LittleEndian.Uint32(body[len(checkpointMagic):]))
	if size > len(body)-frame {
		return bad("its header is longer than the file")
	}
	if err := json.Unmarshal(body[frame:frame+size], &h); err != nil {
		return bad("its header cannot be read: %v", err)
	}
	rest := body[frame+size:]
	for _, info := range h.Tensors {
		n := elements(info.Shape)
		if 4*n > len(rest) {
			return bad("the values of %s are missing", info.Name)
		}
		values = append(values, floats(rest[:4*n]))
		rest = rest[4*n:]
	}
	return h, values, nil
}

// belongsTo tells why the checkpoint cannot continue a run with these options
// and tensors; nil means that it can.
func (h checkpointHeader) belongsTo(o options, tensors []*tensor.Tensor) error {
	if h.Seed != o.seed || h.Budget != o.budget || h.Steps != o.steps {
		return failuref(ReasonBadCheckpoint,
			"resuming from %s: it was written with --seed %d --budget %v --steps %d, and this run has --seed %d --budget %v --steps %d; pass the same",
			o.resume, h.Seed, h.Budget, h.Steps, o.seed, o.budget, o.steps)
	}
	have := describe(tensors)
	for i := range max(len(have), len(h.Tensors)) {
		if i >= len(have) || i >= len(h.Tensors) || have[i].Name != h.Tensors[i].Name || !slices.Equal(have[i].Shape, h.Tensors[i].Shape) {
			return failuref(ReasonBadCheckpoint,
				"resuming from %s: its %d tensors are not the %d that this program has created before its first Next; it was written by another program, or the program creates tensors late",
				o.resume, len(h.Tensors), len(have))
		}
	}
	return nil
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func appendFloats(b []byte, v []float32) []byte {
	b = slices.Grow(b, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}
