//go:build cuda

package gpu

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// choices remembers which variant was the fastest for a product, in memory and
// in a file that processes share. A line of the file is
//
//	<GPU and library version>|<key>\t<index>\t<splits>\t<microseconds>
//
// with a place in the library's list, never the library's own bytes: whatever
// someone writes into the file, the worst that comes of it is a slow product.
// Lines that do not parse are left out.
type choices struct {
	path   string // "" keeps nothing
	prefix string // of keys
	known  map[string]choice
}

// choice is a variant and how long it took.
type choice struct {
	variant
	took time.Duration
}

const (
	choicesFile = "products.txt"
	choicesMost = 1 << 20 // bytes that are read of the file
)

// openChoices reads the file of a directory, if there is one; dir "" is none.
func openChoices(dir, gpuName string, libraryVersion int) *choices {
	c := &choices{prefix: fmt.Sprintf("%s %d|", strings.Join(strings.Fields(gpuName), " "), libraryVersion), known: map[string]choice{}}
	if dir != "" {
		c.path = filepath.Join(dir, choicesFile)
		if b, err := readMost(c.path); err == nil {
			c.known = parseChoices(b)
		}
	}
	return c
}

func readMost(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, choicesMost))
}

func (c *choices) get(key string) (choice, bool) {
	v, ok := c.known[c.prefix+key]
	return v, ok
}

// add remembers a choice and returns the one that counts: another process may
// have been first, and all should compute the same.
func (c *choices) add(key string, v choice) choice {
	key = c.prefix + key
	c.known[key] = v
	if c.path == "" {
		return v
	}
	// A cache that cannot be written is none; the next process chooses again.
	_ = c.merge()
	return c.known[key]
}

// merge brings memory and file together; what the file has counts.
func (c *choices) merge() error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
		return fmt.Errorf("gpu: keep choices: %w", err)
	}
	lock, err := os.OpenFile(c.path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("gpu: keep choices: %w", err)
	}
	defer lock.Close() // which gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("gpu: keep choices: %w", err)
	}
	if b, err := readMost(c.path); err == nil {
		for k, v := range parseChoices(b) {
			c.known[k] = v
		}
	}
	tmp := fmt.Sprintf("%s.%d", c.path, os.Getpid())
	if err := os.WriteFile(tmp, c.format(), 0o644); err != nil {
		return fmt.Errorf("gpu: keep choices: %w", err)
	}
	if err := os.Rename(tmp, c.path); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("gpu: keep choices: %w", err)
	}
	return nil
}

func (c *choices) format() []byte {
	var lines []string
	for k, v := range c.known {
		lines = append(lines, fmt.Sprintf("%s\t%d\t%d\t%.1f\n", k, v.Index, v.Splits, float64(v.took)/1e3))
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

// parseChoices reads the lines that are as they should be.
func parseChoices(b []byte) map[string]choice {
	known := map[string]choice{}
	for line := range strings.SplitSeq(string(b), "\n") {
		if k, v, ok := parseChoice(line); ok {
			known[k] = v
		}
	}
	return known
}

func parseChoice(line string) (key string, v choice, ok bool) {
	f := strings.Split(line, "\t")
	if len(f) != 4 || !strings.Contains(f[0], "|") {
		return "", choice{}, false
	}
	index, err1 := strconv.Atoi(f[1])
	splits, err2 := strconv.Atoi(f[2])
	micros, err3 := strconv.ParseFloat(f[3], 64)
	if err1 != nil || err2 != nil || err3 != nil || index < 0 || index >= maxCandidates || splits != 0 && !slices.Contains(tuneSplits, splits) || !(micros >= 0 && micros < 1e9) {
		return "", choice{}, false
	}
	return f[0], choice{variant{index, splits}, time.Duration(micros * 1e3)}, true
}
