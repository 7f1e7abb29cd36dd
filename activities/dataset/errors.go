package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Error is why a data set cannot be used.
type Error struct {
	Input bool // what was named cannot be used; else the network or the disk is in trouble
	err   error
	hint  string
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// Refuse makes an error for an input that cannot be used, which shows when a
// corpus is made of it.
func Refuse(hint, format string, args ...any) error { return bad(hint, format, args...) }

// bad is an input that cannot be used.
func bad(hint, format string, args ...any) error {
	return &Error{Input: true, err: fmt.Errorf(format, args...), hint: hint}
}

// trouble is anything else that somebody has to look at.
func trouble(hint, format string, args ...any) error {
	return &Error{err: fmt.Errorf(format, args...), hint: hint}
}

// diskHint is for what cannot be written.
const diskHint = "free some disk space, or choose another home with --home DIR; what is there already is kept"

// writing explains why a file could not be written.
func writing(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return trouble(diskHint, "writing %s: the disk is full: %w", path, reason(err))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return bad("choose another home with --home DIR or AUTORESEARCH_HOME", "writing %s: %w", path, reason(err))
	}
	return trouble("", "writing %s: %w", path, reason(err))
}

// reading explains why a file could not be read.
func reading(path string, err error) error {
	var e *Error
	switch {
	case err == nil || errors.As(err, &e):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return bad("name a file or a directory of text, .jsonl or .parquet files", "there is no %s", path)
	case errors.Is(err, fs.ErrPermission):
		return bad("give yourself read permission: chmod -R u+rX "+path, "%s cannot be read: permission denied", path)
	}
	return trouble("", "reading %s: %w", path, reason(err))
}

// reason leaves out the path, which the message has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
