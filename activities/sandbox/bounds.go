package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// Bounds that the kernel does not hold, or not everywhere, are watched: the
// tree's memory, its processes and what it writes to the disk. Where the kernel
// bounds them too (process numbers, file sizes, control groups) its bound lies
// higher, so that it is still we who say what was too much.

// What ends a tree that goes beyond its Spec: Outcome.Stopped wraps one of them.
var (
	ErrMemory    = errors.New("memory limit exceeded")          // more than Spec.Memory
	ErrProcesses = errors.New("limit of processes exceeded")    // more than Spec.Processes
	ErrDisk      = errors.New("limit of the disk use exceeded") // more than Spec.Disk
)

// manyProcesses is Spec.Processes where it is not said.
const manyProcesses = 2048

func (s Spec) processes() int {
	if s.Processes > 0 {
		return s.Processes
	}
	return manyProcesses
}

// exceeded says which bound a sample is beyond.
func (c *child) exceeded(s Sample, threads int) error {
	if most := c.spec.Memory; most > 0 && s.Memory > most {
		return fmt.Errorf("%w: %d MiB of %d MiB", ErrMemory, s.Memory>>20, most>>20)
	}
	most := c.spec.processes()
	if threads > most {
		return fmt.Errorf("%w: %d processes and threads of %d", ErrProcesses, threads, most)
	}
	if _, forks, _ := c.stage.refused(); forks > 0 {
		return fmt.Errorf("%w: it tried to start more than %d processes and threads", ErrProcesses, most)
	}
	if grown := c.disk.look(s.Wall, c.tree.openFiles); c.spec.Disk > 0 && grown > c.spec.Disk {
		return fmt.Errorf("%w: %d MiB of %d MiB", ErrDisk, grown>>20, c.spec.Disk>>20)
	}
	return nil
}

// diskWatch adds up what a run has written.
type diskWatch struct {
	trees []string // none: it is not watched
	began int64    // bytes that were there before
	grown int64
	next  time.Duration // when to look again
}

func watchDisk(s Spec) *diskWatch {
	w := &diskWatch{}
	if s.Disk > 0 {
		w.trees = append([]string{s.Dir}, s.Writable...)
		w.began = w.bytes(nil)
	}
	return w
}

// Looking at a tree is cheap but not free: at most one part in diskShare of the
// time goes into it.
const (
	diskEvery = time.Second
	diskShare = 50
)

// look returns by how much the trees have grown, as of the last look. unlinked
// lists open files that have no name any more.
func (w *diskWatch) look(now time.Duration, unlinked func() map[inode]int64) int64 {
	if len(w.trees) == 0 || now < w.next {
		return w.grown
	}
	began := time.Now()
	w.grown = w.bytes(unlinked()) - w.began
	w.next = now + max(diskEvery, diskShare*time.Since(began))
	return w.grown
}

// inode is a file, whatever its names.
type inode struct{ device, number uint64 }

// bytes adds up the blocks of every file once.
func (w *diskWatch) bytes(more map[inode]int64) int64 {
	seen := map[inode]int64{}
	for file, size := range more {
		seen[file] = size
	}
	for _, tree := range w.trees {
		_ = filepath.WalkDir(tree, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // it changes while we look
			}
			if info, err := d.Info(); err == nil {
				if st, ok := info.Sys().(*syscall.Stat_t); ok {
					seen[inode{uint64(st.Dev), st.Ino}] = st.Blocks * 512
				}
			}
			return nil
		})
	}
	var sum int64
	for _, size := range seen {
		sum += size
	}
	return sum
}
