// Package artifacttest holds the contract of artifact.Store in executable
// form. The test of a new store is one call:
//
//	func TestS3(t *testing.T) { artifacttest.Conformance(t, func() artifact.Store { return NewS3(bucket(t)) }) }
package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
)

// Conformance checks a store against the contract. open returns an empty store.
func Conformance(t *testing.T, open func() artifact.Store) {
	t.Run("put and open", func(t *testing.T) { putAndOpen(t, open()) })
	t.Run("missing", func(t *testing.T) { missing(t, open()) })
	t.Run("once", func(t *testing.T) { once(t, open()) })
	t.Run("once, many writers", func(t *testing.T) { onceRace(t, open()) })
	t.Run("list", func(t *testing.T) { list(t, open()) })
	t.Run("keys", func(t *testing.T) { keys(t, open()) })
	t.Run("broken reader", func(t *testing.T) { brokenReader(t, open()) })
	t.Run("whole values", func(t *testing.T) { whole(t, open()) })
	t.Run("cancelled", func(t *testing.T) { cancelled(t, open()) })
}

func putAndOpen(t *testing.T, s artifact.Store) {
	for _, value := range []string{"first", "", "second, and longer", strings.Repeat("x", 1<<20)} {
		put(t, s, "mar5/0007/train.log", value)
		want(t, s, "mar5/0007/train.log", value)
	}
}

func missing(t *testing.T, s artifact.Store) {
	put(t, s, "mar5/0007/train.log", "x")
	for _, key := range []string{"mar5/0008/train.log", "other", "mar5/0007", "mar5/0007/train.log/below"} {
		if _, err := s.Open(t.Context(), key); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("Open(%q) = %v, want ErrNotFound", key, err)
		} else if !strings.Contains(err.Error(), key) {
			t.Errorf("Open(%q): %q does not name the key", key, err)
		}
	}
}

func once(t *testing.T, s artifact.Store) {
	for _, value := range []string{"the decision", "another one", ""} {
		stored, err := s.PutOnce(t.Context(), "mar5/0001/result.json", []byte(value))
		if err != nil || string(stored) != "the decision" {
			t.Errorf("PutOnce(%q) = %q, %v; want the first writer's bytes", value, stored, err)
		}
	}
	want(t, s, "mar5/0001/result.json", "the decision")

	// What Put wrote counts as well.
	put(t, s, "mar5/0002/result.json", "put")
	if stored, err := s.PutOnce(t.Context(), "mar5/0002/result.json", []byte("late")); err != nil || string(stored) != "put" {
		t.Errorf("PutOnce after Put = %q, %v", stored, err)
	}
}

func onceRace(t *testing.T, s artifact.Store) {
	const writers = 16
	got := make([]string, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			stored, err := s.PutOnce(context.Background(), "mar5/0001/result.json", bytes.Repeat([]byte{byte('a' + i)}, 1000))
			got[i] = string(stored)
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range got {
		if got[i] != got[0] || len(got[i]) != 1000 {
			t.Fatalf("writers %d and 0 were told different values", i)
		}
	}
	want(t, s, "mar5/0001/result.json", got[0])
}

func list(t *testing.T, s artifact.Store) {
	all := []string{"mar5/0001/a", "mar5/0001/b/c", "mar5/0002/a", "mar5/campaign.json", "mar6/0001/a"}
	for i := len(all) - 1; i >= 0; i-- {
		put(t, s, all[i], "x")
	}
	for _, c := range []struct {
		prefix string
		keys   []string
	}{
		{"", all},
		{"mar5/", all[:4]},
		{"mar5/0001/", all[:2]},
		{"mar5/000", all[:3]},
		{"mar5/0001/a", all[:1]},
		{"mar7/", nil},
		{"mar5/0009/", nil},
		{"mar5/0001/a/", nil},
	} {
		got, err := s.List(t.Context(), c.prefix)
		if err != nil || !slices.Equal(got, c.keys) {
			t.Errorf("List(%q) = %q, %v; want %q", c.prefix, got, err, c.keys)
		}
	}
}

func keys(t *testing.T, s artifact.Store) {
	for _, key := range []string{"", "/", "/etc/passwd", "a//b", "a/", "..", "../a", "a/../../b", "./a", ".hidden", "a/.tmp-1", "a\x00b", "a\nb", `a\b`, strings.Repeat("x", 600)} {
		if err := s.Put(t.Context(), key, strings.NewReader("x")); err == nil {
			t.Errorf("Put(%q) was not refused", key)
		}
		if _, err := s.PutOnce(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("PutOnce(%q) was not refused", key)
		}
		if _, err := s.Open(t.Context(), key); err == nil || errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("Open(%q) = %v, want a refusal", key, err)
		}
	}
	if _, err := s.List(t.Context(), "../"); err == nil {
		t.Error(`List("../") was not refused`)
	}
}

// brokenReader: a Put that fails leaves what was there.
func brokenReader(t *testing.T, s artifact.Store) {
	put(t, s, "mar5/log", "old")
	broken := io.MultiReader(strings.NewReader("half of"), iotestErr{})
	if err := s.Put(t.Context(), "mar5/log", broken); !errors.Is(err, errBroken) {
		t.Errorf("Put from a broken reader = %v", err)
	}
	want(t, s, "mar5/log", "old")
	if got, err := s.List(t.Context(), ""); err != nil || len(got) != 1 {
		t.Errorf("List after a failed Put = %q, %v", got, err)
	}
}

// whole: a reader sees one value or another, never a mixture.
func whole(t *testing.T, s artifact.Store) {
	value := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 100_000) }
	put(t, s, "mar5/curve", value(0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 20 {
			if err := s.Put(context.Background(), "mar5/curve", strings.NewReader(value(i))); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		got := read(t, s, "mar5/curve")
		if len(got) != 100_000 || strings.Trim(got, got[:1]) != "" {
			t.Fatal("a reader saw a mixture of two values")
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func cancelled(t *testing.T, s artifact.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "mar5/log", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with a cancelled context = %v", err)
	}
	if _, err := s.PutOnce(ctx, "mar5/log", []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("PutOnce with a cancelled context = %v", err)
	}
	if _, err := s.Open(t.Context(), "mar5/log"); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a cancelled Put left something: %v", err)
	}
}

var errBroken = errors.New("broken reader")

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errBroken }

func put(t *testing.T, s artifact.Store, key, value string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(value)); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
}

func read(t *testing.T, s artifact.Store, key string) string {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	return string(b)
}

func want(t *testing.T, s artifact.Store, key, value string) {
	t.Helper()
	if got := read(t, s, key); got != value {
		t.Fatalf("%s holds %.40q (%d bytes), want %.40q (%d bytes)", key, got, len(got), value, len(value))
	}
}
