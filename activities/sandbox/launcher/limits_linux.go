package launcher

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openFiles bounds the file descriptors of each process. They hold kernel memory
// (pipes, sockets) that is on no account of ours.
const openFiles = 4096

// limit sets what setrlimit(2) can. None of them can be raised again.
func (p *Plan) limit() error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: openFiles, unix.RLIMIT_MEMLOCK: 8 << 20}
	if len(p.Devices) > 0 {
		delete(limits, unix.RLIMIT_MEMLOCK) // a GPU's driver pins memory
	}
	if p.FileSize > 0 {
		limits[unix.RLIMIT_FSIZE] = p.FileSize
	}
	if p.Processes > 0 && p.Namespaces {
		// Counted within the user namespace. Where there is none this would count
		// what else the user runs. The kernel exempts root's processes, see limitPIDs.
		limits[unix.RLIMIT_NPROC] = p.Processes
	}
	for what, most := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(what, &now); err != nil {
			return fmt.Errorf("getrlimit %d: %w", what, err)
		}
		most = min(most, now.Max)
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("setrlimit %d to %d: %w", what, most, err)
		}
	}
	return nil
}

// lowestPIDMax is the kernel's lower bound of pid_max.
const lowestPIDMax = 301

// limitPIDs bounds the processes of the namespace by their numbers, which Linux
// 6.14 and later can do for each namespace. Numbers below 300 are not used again
// once they were passed, so that many more must be there.
func (p *Plan) limitPIDs(proc string) {
	if p.Processes > 0 {
		most := max(lowestPIDMax, p.Processes+lowestPIDMax)
		_ = os.WriteFile(proc+"/sys/kernel/pid_max", []byte(strconv.FormatUint(most, 10)), 0)
	}
}

// drop gives up what the launcher needed for its mounts, for good: no exec, of
// whatever file, gives any of it back.
func (p *Plan) drop() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	// The ambient set is empty unless somebody started the supervisor with one.
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EPERM) {
			break // an ordinary user has none to lose, and gains none: no_new_privs
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if p.Namespaces {
		// The program runs under the same user: it must not read the launcher's
		// files and memory through /proc.
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return fmt.Errorf("hide the launcher: %w", err)
		}
	}
	return nil
}

// closeOnExec marks every file from first on.
func closeOnExec(first uint) {
	err := unix.CloseRange(first, ^uint(0)>>(unsafe.Sizeof(uint(0))*8-32), unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return
	}
	for fd := int(first); fd < 1<<16; fd++ { // before Linux 5.11
		unix.CloseOnExec(fd)
	}
}
