package launcher

import (
	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Landlock is the newest version that the kernel and this package both know; 0
// where there is none.
func Landlock() int {
	version, err := syscall.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return min(version, len(versions)-1)
}

// Seccomp says whether the kernel filters system calls.
func Seccomp() bool { return seccomp.Supported() }
