package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
)

// faultEnv plants a fault in a trainer process.
const faultEnv = "HARNESS_TEST_FAULT"

// plantFault replaces one of the system calls by one that fails or ends the
// process. The fault is "CALL NAME FIRST LAST WHAT": the calls with the numbers
// FIRST to LAST, counted from 1, of those on files with NAME in their names.
// WHAT is
//
//	before, after   SIGKILL on this side of the call
//	half            SIGKILL after half of a write
//	an error        such as "no space left on device", which the call returns
func plantFault(fault string) {
	if fault == "" {
		return
	}
	var call, name string
	var first, last int64
	if _, err := fmt.Sscanf(fault, "%s %s %d %d", &call, &name, &first, &last); err != nil {
		panic(err)
	}
	what := strings.SplitN(fault, " ", 5)[4]
	var count atomic.Int64
	hit := func(path string) bool {
		if !strings.Contains(filepath.Base(path), name) {
			return false
		}
		n := count.Add(1)
		return first <= n && n <= last
	}
	kill := func(when string) {
		if what == when {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	around := func(path string, f func() error) error {
		if what == "half" || !hit(path) {
			return f()
		}
		kill("before")
		if what != "after" {
			return &os.PathError{Op: call, Path: path, Err: errnos[what]}
		}
		err := f()
		kill("after")
		return err
	}
	s := system
	switch call {
	case "write":
		system.write = func(f *os.File, b []byte) (n int, err error) {
			if what == "half" && hit(f.Name()) {
				_, _ = s.write(f, b[:len(b)/2])
				kill("half")
			}
			err = around(f.Name(), func() error { n, err = s.write(f, b); return err })
			return n, err
		}
	case "sync":
		system.sync = func(f *os.File) error { return around(f.Name(), func() error { return s.sync(f) }) }
	case "rename":
		system.rename = func(from, to string) error { return around(to, func() error { return s.rename(from, to) }) }
	case "remove":
		system.remove = func(path string) error { return around(path, func() error { return s.remove(path) }) }
	default:
		panic("no call " + call)
	}
}

// errnos are the errors of plantFault, by what they say.
var errnos = map[string]error{}

func init() {
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EACCES, syscall.EIO, syscall.EROFS} {
		errnos[e.Error()] = e
	}
}
