package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// A checkpoint file is
//
//	magic    8 bytes; the digit is the version
//	length   of the header, uint32
//	header   a checkpointHeader as JSON
//	values   of each tensor in the header's order, float32
//	digest   SHA-256 of all of the above
//
// with numbers in little-endian order.
const (
	checkpointMagic  = "ARCKPT1\n"
	checkpointFamily = "ARCKPT" // of all versions
	checkpointFrame  = len(checkpointMagic) + 4
)

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

// floats counts the values that follow the header; ok is false for shapes that
// no tensor has.
func (h checkpointHeader) floats() (n int, ok bool) {
	for _, info := range h.Tensors {
		size := 1
		for _, d := range info.Shape {
			if d < 1 || d > math.MaxInt32 || size > math.MaxInt32/d {
				return 0, false
			}
			size *= d
		}
		n += size
	}
	return n, true
}

func checkpointPath(dir string, step int64) string {
	return filepath.Join(dir, fmt.Sprintf("step-%08d.ckpt", step))
}

// listCheckpoints returns the paths of the checkpoints below dir, the latest
// last.
func listCheckpoints(dir string) []string {
	paths, _ := filepath.Glob(filepath.Join(dir, "step-*.ckpt")) // fails only for a bad pattern
	slices.Sort(paths)
	return paths
}

// chunk is how many values are encoded, hashed and written at once: few enough
// to stay in the cache from one to the next.
const chunk = 64 << 10

// writeCheckpoint writes a checkpoint below dir, with the values that values
// yields, and removes all but the latest. between is called between chunks.
func writeCheckpoint(dir string, h checkpointHeader, values iter.Seq[[]float32], between func()) error {
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// A directory of checkpoints that somebody has removed comes back; a run
	// directory does not.
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w%s", err, advice(err))
	}
	err = writeFile(checkpointPath(dir, h.Step), func(file io.Writer) error {
		digest := sha256.New()
		w := io.MultiWriter(digest, file)
		_, err := w.Write(append(binary.LittleEndian.AppendUint32([]byte(checkpointMagic), uint32(len(header))), header...))
		var buffer []byte
		for v := range values {
			for part := range slices.Chunk(v, chunk) {
				if err == nil {
					_, err = w.Write(littleEndian(part, &buffer))
					between()
				}
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
func pruneCheckpoints(dir string, doomed func([]string) []string) (err error) {
	for _, path := range doomed(listCheckpoints(dir)) {
		err = errors.Join(err, system.remove(path))
	}
	if err != nil {
		return fmt.Errorf("removing old checkpoints: %w%s", err, advice(err))
	}
	return nil
}

// checkpointReader reads a checkpoint whose digest was found right.
type checkpointReader struct {
	path   string
	file   *os.File // at the values
	header checkpointHeader
}

// openCheckpoint checks a whole checkpoint and reads its header. It holds no
// more of it in memory than that.
func openCheckpoint(path string) (c *checkpointReader, err error) {
	c = &checkpointReader{path: path}
	if c.file, err = os.Open(path); err != nil {
		return nil, c.bad("%v", err)
	}
	if err := c.check(); err != nil {
		_ = c.file.Close()
		return nil, err
	}
	return c, nil
}

func (c *checkpointReader) close() { _ = c.file.Close() }

// bad is a failure that names the checkpoint and what to do instead.
func (c *checkpointReader) bad(format string, args ...any) error {
	remedy := "start again without --resume"
	before := listCheckpoints(filepath.Dir(c.path))
	if i := slices.Index(before, c.path); i > 0 {
		remedy = fmt.Sprintf("resume from the one before, %s, or %s", before[i-1], remedy)
	}
	return failuref(ReasonBadCheckpoint, "resuming from the checkpoint %s: %s; %s", c.path, fmt.Sprintf(format, args...), remedy)
}

// check reads everything once for the digest and then the header, which is not
// looked at before it is known to be what was written.
func (c *checkpointReader) check() error {
	info, err := c.file.Stat()
	if err != nil {
		return c.bad("%v", err)
	}
	if !info.Mode().IsRegular() {
		return c.bad("it is not a file")
	}
	size := info.Size()
	frame := make([]byte, checkpointFrame)
	if _, err := io.ReadFull(c.file, frame); err != nil && size >= int64(checkpointFrame) {
		return c.bad("%v", err)
	}
	magic := string(frame[:len(checkpointMagic)])
	switch {
	case size == 0:
		return c.bad("it is empty")
	case strings.HasPrefix(magic, checkpointFamily) && magic != checkpointMagic && magic[7] == '\n' && magic[6] > '1' && magic[6] <= '9':
		return c.bad("it is of version %c, and this trainer reads version %c; use the trainer that wrote it", magic[6], checkpointMagic[6])
	case magic != checkpointMagic:
		return c.bad("it is not a checkpoint, or its beginning is damaged")
	case size < int64(checkpointFrame+sha256.Size):
		return c.bad("it is cut short: %d bytes are not even a header", size)
	}
	digest := sha256.New()
	digest.Write(frame)
	if err := c.checkDigest(digest, size-int64(checkpointFrame)-sha256.Size); err != nil {
		return err
	}
	return c.readHeader(int64(binary.LittleEndian.Uint32(frame[len(checkpointMagic):])), size)
}

func (c *checkpointReader) checkDigest(digest hash.Hash, rest int64) error {
	if _, err := io.CopyBuffer(onlyWriter{digest}, io.LimitReader(c.file, rest), make([]byte, 4*chunk)); err != nil {
		return c.bad("%v", err)
	}
	sum := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c.file, sum); err != nil {
		return c.bad("%v", err)
	}
	if !bytes.Equal(digest.Sum(nil), sum) {
		return c.bad("it is damaged or cut short: its checksum does not match")
	}
	return nil
}

// onlyWriter hides what else a writer can do, so that io.CopyBuffer uses the
// buffer it is given.
type onlyWriter struct{ io.Writer }

// readHeader reads a header of n bytes in a file of size bytes and leaves the
// file at the values.
func (c *checkpointReader) readHeader(n, size int64) error {
	values := size - int64(checkpointFrame) - n - sha256.Size
	if values < 0 {
		return c.bad("its header is longer than the file")
	}
	text := make([]byte, n)
	if _, err := c.file.ReadAt(text, int64(checkpointFrame)); err != nil {
		return c.bad("%v", err)
	}
	if err := json.Unmarshal(text, &c.header); err != nil {
		return c.bad("its header cannot be read: %v", err)
	}
	if have, ok := c.header.floats(); !ok || values != 4*int64(have) {
		return c.bad("its header speaks of %d values, and %d bytes follow", have, values)
	}
	_, err := c.file.Seek(int64(checkpointFrame)+n, io.SeekStart)
	return err
}

// load puts the values into tensors, which belongsTo has accepted.
func (c *checkpointReader) load(tensors []*tensor.Tensor) error {
	var buffer []byte
	var values []float32
	for _, t := range tensors {
		buffer = slices.Grow(buffer[:0], 4*t.Size())[:4*t.Size()]
		if _, err := io.ReadFull(c.file, buffer); err != nil {
			return c.bad("reading %s: %v", t.Name(), err)
		}
		values = fromLittleEndian(values[:0], buffer)
		t.SetHost(values)
	}
	return nil
}

// belongsTo tells why the checkpoint cannot continue a run with these options
// and tensors; nil means that it can.
func (h checkpointHeader) belongsTo(o options, tensors []*tensor.Tensor) error {
	if h.Seed != o.seed || h.Budget != o.budget || h.Steps != o.steps {
		return failuref(ReasonBadCheckpoint,
			"resuming from %s: it was written with --seed %d %s, and this run has --seed %d %s; pass the same",
			o.resume, h.Seed, length(h.Budget, h.Steps), o.seed, length(o.budget, o.steps))
	}
	have := describe(tensors)
	for i := range max(len(have), len(h.Tensors)) {
		if i < len(have) && i < len(h.Tensors) && have[i].Name == h.Tensors[i].Name && slices.Equal(have[i].Shape, h.Tensors[i].Shape) {
			continue
		}
		return failuref(ReasonBadCheckpoint,
			"resuming from %s: its tensor %d is %s, and that of this program is %s; it was written by another program, or the program creates tensors after its first Next",
			o.resume, i, nth(h.Tensors, i), nth(have, i))
	}
	return nil
}

// length writes the flag that says how long a run is.
func length(budget time.Duration, steps int) string {
	if steps > 0 {
		return fmt.Sprintf("--steps %d", steps)
	}
	return fmt.Sprintf("--budget %v", budget)
}

func nth(infos []tensorInfo, i int) string {
	if i >= len(infos) {
		return "missing"
	}
	return fmt.Sprintf("%s %v", infos[i].Name, infos[i].Shape)
}
