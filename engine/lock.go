package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// lockPatience is how long a start waits for the lock. Those who only ask
// whether an engine lives take the lock shared for an instant; a real engine
// keeps it.
const lockPatience = 2 * time.Second

// takeLock takes the lock that makes two engines on one database impossible.
// The kernel drops it when the process ends, however it ends.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			return nil, lockError(f, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	// The pid is for the message above and for people; nothing trusts it.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	return f, nil
}

// lockError says who holds the lock, as far as the file tells, and closes it.
func lockError(f *os.File, err error) error {
	defer f.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock %s (does this file system support flock?): %w", f.Name(), err)
	}
	holder := make([]byte, 20)
	n, _ := f.ReadAt(holder, 0)
	return fmt.Errorf("another engine (pid %s) uses this database: lock %s is taken",
		strings.TrimSpace(string(holder[:n])), f.Name())
}
