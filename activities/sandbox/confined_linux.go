package sandbox

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/autoresearch-go/autoresearch/activities/sandbox/launcher"
)

// Confined is the Sandbox of a Linux machine: what [Probe] found, around each
// program. See docs/sandbox.md for what holds what off. Watching, charging and
// killing are as for [Process].
type Confined struct{ strength Strength }

var _ Sandbox = Confined{}

// Run implements Sandbox.
func (c Confined) Run(ctx context.Context, s Spec) (Outcome, error) {
	return run(ctx, s, c.prepare)
}

// Clear implements Sandbox. The mark in the environment is the launcher's, too;
// what goes on inside its namespace ends with it, and its control group is empty
// then.
func (c Confined) Clear(ctx context.Context, prefix string) error {
	err := Process{}.Clear(ctx, prefix)
	if err == nil && c.strength.Cgroup != "" {
		clearGroups(prefix)
	}
	return err
}

// Strength is what confines the programs.
func (c Confined) Strength() Strength { return c.strength }

// prepare makes the launcher of a run.
func (c Confined) prepare(s Spec) (*starter, error) {
	if err := s.absolutePaths(); err != nil {
		return nil, err
	}
	plan := launcher.Plan{
		Path: s.Path, Args: append([]string{s.Path}, s.Args...), Env: s.environment(), Dir: s.Dir,
		ReadOnly: slices.Clone(s.ReadOnly), Writable: s.Writable, Devices: s.Devices, Network: s.Network,
		SharedMemory: sharedMemory(s.Memory), Processes: kernelProcesses * uint64(s.processes()), FileSize: fileSize(s.Disk),
	}
	plan.ReadOnly = append(plan.ReadOnly, needs(s.Path)...)
	st, err := newStage(c.strength, plan, s.ID)
	if err != nil {
		return nil, err
	}
	isolation := c.strength
	if isolation.Cgroup != "" {
		// One that cannot be made, say because there are too many, costs precision.
		if st.group, err = newGroup(s.ID, s.Memory, s.processes()); err != nil {
			isolation.Cgroup = ""
		}
	}
	return &starter{cmd: st.cmd, stage: st, isolation: isolation.String()}, nil
}

// sharedMemory bounds /dev/shm, whose files are memory that no process holds.
func sharedMemory(memory int64) int64 {
	if memory <= 0 {
		memory = TotalMemory()
	}
	return max(memory/4, 1<<20)
}

// kernelProcesses is how far above Spec.Processes the kernel's own bound lies
// where no control group counts. Such a bound refuses forks and tells nobody, and
// a program that lives with it would never be found out.
const kernelProcesses = 4

// fileSize bounds single files, whatever happens between two looks at the disk.
func fileSize(disk int64) uint64 {
	if disk <= 0 {
		return 0
	}
	return uint64(disk) + 64<<20
}

// Libraries lists where this system keeps shared libraries. A program that is
// linked to some gets them without being asked for.
func Libraries() []string {
	return existing("/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32",
		"/usr/local/lib", "/usr/local/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
}

// SystemPaths lists what an interpreter and the usual tools need of a system:
// programs, libraries, time zones and certificates; no user's files, and nothing
// of /etc that could hold a secret. For Spec.ReadOnly.
func SystemPaths() []string {
	return append(Libraries(), existing("/usr", "/bin", "/sbin", "/opt", "/etc/alternatives", "/etc/localtime", "/etc/timezone",
		"/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ca-certificates", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/os-release")...)
}

func existing(paths ...string) (there []string) {
	for _, path := range paths {
		if _, err := filepath.EvalSymlinks(path); err == nil {
			there = append(there, path)
		}
	}
	return there
}

// needs lists what the kernel wants of the system to start a program: the
// libraries of one that is linked to some, everything for a script. Little of
// the file is read and nothing believed: it may be a candidate's.
func needs(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head) // a script may be shorter
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		return SystemPaths()
	case n == len(head) && bytes.HasPrefix(head, []byte(elf.ELFMAG)) && interpreted(f, head):
		return Libraries()
	}
	return nil
}

// interpreted tells whether an ELF file of 64 bits names another that loads it.
func interpreted(f io.ReaderAt, head []byte) bool {
	order := binary.ByteOrder(binary.LittleEndian)
	if head[elf.EI_DATA] == byte(elf.ELFDATA2MSB) {
		order = binary.BigEndian
	}
	at, size, n := order.Uint64(head[32:]), order.Uint16(head[54:]), order.Uint16(head[56:])
	kind := make([]byte, 4)
	for i := range min(n, 64) {
		if _, err := f.ReadAt(kind, int64(at)+int64(i)*int64(size)); err != nil {
			return false
		}
		if order.Uint32(kind) == uint32(elf.PT_INTERP) {
			return true
		}
	}
	return false
}

// absolutePaths refuses what would mean something else inside.
func (s Spec) absolutePaths() error {
	for _, list := range [][]string{{s.Path, s.Dir}, s.ReadOnly, s.Writable, s.Devices} {
		for _, path := range list {
			if !filepath.IsAbs(path) {
				return fmt.Errorf("the path %q is not absolute", path)
			}
		}
	}
	return nil
}
