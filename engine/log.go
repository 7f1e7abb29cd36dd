package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"go.temporal.io/server/common/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxLog is the size at which the log file is put aside as FILE.1.
const maxLog = 20 << 20

// newLogger logs to path, or to standard error when path is empty. The launcher
// points standard error at the same file (a panic belongs in the log too), so
// the file is never renamed: it is copied away and cut to zero, which every
// writer that appends follows.
func newLogger(ctx context.Context, path, level string) (log.Logger, func(), error) {
	lvl, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, nil, fmt.Errorf("-log-level: %w", err)
	}
	out, done := os.Stderr, func() {}
	if path != "" {
		out, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("open the log file: %w", err)
		}
		done = func() { out.Close() }
		go trimLog(ctx, path)
	}
	enc := log.DefaultZapEncoderConfig
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(out), lvl)
	return log.NewZapLogger(zap.New(core)), done, nil
}

// trimLog looks at the log's size once a minute until ctx ends.
func trimLog(ctx context.Context, path string) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
				_ = putAside(path) // next minute again
			}
		}
	}
}

// putAside copies the log to FILE.1 and empties it.
func putAside(path string) error {
	src, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(path + ".1")
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return src.Truncate(0)
}

// quiet is an SDK logger that says nothing: the engine's own client is used
// for health checks, whose failures are expected and reported by poll.
type quiet struct{}

func (quiet) Debug(string, ...interface{}) {}
func (quiet) Info(string, ...interface{})  {}
func (quiet) Warn(string, ...interface{})  {}
func (quiet) Error(string, ...interface{}) {}
