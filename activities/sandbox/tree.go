package sandbox

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// process is one line of the kernel's process table.
type process struct {
	pid, parent, group int
	start              string // with the pid, identifies a process for good
	self               time.Duration
	waited             time.Duration // CPU time of children it has waited for
	zombie             bool
	threads            int
}

func (p process) used() time.Duration { return p.self + p.waited }

// identity tells a process from a later one with the same pid.
type identity struct {
	pid   int
	start string
}

func (p process) identity() identity { return identity{p.pid, p.start} }

// tree is everything that descends from one program: the processes in its
// group, children of members, and those that carry its id in their
// environment, which a process that daemonizes keeps. Once a member, always.
type tree struct {
	root    int             // 0 when there is none (any more)
	mark    string          // what the environment entry of a member starts with
	members map[int]process // by pid, as of the last scan
	judged  map[identity]bool
	lost    time.Duration // CPU time of ended processes that nobody in the tree waited for
	seen    time.Duration // CPU time of the tree when the program was last there, once it has ended
	list    func() ([]process, error)

	// A launcher has used own before there was a program. If apart, it is the
	// root, stays beside the program, and is no part of what is measured.
	own   time.Duration
	apart bool
}

func newTree(root int, mark string) *tree {
	return &tree{root: root, mark: mark, members: map[int]process{}, judged: map[identity]bool{}, list: processes}
}

// scan brings members up to date.
func (t *tree) scan() error {
	table, err := t.list()
	if err != nil {
		return fmt.Errorf("reading the process table: %w", err)
	}
	byPID := make(map[int]process, len(table))
	for _, p := range table {
		byPID[p.pid] = p
	}
	ended := t.rootEnded(byPID)
	if ended {
		t.seen, t.root = t.cpu(), 0 // the pid is free for others now
	}
	now := map[int]process{}
	judged := make(map[identity]bool, len(table))
	for _, p := range table {
		if t.belongs(p, byPID, judged) {
			now[p.pid] = t.measured(p)
		}
	}
	if !ended {
		t.lost += unclaimed(t.members, now)
	}
	t.members, t.judged = now, judged
	return nil
}

// measured takes the launcher's own time off its process.
func (t *tree) measured(p process) process {
	switch {
	case p.pid != t.root:
	case t.apart:
		p.self = 0
	default:
		p.self = max(0, p.self-t.own)
	}
	return p
}

// rootEnded tells whether the program has been waited for since the last scan.
// Its time, and that of those it waited for, is what end will be told, so it
// must not count as lost.
func (t *tree) rootEnded(table map[int]process) bool {
	was, known := t.members[t.root]
	is, alive := table[t.root]
	return known && (!alive || is.start != was.start)
}

// belongs judges each process once, when it is first seen: strangers stay
// strangers, so that a scan does not read the environment of all the machine.
func (t *tree) belongs(p process, table map[int]process, judged map[identity]bool) bool {
	key := p.identity()
	if in, ok := judged[key]; ok {
		return in
	}
	judged[key] = false // ends a cycle in a table that was read while it changed
	in, known := t.judged[key]
	if !known && p.pid != os.Getpid() {
		parent, ok := table[p.parent]
		in = t.root != 0 && (p.pid == t.root || p.group == t.root) ||
			ok && t.belongs(parent, table, judged) || carries(p.pid, t.mark)
	}
	judged[key] = in
	return in
}

// unclaimed is the CPU time of processes that ended between two scans without
// being waited for by a surviving member. When a parent waits for a child, the
// child's time moves to the parent's account, and must not count twice.
func unclaimed(before, now map[int]process) time.Duration {
	gone := map[int]time.Duration{} // by surviving ancestor, 0 for none
	for pid, p := range before {
		if q, ok := now[pid]; !ok || q.start != p.start {
			gone[heir(p, before, now)] += p.used()
		}
	}
	var sum time.Duration
	for pid, used := range gone {
		claimed := time.Duration(0)
		if pid != 0 {
			claimed = now[pid].waited - before[pid].waited
		}
		sum += max(0, used-claimed)
	}
	return sum
}

// heir is the nearest ancestor of p in the tree that is still there.
func heir(p process, before, now map[int]process) int {
	for range len(before) {
		parent, ok := before[p.parent]
		if !ok {
			return 0
		}
		if q, ok := now[parent.pid]; ok && q.start == parent.start {
			return parent.pid
		}
		p = parent
	}
	return 0
}

// cpu is the time that the tree has used, as of the last scan.
func (t *tree) cpu() time.Duration { return max(t.seen, t.counted()) }

// counted is the time of those that are there, and of those that were lost.
func (t *tree) counted() time.Duration {
	sum := t.lost
	for _, p := range t.members {
		sum += p.used()
	}
	return sum
}

func (t *tree) memory() int64 {
	var sum int64
	for pid := range t.members {
		if !t.apart || pid != t.root {
			sum += memoryOf(pid)
		}
	}
	return sum
}

// program is the process that was started: the launcher's first child, where a
// launcher stays; later ones are orphans that it has inherited.
func (t *tree) program() int {
	if !t.apart {
		return t.root
	}
	first := 0
	for pid, p := range t.members {
		if p.parent == t.root && (first == 0 || earlier(p, t.members[first])) {
			first = pid
		}
	}
	return first
}

// earlier says whether a started before b, by the kernel's clock, which is coarse,
// and else by their numbers.
func earlier(a, b process) bool {
	x, _ := strconv.ParseUint(a.start, 10, 64)
	y, _ := strconv.ParseUint(b.start, 10, 64)
	return x < y || x == y && a.pid < b.pid
}

// processes counts those of the program.
func (t *tree) processes() int {
	if _, there := t.members[t.root]; t.apart && there {
		return len(t.members) - 1
	}
	return len(t.members)
}

// threads counts those of all processes of the program.
func (t *tree) threads() (n int) {
	for pid, p := range t.members {
		if !t.apart || pid != t.root {
			n += max(1, p.threads)
		}
	}
	return n
}

// openFiles are the files without a name that the program keeps open.
func (t *tree) openFiles() map[inode]int64 {
	files := map[inode]int64{}
	for pid := range t.members {
		unnamedFiles(pid, files)
	}
	return files
}

func (t *tree) signal(sig syscall.Signal) {
	for pid, p := range t.members {
		if !p.zombie {
			_ = syscall.Kill(pid, sig) // it may have ended meanwhile
		}
	}
}

// end kills what outlives the program, which used rootUsed and has been waited
// for, and returns the CPU time of the whole tree. A process that ended since
// the last scan is in rootUsed if somebody waited for it, and otherwise known
// as far as the last scan saw it.
func (t *tree) end(rootUsed time.Duration) (time.Duration, error) {
	seen := t.cpu()
	t.root, t.members = 0, map[int]process{} // the pid is free for others now
	err := t.scan()
	total := max(seen, rootUsed+t.counted())
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), goneWithin)
		defer cancel()
		err = t.kill(ctx)
	}
	return total, err
}

// kill ends every member but not our own process, until none is left: one that
// forks while it is being killed is met again in the next round.
func (t *tree) kill(ctx context.Context) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if err := t.scan(); err != nil {
			return err
		}
		left := 0
		for _, p := range t.members {
			if !p.zombie {
				left = p.pid
			}
		}
		if left == 0 {
			return nil
		}
		t.signal(syscall.SIGKILL)
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end, it may hang in the kernel: %w", left, context.DeadlineExceeded)
		case <-time.After(pause):
		}
	}
}
