//go:build cuda

package gpu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestChoicesIgnoreDamage: whatever the file holds, good lines count and bad
// ones do not, and the next write leaves the good ones only.
func TestChoicesIgnoreDamage(t *testing.T) {
	bad := []string{"", "\x00\xff\x13", "g 1|a\t0", "g 1|b\t-1\t0\t1.0", "g 1|c\t16\t0\t1.0", "g 1|d\t0\t3\t1.0", "g 1|e\t0\t0\tNaN", "g 1|f\tx\t0\t1", "no bar\t0\t0\t1", strings.Repeat("g", 1<<17)}
	dir := t.TempDir()
	path := filepath.Join(dir, choicesFile)
	if err := os.WriteFile(path, []byte(strings.Join(append(bad, "g 1|good\t3\t8\t12.5"), "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	c := openChoices(dir, "g", 1)
	if v, ok := c.get("good"); len(c.known) != 1 || !ok || v != (choice{variant{3, 8}, 12500}) {
		t.Fatalf("read %v", c.known)
	}
	c.add("more", choice{variant{1, 0}, time.Microsecond})
	b, _ := os.ReadFile(path)
	if want := "g 1|good\t3\t8\t12.5\ng 1|more\t1\t0\t1.0\n"; string(b) != want {
		t.Errorf("the file is %q, want %q", b, want)
	}
}

// TestChoicesOfMany: several processes write one file; none loses what another
// chose, and all agree on what was chosen first.
func TestChoicesOfMany(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	seen := make([]variant, 8)
	for i := range 8 {
		all.Go(func() {
			c := openChoices(dir, "g", 1)
			for k := range 5 {
				c.add(fmt.Sprintf("own %d.%d", i, k), choice{variant{k, 0}, 1000})
			}
			seen[i] = c.add("shared", choice{variant{i, 0}, 1000}).variant
		})
	}
	all.Wait()
	c := openChoices(dir, "g", 1)
	if len(c.known) != 8*5+1 {
		t.Errorf("%d choices are left, want %d", len(c.known), 8*5+1)
	}
	for _, v := range seen {
		if v != seen[0] {
			t.Fatalf("processes chose %v for one shape", seen)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 2 { // the file and its lock
		t.Errorf("left behind: %v", left)
	}
}

// TestChoicesWithoutRoom: a directory that cannot be made costs the memory of
// the next process, nothing else.
func TestChoicesWithoutRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := openChoices(filepath.Join(file, "cache"), "g", 1)
	want := choice{variant{2, 4}, 1000}
	if got := c.add("key", want); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
