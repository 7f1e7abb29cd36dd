package sandbox

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A control group of its own bounds a run where we may make one: as root, or in
// a part of the hierarchy that was delegated to us. It counts what no look at
// the process table can: the CPU time of children that nobody waits for, and
// memory that nobody has mapped. Its bounds lie a quarter above those that are
// watched.
//
// The packages for control groups move processes, configure every controller
// and talk to systemd; this needs four files of each version.

// groupPrefix starts the name of every group; the run's id follows.
const groupPrefix = "autoresearch."

// group is the control group of a run: one directory in version 2, one for each
// controller in version 1. Nil is none.
type group struct {
	dirs map[string]string // by controller; "" is version 2
}

// groupRoots finds where groups can be made: the directories of our own group.
func groupRoots() (roots map[string]string, version string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	own, err2 := os.ReadFile("/proc/self/cgroup")
	if err != nil || err2 != nil {
		return nil, ""
	}
	first, unified := map[string]string{}, ""
	for line := range strings.Lines(string(mounts)) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 5 || len(r) < 3 {
			continue
		}
		switch r[0] {
		case "cgroup2":
			unified = l[4]
		case "cgroup":
			for option := range strings.SplitSeq(r[2], ",") {
				first[option] = l[4]
			}
		}
	}
	roots = map[string]string{}
	for line := range strings.Lines(string(own)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		if part[0] == "0" && unified != "" {
			roots[""] = filepath.Join(unified, part[2])
		}
		for controller := range strings.SplitSeq(part[1], ",") {
			if at := first[controller]; at != "" && slices.Contains([]string{"memory", "pids", "cpuacct"}, controller) {
				roots[controller] = filepath.Join(at, part[2])
			}
		}
	}
	if len(roots) > 1 || roots[""] == "" {
		delete(roots, "") // version 1 has the controllers
		return roots, "v1"
	}
	return roots, "v2"
}

// groups says of which version groups can be made here; empty is none.
func groups() string {
	_, version := groupRoots()
	g, err := newGroup("probe/"+strconv.Itoa(os.Getpid()), 1<<30, 1000)
	if err != nil {
		return ""
	}
	g.remove()
	removeOld()
	return version
}

// removeOld removes the groups that killed workers have left. One in use cannot
// be removed, and one that is so young may only just be coming into use.
func removeOld() {
	roots, _ := groupRoots()
	for _, root := range roots {
		entries, _ := os.ReadDir(root)
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), groupPrefix) && time.Since(info.ModTime()) > time.Hour {
				_ = os.Remove(filepath.Join(root, e.Name()))
			}
		}
	}
}

// newGroup makes a group with bounds.
func newGroup(id string, memory int64, processes int) (*group, error) {
	roots, version := groupRoots()
	if len(roots) == 0 {
		return nil, errors.New("no control groups are mounted")
	}
	g := &group{dirs: map[string]string{}}
	for controller, root := range roots {
		dir := filepath.Join(root, groupName(id))
		if version == "v2" { // it takes a group without processes, or the first of all
			_ = writeFile(filepath.Join(root, "cgroup.subtree_control"), "+memory +pids")
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			g.remove()
			return nil, err
		}
		g.dirs[controller] = dir
	}
	err := g.bound(version, memory, processes)
	if err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

func (g *group) bound(version string, memory int64, processes int) error {
	bytes, count := strconv.FormatInt(memory/4*5, 10), strconv.Itoa(processes/4*5+8) // and the launcher
	limits := map[string]string{"pids.max": count}
	if memory > 0 {
		limits["memory.limit_in_bytes"] = bytes
		if version == "v2" {
			limits = map[string]string{"pids.max": count, "memory.max": bytes, "memory.swap.max": "0"}
		}
	}
	for name, value := range limits {
		controller := ""
		if version == "v1" {
			controller, _, _ = strings.Cut(name, ".")
		}
		dir, ok := g.dirs[controller]
		if !ok {
			continue
		}
		err := writeFile(filepath.Join(dir, name), value)
		if err != nil && name != "memory.swap.max" { // not every kernel counts swap
			return err
		}
	}
	return nil
}

// add moves a process, which has no children yet, into the group.
func (g *group) add(pid int) error {
	if g == nil {
		return nil
	}
	for _, dir := range g.dirs {
		if err := writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("put the process into its control group: %w", err)
		}
	}
	return nil
}

// cpu is the time that all processes of the group have used.
func (g *group) cpu() time.Duration {
	if g == nil {
		return 0
	}
	if dir := g.dirs["cpuacct"]; dir != "" {
		text, _ := os.ReadFile(filepath.Join(dir, "cpuacct.usage"))
		ns, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(ns)
	}
	return time.Duration(counter(filepath.Join(g.dirs[""], "cpu.stat"), "usage_usec")) * time.Microsecond
}

// refused counts what the kernel has held off: processes that it killed for want
// of memory within the bound, and forks beyond the other one.
func (g *group) refused() (kills, forks int64) {
	if g == nil {
		return 0, 0
	}
	memory, pids := g.dirs["memory"], g.dirs["pids"]
	if at := g.dirs[""]; at != "" {
		return counter(filepath.Join(at, "memory.events"), "oom_kill"), counter(filepath.Join(at, "pids.events"), "max")
	}
	if memory != "" {
		kills = counter(filepath.Join(memory, "memory.oom_control"), "oom_kill")
	}
	if pids != "" {
		forks = counter(filepath.Join(pids, "pids.events"), "max")
	}
	return kills, forks
}

// counter reads one of the lines "name value" of a file; 0 when there is none.
func counter(path, name string) int64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

// kill ends every process of the group.
func (g *group) kill() {
	if g == nil {
		return
	}
	for _, dir := range g.dirs {
		if writeFile(filepath.Join(dir, "cgroup.kill"), "1") == nil {
			return
		}
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

// remove removes the group, once its processes are gone.
func (g *group) remove() {
	if g == nil {
		return
	}
	for _, dir := range g.dirs {
		for pause := time.Millisecond; pause < time.Second; pause *= 2 {
			if err := os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
				break
			}
			time.Sleep(pause) // the kernel is a little late with the last of them
		}
	}
}

// clearGroups removes the groups of runs whose id starts with prefix.
func clearGroups(prefix string) {
	roots, _ := groupRoots()
	for controller, root := range roots {
		entries, _ := os.ReadDir(root)
		for _, e := range entries {
			if e.IsDir() && strings.HasPrefix(e.Name(), groupPrefix+url.PathEscape(prefix)) {
				g := &group{dirs: map[string]string{controller: filepath.Join(root, e.Name())}}
				g.kill()
				g.remove()
			}
		}
	}
}

// groupName is a file name for a run's id.
func groupName(id string) string {
	name := groupPrefix + url.PathEscape(id)
	return name[:min(len(name), 200)]
}

func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
