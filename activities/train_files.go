package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The artifacts of a training run, below <tag>/<number>/. Run 0, for most
// experiments the only one, has the plain names:
//
//	train.log          train-1.log          ...   output of all attempts
//	metrics.jsonl      metrics-1.jsonl      ...   the curve, each step once
//	model.safetensors  model-1.safetensors  ...
//	evaluation.json    evaluation-1.json    ...   EvaluateResult
//	run-0.json         run-1.json           ...   TrainResult, the last lines of a failure; written last
//	run-0-again-1.json ...                        the same, of a run whose model was lost
//
// An experiment that was given another parent is another candidate, and shares
// nothing with what it was before. Its revision stands in each name:
//
//	train-rev-2.log  train-1-rev-2.log  run-0-rev-2.json  run-0-rev-2-again-1.json

// recordName is the artifact that says that a run is over. It is written once,
// so a run that had to be trained again has another one.
func recordName(revision, run, again int) string {
	name := fmt.Sprintf("run-%d%s", run, ofRevision(revision))
	if again > 0 {
		name += fmt.Sprintf("-again-%d", again)
	}
	return name + ".json"
}

var recordPattern = regexp.MustCompile(`^run-(?:0|[1-9]\d*)(?:-rev-([1-9]\d*))?(?:-again-[1-9]\d*)?\.json$`)

// runRecordRevision tells from the name of an artifact whether it is the record
// of a run that is over, and of which revision of its experiment.
func runRecordRevision(name string) (revision int, ok bool) {
	m := recordPattern.FindStringSubmatch(name)
	if m == nil || m[1] == "" {
		return 0, m != nil
	}
	revision, err := strconv.Atoi(m[1])
	if err != nil { // more digits than a number has
		return 0, false
	}
	return revision, true
}

// runFile is the name of a file of this run.
func runFile(name string, revision, run int) string {
	ext := filepath.Ext(name)
	base := strings.TrimSuffix(name, ext)
	if run > 0 {
		base += fmt.Sprintf("-%d", run)
	}
	return base + ofRevision(revision) + ext
}

func ofRevision(revision int) string {
	if revision == 0 {
		return ""
	}
	return fmt.Sprintf("-rev-%d", revision)
}

// attempts is a training run on this host: directories <number>-<run>-<attempt>
// (or <number>-<run>-rev-<revision>-<attempt>), each with what its attempt has
// written, and beside each of them the log (.log) and what the target wants to
// remember of it.
type attempts struct {
	home                experiment.Home
	tag                 string
	number, revision, k int
}

func logOfAttempt(dir string) string { return dir + ".log" }

func (r attempts) key(name string) string {
	return experiment.Key(r.tag, r.number, runFile(name, r.revision, r.k))
}

// record is the artifact key of the run's record.
func (r attempts) record(again int) string {
	return experiment.Key(r.tag, r.number, recordName(r.revision, r.k, again))
}

// prefix is what the paths of all attempts start with, and those of no other run.
func (r attempts) prefix() string {
	return strings.TrimSuffix(r.home.Run(r.tag, r.number, r.revision, r.k, 0), "0")
}

// list returns the numbers of the attempts so far, in order.
func (r attempts) list() (numbers []int) {
	prefix := r.prefix()
	entries, _ := os.ReadDir(filepath.Dir(prefix)) // none yet
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(prefix))
		if n, err := strconv.Atoi(suffix); ok && err == nil && n > 0 && e.IsDir() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// void takes back the newest attempt: nothing of it is built on, and it is no
// attempt. It is counted, also for a worker of this home that comes later.
func (r attempts) void() {
	if list := r.list(); len(list) > 0 {
		r.tally(voidFile)
		removeWithNeighbours(r.dir(list[len(list)-1]))
	}
}

// Counts of a run, in files beside its attempts; no attempt has their names.
const (
	voidFile  = "void"  // attempts that did not count
	blameFile = "blame" // attempts that blamed their GPU
)

// tally counts one more.
func (r attempts) tally(file string) (n int) {
	n = r.counted(file) + 1
	_ = os.WriteFile(r.prefix()+file, []byte(strconv.Itoa(n)), 0o644) // it is a figure for people, and a bound
	return n
}

func (r attempts) counted(file string) int {
	b, _ := os.ReadFile(r.prefix() + file) // none yet
	n, _ := strconv.Atoi(string(b))
	return n
}

func (r attempts) count() int { return len(r.list()) }

func (r attempts) dir(n int) string { return r.home.Run(r.tag, r.number, r.revision, r.k, n) }

// next makes the directory of a new attempt; earlier are the others, newest first.
func (r attempts) next() (dir string, earlier []string, err error) {
	n := 1
	for _, old := range r.list() {
		earlier, n = append(earlier, r.dir(old)), old+1
	}
	slices.Reverse(earlier)
	dir = r.dir(n)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", nil, fmt.Errorf("making the run directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil { // exclusive: an attempt owns its directory
		return "", nil, fmt.Errorf("making the run directory: %w", err)
	}
	return dir, earlier, nil
}

// store puts the log and the curve of all attempts into the artifact store.
func (r attempts) store(ctx context.Context, store artifact.Store) error {
	var log bytes.Buffer
	var curve [][]byte
	list := r.list()
	for _, n := range list {
		text, err := readIfThere(logOfAttempt(r.dir(n)))
		if err != nil {
			return err
		}
		if len(list) > 1 {
			fmt.Fprintf(&log, "--- attempt %d\n", n)
		}
		log.Write(text)
		lines, err := readIfThere(filepath.Join(r.dir(n), "metrics.jsonl"))
		if err != nil {
			return err
		}
		curve = append(curve, lines)
	}
	// People look at these in a terminal.
	if err := putText(ctx, store, r.key("train.log"), []byte(guard.Plain(log.String()))); err != nil {
		return err
	}
	return putText(ctx, store, r.key("metrics.jsonl"), []byte(guard.Plain(string(joinCurves(curve)))))
}

// maxCurve bounds what is read of a curve; one of a thousand lines has 200 KB.
const maxCurve = 64 << 20

// readIfThere reads what a candidate's process may have written, if it is a
// regular file: nothing else is worth an error of ours.
func readIfThere(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	return target.ReadRegular(path, maxCurve)
}

// joinCurves joins the metrics of attempts so that each step is there once: an
// attempt takes over from its first step on, and what an earlier one did
// beyond that belongs to a past that did not last.
func joinCurves(curves [][]byte) []byte {
	type line struct {
		step int64
		text []byte
	}
	var joined []line
	for _, curve := range curves {
		first := true
		for text := range bytes.Lines(curve) {
			var m struct {
				Step int64 `json:"step"`
			}
			if json.Unmarshal(text, &m) != nil || !bytes.HasSuffix(text, []byte("\n")) {
				continue // cut short
			}
			if first {
				joined = slices.DeleteFunc(joined, func(l line) bool { return l.step >= m.Step })
				first = false
			}
			joined = append(joined, line{m.Step, text})
		}
	}
	var out []byte
	for _, l := range joined {
		out = append(out, l.text...)
	}
	return out
}

// removeCheckpoints frees what only another attempt would have needed.
func (r attempts) removeCheckpoints() {
	for _, n := range r.list() {
		_ = os.RemoveAll(filepath.Join(r.dir(n), "checkpoints"))
	}
}

// remove frees everything of the run.
func (r attempts) remove() {
	for _, n := range r.list() {
		removeWithNeighbours(r.dir(n))
	}
	_ = os.Remove(r.prefix() + voidFile)
	_ = os.Remove(r.prefix() + blameFile)
}

// removeWithNeighbours removes a directory and the files that have its name.
func removeWithNeighbours(dir string) {
	entries, _ := os.ReadDir(filepath.Dir(dir))
	for _, e := range entries {
		if e.Name() == filepath.Base(dir) || strings.HasPrefix(e.Name(), filepath.Base(dir)+".") {
			_ = os.RemoveAll(filepath.Join(filepath.Dir(dir), e.Name()))
		}
	}
}
