package sandbox

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// performHere plays the parts that only Linux has.
func performHere(name, argument string) {
	switch name {
	case "attack":
		attackAs(argument)
	case "unshare":
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_NEWNET); err != nil && os.Geteuid() == 0 {
			fmt.Println(err)
			os.Exit(1)
		}
		// An ordinary user needs a user namespace, which no process with threads
		// can enter: clone makes both.
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_NEWNET|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if errno != 0 {
			fmt.Println("clone:", errno)
			os.Exit(1)
		}
	case "driver":
		if err := driver(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}
