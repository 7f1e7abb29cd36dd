// Package artifact keeps everything large that an experiment leaves behind:
// proposals, patches, logs, curves, models, results.
//
// Keys are slash paths such as "mar5/0007/model.safetensors"; they never start
// with a slash nor contain "..". One interface serves a directory on one box
// and an object store for a fleet; [Conformance] in the test package is the contract
// in executable form.
package artifact

import (
	"context"
	"errors"
	"io"
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
