package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The program's file system is put together from what the plan names, each at
// its own place, in a small memory file system that becomes the root. What is
// not named is not there.

// base is where the new root is put together: a directory that every system has.
const base = "/dev"

// bind is one part of the new root.
type bind struct {
	path     string // as the plan names it
	real     string // without symbolic links
	readOnly bool
	device   bool
	tree     int // the file descriptor of its mount
}

// plainDevices are harmless, and programs expect them.
var plainDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// kernelTrees are the parts of /sys that runtimes look at to find out about
// processors, memory and devices.
func kernelTrees(devices bool) []string {
	if devices {
		return []string{"/sys"}
	}
	return []string{"/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage"}
}

// mounts makes the new root the root.
func (p *Plan) mounts() error {
	if !p.Namespaces {
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part from the mounts of the machine: %w", err)
	}
	parts, err := p.binds()
	if err != nil {
		return err
	}
	for i := range parts {
		if err := parts[i].open(); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount the new root: %w", err)
	}
	for _, b := range parts {
		if err := b.attach(); err != nil {
			return err
		}
	}
	if err := errors.Join(p.mountProc(), p.mountShared(), deviceLinks()); err != nil {
		return err
	}
	if err := unix.Mount("", base, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("make the new root read-only: %w", err)
	}
	return enter(base)
}

// binds lists the parts, outer ones first.
func (p *Plan) binds() ([]bind, error) {
	var list []bind
	add := func(b bind, optional bool) error {
		real, err := filepath.EvalSymlinks(b.path)
		if optional && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		b.real = real
		list = append(list, b)
		return nil
	}
	var err error
	for _, path := range append([]string{p.Path}, p.ReadOnly...) {
		if path != "" {
			err = errors.Join(err, add(bind{path: path, readOnly: true}, false))
		}
	}
	for _, path := range append([]string{p.Dir}, p.Writable...) {
		err = errors.Join(err, add(bind{path: path}, false))
	}
	for _, path := range p.Devices {
		err = errors.Join(err, add(bind{path: path, device: true}, false))
	}
	for _, path := range plainDevices {
		err = errors.Join(err, add(bind{path: path, device: true}, true))
	}
	for _, path := range kernelTrees(len(p.Devices) > 0) {
		err = errors.Join(err, add(bind{path: path, readOnly: true}, true))
	}
	// Of two for one place the one that allows more counts, and comes last.
	slices.SortStableFunc(list, func(a, b bind) int {
		if c := strings.Compare(a.real, b.real); c != 0 || a.readOnly == b.readOnly {
			return c
		}
		if a.readOnly {
			return -1
		}
		return 1
	})
	return list, err
}

// open takes hold of the part as it is in the old root.
func (b *bind) open() (err error) {
	b.tree, err = unix.OpenTree(unix.AT_FDCWD, b.real, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open %s: %w", b.real, err)
	}
	set := uint64(unix.MOUNT_ATTR_NOSUID)
	if !b.device {
		set |= unix.MOUNT_ATTR_NODEV
	}
	if b.readOnly {
		set |= unix.MOUNT_ATTR_RDONLY
	}
	err = unix.MountSetattr(b.tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: set})
	if err != nil {
		return fmt.Errorf("restrict %s: %w", b.real, err)
	}
	return nil
}

// attach puts the part into the new root.
func (b *bind) attach() error {
	defer unix.Close(b.tree)
	var st unix.Stat_t
	if err := unix.Fstat(b.tree, &st); err != nil {
		return fmt.Errorf("look at %s: %w", b.real, err)
	}
	at := base + b.real
	if err := mountPoint(at, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	if err := unix.MoveMount(b.tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", b.real, err)
	}
	if b.path == b.real {
		return nil
	}
	// The name leads through symbolic links: one link will do.
	if _, err := os.Lstat(base + b.path); err == nil {
		return nil // another part has it
	}
	if err := os.MkdirAll(filepath.Dir(base+b.path), 0o755); err != nil {
		return err
	}
	return os.Symlink(b.real, base+b.path)
}

// mountPoint makes a directory or an empty file to mount on.
func mountPoint(path string, dir bool) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// mountProc gives the program a /proc that shows its own processes. What else
// stands in there is the kernel's, and becomes read-only: the program may be of
// a user who could write to it.
func (p *Plan) mountProc() error {
	if !p.Proc {
		return nil
	}
	proc := base + "/proc"
	if err := mountPoint(proc, true); err != nil {
		return err
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	p.limitPIDs(proc)
	entries, err := os.ReadDir(proc)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); !ofProcess(name) && mayWrite(e) {
			if err := seal(filepath.Join(proc, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// ofProcess tells the directories of processes from files of the kernel.
func ofProcess(name string) bool {
	return name[0] >= '0' && name[0] <= '9'
}

// mayWrite is true for files that have a bit for it, and for directories, which
// may hold such files. Links lead to directories of processes.
func mayWrite(e fs.DirEntry) bool {
	if e.IsDir() {
		return true
	}
	info, err := e.Info()
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o222 != 0
}

// seal makes a file or tree read-only.
func seal(path string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s read-only: %w", path, err)
	}
	return nil
}

// mountShared gives the program a /dev/shm that goes with it.
func (p *Plan) mountShared() error {
	at := base + "/dev/shm"
	if err := mountPoint(at, true); err != nil {
		return err
	}
	options := fmt.Sprintf("mode=1777,size=%d", p.SharedMemory)
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	return nil
}

func deviceLinks() error {
	var err error
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		err = errors.Join(err, os.Symlink(target, base+"/dev/"+name))
	}
	return err
}

// enter makes root the root and lets go of the old one, see pivot_root(2) for
// why both may be the same directory.
func enter(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the old root: %w", err)
	}
	return unix.Chdir("/")
}
