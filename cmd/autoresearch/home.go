package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	homeHint = "choose another home with --home DIR or AUTORESEARCH_HOME"
	// minFree keeps a campaign from starting on a disk that its first model
	// and checkpoints would fill.
	minFree = 1 << 30
)

// checkHome makes sure that the home can be used, before anything is written
// there but the directory itself.
func (a *app) checkHome() error {
	home := string(a.home())
	if err := a.checkFree(home); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return homeFailure(home, err)
	}
	probe, err := os.CreateTemp(home, ".writable-*")
	if err != nil {
		return homeFailure(home, err)
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// checkFree asks about the nearest directory above the home that exists.
func (a *app) checkFree(home string) error {
	dir := existing(home)
	free, err := a.freeBytes(dir)
	if err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	if free < minFree {
		return failed("free some space, or "+homeHint,
			"only %.1f GB are free on the disk of the home %s: a campaign needs at least %.1f GB", float64(free)/1e9, home, float64(minFree)/1e9)
	}
	return nil
}

// existing is path, or the nearest directory above it that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// homeFailure explains why a home cannot be written.
func homeFailure(home string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return usage(homeHint, "the home %s cannot be a directory: a file is in its place", home)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return usage(homeHint, "the home %s is not writable: %w", home, reason(err))
	}
	return failed(homeHint, "the home %s cannot be used: %w", home, reason(err))
}

// reason leaves out the path, which the message has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
