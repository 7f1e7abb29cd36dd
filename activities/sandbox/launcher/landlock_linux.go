package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
)

// versions of Landlock by their numbers. Which of them the kernel has was
// found out before: one that is asked for and not there is an error.
var versions = []landlock.Config{
	1: landlock.V1, 2: landlock.V2, 3: landlock.V3, 4: landlock.V4, 5: landlock.V5, 6: landlock.V6,
	7: landlock.V7, 8: landlock.V8, 9: landlock.V9, 10: landlock.V10, 11: landlock.V11,
}

// landlock denies every file that the plan does not name, and the network,
// signals to processes outside and abstract sockets of theirs, as far as the
// kernel's version goes. It denies ptrace and /proc/PID/mem of others always.
func (p *Plan) landlock() error {
	if p.Landlock <= 0 {
		return nil
	}
	config := versions[min(p.Landlock, len(versions)-1)]
	var rules []landlock.Rule
	add := func(r landlock.FSRule, err error) error {
		if err == nil {
			rules = append(rules, r)
		}
		return err
	}
	for _, path := range append([]string{p.Path}, p.ReadOnly...) {
		if path != "" {
			if err := add(readable(path)); err != nil {
				return err
			}
		}
	}
	for _, path := range append([]string{p.Dir}, p.Writable...) {
		if err := add(writable(path, p.Landlock)); err != nil {
			return err
		}
	}
	for _, path := range append([]string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}, p.Devices...) {
		if _, err := os.Stat(path); err == nil {
			rules = append(rules, landlock.RWFiles(path).WithIoctlDev().IgnoreIfMissing())
		}
	}
	rules = append(rules, p.kernelFiles()...)
	if p.Network {
		return config.RestrictPaths(rules...)
	}
	return config.Restrict(rules...)
}

// kernelFiles are those of /proc, /sys and /dev/shm. In a namespace of its own
// all that stands in /proc is the program's. Outside, only its own directory is
// named, and the few files that tell of the machine.
func (p *Plan) kernelFiles() []landlock.Rule {
	rules := []landlock.Rule{landlock.RODirs(kernelTrees(len(p.Devices) > 0)...).IgnoreIfMissing()}
	if p.Proc {
		return append(rules, landlock.RWDirs("/proc", "/dev/shm").IgnoreIfMissing())
	}
	if p.Namespaces {
		return append(rules, landlock.RWDirs("/dev/shm").IgnoreIfMissing())
	}
	if len(p.Devices) > 0 {
		rules = append(rules, landlock.RODirs(driverFiles...).IgnoreIfMissing(), landlock.ROFiles("/proc/sys/vm/mmap_min_addr").IgnoreIfMissing())
	}
	self := fmt.Sprintf("/proc/%d", os.Getpid()) // exec does not change it
	return append(rules,
		landlock.RODirs(self).IgnoreIfMissing(), landlock.RWDirs(self+"/task").IgnoreIfMissing(),
		landlock.ROFiles(machineFiles...).IgnoreIfMissing())
}

// machineFiles tell of the machine, not of processes.
var machineFiles = []string{"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/version", "/proc/loadavg", "/proc/filesystems", "/proc/devices"}

// driverFiles are where a GPU's driver tells its library what there is. In a /proc
// of the program's own they stand anyway.
var driverFiles = []string{"/proc/driver/nvidia", "/proc/driver/nvidia-caps", "/proc/driver/nvidia-uvm"}

func readable(path string) (landlock.FSRule, error) {
	info, err := os.Stat(path)
	if err != nil {
		return landlock.FSRule{}, err
	}
	if info.IsDir() {
		return landlock.RODirs(path), nil
	}
	return landlock.ROFiles(path), nil
}

func writable(path string, version int) (landlock.FSRule, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return landlock.FSRule{}, err
	case !info.IsDir():
		return landlock.FSRule{}, &fs.PathError{Op: "make writable", Path: path, Err: errors.New("is not a directory")}
	case version >= 2:
		return landlock.RWDirs(path).WithRefer(), nil
	}
	return landlock.RWDirs(path), nil
}
