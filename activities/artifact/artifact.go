// Package artifact keeps everything large that an experiment leaves behind:
// proposals, patches, logs, curves, models, results.
//
// Keys are slash paths such as "mar5/0007/model.safetensors"; they never start
// with a slash, nor does a part of one start with a dot. One interface serves a
// directory on one box and an object store for a fleet; Conformance in package
// artifacttest is the contract in executable form.
//
// [File] keeps values as plain files, so that people can read them with what
// they have. [Memory] is the double for tests.
//
// # Errors
//
// Every error names the key and, for a directory, the path; errors of the
// operating system stay visible to errors.Is (syscall.ENOSPC for a full disk).
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// ErrNotFound is returned, wrapped with the key, for a key that holds nothing.
var ErrNotFound = errors.New("artifact not found")

// Store is safe for concurrent use by several processes. A value is visible
// whole or not at all, and survives a power cut once a call has returned.
type Store interface {
	// Put stores what r gives, replacing what the key held.
	Put(ctx context.Context, key string, r io.Reader) error
	// PutOnce stores data unless the key holds something already, and returns
	// what the key holds afterwards: the first writer's bytes, for everyone.
	PutOnce(ctx context.Context, key string, data []byte) (stored []byte, err error)
	// Open reads a value; the caller closes it.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// List returns the keys below a prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
}

// maxKey is what every store can hold as a name, prefixes included.
const maxKey = 512

// CheckKey says what is wrong with a key. A dot may not start a part: that
// rules out "..", and leaves such names to the stores' own temporary files.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("artifact key %q: 1 to %d bytes are needed", key, maxKey)
	}
	for _, part := range strings.Split(key, "/") {
		if part == "" || part[0] == '.' {
			return fmt.Errorf("artifact key %q: no part may be empty or start with a dot", key)
		}
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r == '\\' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return fmt.Errorf("artifact key %q: printable characters other than a backslash only", key)
	}
	return nil
}
