package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The journal of an attempt says what was charged to the run when each
// checkpoint appeared, as measured by us. It lies beside the run directory, out
// of the candidate's reach, and is what a later attempt carries on from.

// entry is one line of a journal. Charged counts from the start of the run,
// Wall from the start of the attempt.
type entry struct {
	Checkpoint string        `json:"checkpoint,omitempty"`  // the newest one then
	Modified   int64         `json:"modified_ns,omitempty"` // its file's time: one that is written again costs what it costs then
	Killed     bool          `json:"killed,omitempty"`      // the attempt ended by a signal that was not ours
	Charged    time.Duration `json:"charged_ns"`
	Wall       time.Duration `json:"wall_ns"`
	Peak       int64         `json:"peak_memory_bytes"`
}

// same says whether two entries saw the same file as the newest checkpoint.
// Journals of old do not say when theirs was written.
func (e entry) same(o entry) bool {
	return e.Checkpoint == o.Checkpoint && (e.Modified == o.Modified || e.Modified == 0 || o.Modified == 0)
}

func journalPath(dir string) string { return filepath.Clean(dir) + ".journal" }

// journal is written by one attempt.
type journal struct {
	f    *os.File
	last entry
}

func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the run directory: %w", err)
	}
	f, err := os.OpenFile(journalPath(dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the run's journal: %w", err)
	}
	return &journal{f: f}, nil
}

// note adds an entry when a checkpoint is new, and else once a second.
func (j *journal) note(e entry) error {
	if e.same(j.last) && e.Wall-j.last.Wall < time.Second {
		return nil
	}
	return j.add(e)
}

func (j *journal) add(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.f.Write(append(line, '\n')); err != nil {
		return err
	}
	if !e.same(j.last) {
		err = j.f.Sync() // the checkpoint survives a power cut, and so must its price
	}
	j.last = e
	return err
}

func (j *journal) close() { _ = j.f.Close() }

// readJournal returns the entries of an attempt's journal. A last line that was
// cut short by a crash is left out.
func readJournal(dir string) ([]entry, error) {
	text, err := os.ReadFile(journalPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoJournal
	}
	if err != nil {
		return nil, err
	}
	var list []entry
	for line := range bytes.Lines(text) {
		var e entry
		if json.Unmarshal(line, &e) == nil {
			list = append(list, e)
		}
	}
	return list, nil
}

// checkpoint is a place to go on from. The zero checkpoint is a fresh start.
type checkpoint struct {
	path string
	step int64
	entry
}

// checkpoints lists those in a run directory, newest first. Only the harness
// knows whether they are whole.
func checkpoints(dir string) (list []checkpoint) {
	entries, _ := os.ReadDir(filepath.Join(dir, checkpointsDir)) // none yet
	for _, e := range entries {
		c := checkpoint{path: filepath.Join(dir, checkpointsDir, e.Name())}
		_, err := fmt.Sscanf(e.Name(), "step-%d.ckpt", &c.step)
		if err != nil || filepath.Ext(e.Name()) != ".ckpt" || !e.Type().IsRegular() || c.step <= 0 {
			continue
		}
		if info, err := e.Info(); err == nil { // else it is gone
			c.Checkpoint, c.Modified = e.Name(), info.ModTime().UnixNano()
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b checkpoint) int { return int(b.step - a.step) })
	return list
}

func newestCheckpoint(dir string) checkpoint {
	if list := checkpoints(dir); len(list) > 0 {
		return list[0]
	}
	return checkpoint{}
}

// earlier lists the checkpoints of earlier attempts in the order in which they
// should be tried, each with its price, and the wall time the attempts took.
// An attempt without a journal has no known price and is passed over.
func earlier(dirs []string) (list []checkpoint, wall time.Duration, err error) {
	for _, dir := range dirs {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return nil, 0, err
		}
		entries, err := readJournal(dir)
		if errors.Is(err, errNoJournal) || err == nil && len(entries) == 0 {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		last := entries[len(entries)-1]
		wall += last.Wall
		for _, c := range checkpoints(dir) {
			// One that appeared, or changed, after the last look costs at least
			// what was charged then.
			price := last
			if i := slices.IndexFunc(entries, c.same); i >= 0 {
				price = entries[i]
			}
			c.entry = price
			list = append(list, c)
		}
	}
	return list, wall, nil
}

// kills counts the earlier attempts that were ended by a signal of somebody else.
func kills(dirs []string) (n int) {
	for _, dir := range dirs {
		entries, _ := readJournal(dir) // earlier has complained
		if slices.ContainsFunc(entries, func(e entry) bool { return e.Killed }) {
			n++
		}
	}
	return n
}

// adopt puts the checkpoint into the run directory dir, so that an attempt needs
// nothing of earlier ones, not even if it ends before its first checkpoint.
func (c checkpoint) adopt(dir string) (checkpoint, error) {
	if c.step == 0 {
		return c, nil
	}
	own := filepath.Join(dir, checkpointsDir, filepath.Base(c.path))
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		return c, fmt.Errorf("taking over the checkpoint %s: %w", c.path, err)
	}
	// Checkpoints are never changed in place, so a second name will do.
	err := os.Link(c.path, own)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = copyFile(own, c.path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return c, fmt.Errorf("taking over the checkpoint %s: %w", c.path, err)
	}
	c.path = own
	return c, nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// errNoJournal: the attempt never started its trainer, or somebody has tidied up.
var errNoJournal = errors.New("no journal")
