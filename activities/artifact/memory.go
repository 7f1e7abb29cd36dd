package artifact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
)

// Memory is the in-memory double of a [Store], for tests. The zero value is
// empty and ready.
type Memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

var _ Store = (*Memory)(nil)

// Put implements [Store].
func (s *Memory) Put(ctx context.Context, key string, r io.Reader) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	data, err := io.ReadAll(contextReader{ctx, r})
	if err != nil {
		return fmt.Errorf("writing artifact %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, data)
	return nil
}

// PutOnce implements [Store].
func (s *Memory) PutOnce(ctx context.Context, key string, data []byte) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("writing artifact %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored, ok := s.values[key]; ok {
		return bytes.Clone(stored), nil
	}
	s.set(key, bytes.Clone(data))
	return data, nil
}

// set requires the lock.
func (s *Memory) set(key string, data []byte) {
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[key] = data
}

// Open implements [Store].
func (s *Memory) Open(_ context.Context, key string) (io.ReadCloser, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.values[key]
	if !ok {
		return nil, notFound(key)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// List implements [Store].
func (s *Memory) List(_ context.Context, prefix string) ([]string, error) {
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		if err := CheckKey(prefix[:i]); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys, nil
}

// Delete removes a value, which no store offers to programs: tests play the
// user who deletes a file.
func (s *Memory) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
}
