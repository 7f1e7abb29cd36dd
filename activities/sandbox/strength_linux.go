package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/autoresearch-go/autoresearch/activities/sandbox/launcher"
)

// probe tries what cannot be asked for: namespaces are there and forbidden in
// too many ways (sysctls, AppArmor, a container's filter).
func probe() Strength {
	s := Strength{Landlock: launcher.Landlock(), Seccomp: launcher.Seccomp(), Cgroup: groups()}
	var first error
	for _, try := range []Strength{
		{Namespaces: true, Proc: true},
		{Namespaces: true},
		{Namespaces: true, Proc: true, asRoot: true},
	} {
		if try.asRoot && os.Geteuid() != 0 {
			continue
		}
		try.Landlock, try.Seccomp, try.Cgroup = s.Landlock, s.Seccomp, s.Cgroup
		err := try.trial()
		if err == nil {
			return try
		}
		if first == nil {
			first = err
		}
	}
	s.why = first.Error()
	for _, try := range []Strength{s, {Seccomp: s.Seccomp, Cgroup: s.Cgroup}, {Landlock: s.Landlock, Cgroup: s.Cgroup}} {
		if try.Any() && try.trial() == nil {
			try.why = s.why
			return try
		}
	}
	return Strength{why: s.why}
}

// trial goes as far as a program would be started.
func (s Strength) trial() error {
	dir, err := os.MkdirTemp("", "sandbox-trial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st, err := newStage(s, launcher.Plan{Dir: dir}, "trial")
	if err != nil {
		return err
	}
	defer st.close()
	if err := st.cmd.Start(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	err = st.begin()
	return errors.Join(err, st.cmd.Wait())
}

// fix tells how to get namespaces, which is the way to the most.
func (s Strength) fix() string {
	setting := func(name, bad string) bool {
		text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		return err == nil && strings.TrimSpace(string(text)) == bad
	}
	switch {
	case !s.Namespaces && setting("kernel.apparmor_restrict_unprivileged_userns", "1"):
		return "allow user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	case !s.Namespaces && setting("kernel.unprivileged_userns_clone", "0"):
		return "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1"
	case !s.Namespaces && setting("user.max_user_namespaces", "0"):
		return "allow user namespaces: sysctl -w user.max_user_namespaces=10000"
	case !s.Namespaces && s.Landlock == 0:
		return "use a kernel of 5.13 or newer with user namespaces or Landlock; a container may forbid both: " + s.why
	case !s.Namespaces && s.Landlock < signalScope:
		return "use a kernel of 6.12 or newer, or allow user namespaces: " + s.why
	}
	return "use a kernel with seccomp (CONFIG_SECCOMP_FILTER)"
}

func strongest(s Strength) Sandbox {
	if !s.Any() {
		return Process{}
	}
	return Confined{s}
}

// cloneFlags are the namespaces of a run.
func (s Strength) cloneFlags(network bool) uintptr {
	if !s.Namespaces {
		return 0
	}
	flags := uintptr(syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP)
	if !s.asRoot {
		flags |= syscall.CLONE_NEWUSER
	}
	if !network {
		flags |= syscall.CLONE_NEWNET
	}
	return flags
}
