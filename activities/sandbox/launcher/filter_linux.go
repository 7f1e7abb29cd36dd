package launcher

import (
	"fmt"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The filter refuses, it does not kill: runtimes probe for system calls and live
// without them. What may hold a program's own work up is allowed; what reaches
// other processes, the kernel's configuration or its less travelled code is not.

// refused end with EPERM.
var refused = []string{
	// Other processes: their memory, files and registers.
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_getfd",
	// The kernel itself.
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "query_module",
	"bpf", "perf_event_open", "syslog", "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "nfsservctl",
	"iopl", "ioperm", "modify_ldt", "uselib", "ustat", "sysfs", "_sysctl", "lookup_dcookie", "vhangup",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname",
	"fanotify_init", "migrate_pages", "move_pages",
	// Files past their permissions, and other views of the file system.
	"open_by_handle_at", "name_to_handle_at", "chroot", "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree",
	"open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "mknod", "mknodat",
	// Other namespaces.
	"unshare", "setns",
	// Keys, which outlive processes.
	"keyctl", "add_key", "request_key",
	// Shared memory and queues that no process need map, so that no watching from
	// outside would count them.
	"shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl",
	"mq_open", "mq_unlink", "memfd_secret",
}

// missing end with ENOSYS, as on a kernel without them: their arguments lie in
// memory, where a filter cannot look, and programs have an older way.
var missing = []string{
	"clone3",                                                // flags in memory; clone does the same
	"io_uring_setup", "io_uring_enter", "io_uring_register", // system calls that pass no filter
	"userfaultfd",
}

// newestKnown is the last system call that the lists above were written with. A
// later one, whatever it will do, is missing.
const newestKnown = 467

// otherNamespaces are the flags of clone(2) that unshare(2) has, too.
var otherNamespaces = []uint64{
	unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, unix.CLONE_NEWCGROUP,
}

// pretended succeed and do nothing, where Landlock is all that keeps files apart:
// it does not look at these, and programs that set the mode or the time of a file
// of their own do not expect that they cannot.
var pretended = []string{
	"chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "utime", "utimes", "futimesat", "utimensat",
	"setxattr", "lsetxattr", "setxattrat", "removexattr", "lremovexattr", "removexattrat", "file_setattr",
}

const (
	success        = seccomp.ActionErrno // with the error number 0, which the library's part would take for EPERM
	notPermitted   = seccomp.ActionErrno | seccomp.Action(unix.EPERM)
	notImplemented = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
	noSuchFamily   = seccomp.ActionErrno | seccomp.Action(unix.EAFNOSUPPORT)
)

// filter installs the filter on every thread.
func (p *Plan) filter() error {
	if !p.Seccomp {
		return nil
	}
	program, err := p.program()
	if err != nil {
		return err
	}
	instructions := make([]unix.SockFilter, len(program))
	for i, x := range program {
		instructions[i] = unix.SockFilter{Code: x.Op, Jt: x.Jt, Jf: x.Jf, K: x.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("install the filter: %w", errno)
	}
	return nil
}

// program assembles the filter. The library lets calls of another architecture
// pass (on amd64: those of 32 bits, which any program may make), so these, and
// calls that are newer than our lists, are refused before it comes to its part.
func (p *Plan) program() ([]bpf.RawInstruction, error) {
	native, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("find the architecture: %w", err)
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: p.groups(native)}
	rest, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	refuse := bpf.RetConstant{Val: uint32(notImplemented)}
	guard := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 4}, // seccomp_data.arch
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(native.ID), SkipTrue: 1}, refuse,
		bpf.LoadAbsolute{Off: 0, Size: 4}, // seccomp_data.nr
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: newestKnown, SkipTrue: 1}, refuse,
	}
	if !p.Namespaces {
		for _, name := range known(native, pretended) {
			guard = append(guard,
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(native.SyscallNames[name]), SkipTrue: 1},
				bpf.RetConstant{Val: uint32(success)})
		}
	}
	return bpf.Assemble(append(guard, rest...))
}

func (p *Plan) groups(native *arch.Info) []seccomp.SyscallGroup {
	groups := []seccomp.SyscallGroup{
		{Names: known(native, refused), Action: notPermitted},
		{Names: known(native, missing), Action: notImplemented},
	}
	var clone []seccomp.NameWithConditions
	for _, flag := range otherNamespaces {
		clone = append(clone, seccomp.NameWithConditions{Name: "clone", Conditions: seccomp.ArgumentConditions{
			{Argument: cloneFlags, Operation: seccomp.BitsSet, Value: flag},
		}})
	}
	groups = append(groups, seccomp.SyscallGroup{NamesWithCondtions: clone, Action: notPermitted})

	// Without namespaces a socket file is out of reach only if there is no socket.
	var families []uint64
	if p.Namespaces || p.Network {
		families = append(families, unix.AF_UNIX)
	}
	if p.Network {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	}
	return append(groups,
		seccomp.SyscallGroup{NamesWithCondtions: []seccomp.NameWithConditions{onlyFamilies("socket", families...)}, Action: noSuchFamily},
		seccomp.SyscallGroup{NamesWithCondtions: []seccomp.NameWithConditions{onlyFamilies("socketpair", unix.AF_UNIX)}, Action: noSuchFamily})
}

// cloneFlags is where clone(2) has its flags, on every architecture but s390.
const cloneFlags = 0

// onlyFamilies matches the call for every other family.
func onlyFamilies(call string, families ...uint64) seccomp.NameWithConditions {
	conditions := seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.GreaterOrEqual, Value: 0}}
	for _, family := range families {
		conditions = append(conditions, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: family})
	}
	return seccomp.NameWithConditions{Name: call, Conditions: conditions}
}

// known leaves out what this architecture never had.
func known(native *arch.Info, names []string) (there []string) {
	for _, name := range names {
		if _, ok := native.SyscallNames[name]; ok {
			there = append(there, name)
		}
	}
	return there
}
