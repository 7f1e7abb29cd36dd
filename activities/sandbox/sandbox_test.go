package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the untrusted program: PLAY names a part.
const play = "PLAY"

func TestMain(m *testing.M) {
	if part := os.Getenv(play); part != "" {
		perform(part)
		return
	}
	os.Setenv("ANTHROPIC_API_KEY", "secret")
	os.Exit(m.Run())
}

func perform(part string) {
	name, argument, _ := strings.Cut(part, "=")
	n, _ := strconv.Atoi(argument)
	switch name {
	case "print":
		wd, _ := os.Getwd()
		fmt.Println("dir", wd)
		fmt.Println(strings.Join(os.Environ(), "\n"))
		in, err := os.Stdin.Read(make([]byte, 1))
		fmt.Fprintln(os.Stderr, "stdin", in, err)
	case "echo":
		_, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Println(err)
	case "fail":
		for i := range 60 {
			fmt.Println("line", i)
		}
		os.Exit(n)
	case "burn": // n milliseconds of CPU
		burn(time.Duration(n) * time.Millisecond)
	case "parent": // starts a child that burns, and waits for it
		again("burn=" + argument).Run()
	case "daemon": // leaves a deaf process in another session that burns on
		again("deaf").Start()
		for _, err := os.Stat("deaf"); err != nil; _, err = os.Stat("deaf") {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(n) * time.Millisecond)
	case "deaf":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		again("deaf-child").Start()
		burn(time.Hour)
	case "deaf-child":
		signal.Ignore(syscall.SIGTERM)
		os.WriteFile("deaf", nil, 0o644)
		time.Sleep(time.Hour)
	case "polite":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready")
		<-stop
		os.Exit(143)
	case "eat": // n MiB
		b := make([]byte, n<<20)
		for i := range b {
			b[i] = 1
		}
		time.Sleep(time.Hour)
	case "fill", "fill-unnamed": // the disk, in files of 1 MiB
		for i := range n {
			f, err := os.Create(fmt.Sprint("file", i))
			if err != nil {
				fmt.Println(err)
			}
			if name == "fill-unnamed" {
				os.Remove(f.Name())
			}
			f.Write(make([]byte, 1<<20))
			unclosed = append(unclosed, f)
		}
		time.Sleep(time.Hour)
	case "bomb": // four others, who do the same, n times: never without a bound
		for range 4 {
			if c := again("bomb=" + strconv.Itoa(n-1)); n > 0 {
				c.SysProcAttr.Setsid = false
				c.Start()
			}
		}
		time.Sleep(20 * time.Second)
	case "attack", "driver", "unshare":
		performHere(name, argument)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "supervise", "supervise-confined": // a worker that has a process in its sandbox
		box := Sandbox(Process{})
		if name == "supervise-confined" {
			box = OrDefault(nil)
		}
		dir, _ := os.MkdirTemp("", "supervise-")
		defer os.RemoveAll(dir)
		_, err := box.Run(context.Background(), Spec{ID: argument, Path: self(), Dir: dir, Env: []string{play + "=daemon=3600000"}})
		fmt.Println(err)
	}
}

var unclosed []*os.File // the collector closes files that nobody needs

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// programs is an error unless the process, as this machine numbers it, has that
// in its environment. Where there is no /proc, nobody can tell.
func programs(pid int, variable string) error {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if runtime.GOOS == "linux" && (err != nil || !strings.Contains(string(env), variable)) {
		return fmt.Errorf("process %d is not the program: %w", pid, err)
	}
	return nil
}

// again starts this program in a session of its own.
func again(part string) *exec.Cmd {
	c := exec.Command(self())
	c.Env = append(os.Environ(), play+"="+part)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

func burn(d time.Duration) {
	for {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		if time.Duration(u.Utime.Nano()+u.Stime.Nano()) >= d {
			return
		}
		for range 100000 {
		}
	}
}

var errEnough = errors.New("enough")

func TestProcess(t *testing.T) {
	t.Parallel()
	conform(t, Process{})
}

// conform is the contract of a Sandbox in executable form.
func conform(t *testing.T, s Sandbox) {
	spec := func(t *testing.T, part string) Spec {
		return Spec{ID: t.Name() + strconv.Itoa(os.Getpid()), Path: self(), Dir: t.TempDir(), Env: []string{play + "=" + part}}
	}
	run := func(t *testing.T, ctx context.Context, sp Spec) Outcome {
		t.Helper()
		o, err := s.Run(ctx, sp)
		if err != nil {
			t.Fatal(err)
		}
		if left := marked(sp.ID); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
		return o
	}
	ctx := context.Background()

	t.Run("clean surroundings", func(t *testing.T) {
		sp := spec(t, "print")
		sp.Cores = 3
		o := run(t, ctx, sp)
		got := strings.Join(o.Tail, "\n")
		for _, want := range []string{"dir " + sp.Dir, "HOME=" + sp.Dir, "TMPDIR=" + sp.Dir, "GOMAXPROCS=3", "stdin 0 EOF"} {
			if !slices.Contains(o.Tail, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		if strings.Contains(got, "secret") || len(o.Tail) != 8 {
			t.Errorf("more than it may see:\n%s", got)
		}
	})
	t.Run("standard input", func(t *testing.T) {
		in, feed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(feed, "hello")
		feed.Close()
		sp := spec(t, "echo")
		sp.Stdin = in
		o := run(t, ctx, sp)
		in.Close()
		if !slices.Equal(o.Tail, []string{"hello", "<nil>"}) {
			t.Errorf("it read %q", o.Tail)
		}
	})
	t.Run("exit code and tail", func(t *testing.T) {
		o := run(t, ctx, spec(t, "fail=7"))
		if o.ExitCode != 7 || o.Signal != 0 || o.Stopped != nil || len(o.Tail) != TailLines || o.Tail[39] != "line 59" {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("output limit", func(t *testing.T) {
		var log, out strings.Builder
		sp := spec(t, "fail=0")
		sp.Log, sp.LogLimit = &log, 100
		o := run(t, ctx, sp)
		if log.Len() != 100+len(cutNote) || o.Tail[39] != "line 59" {
			t.Errorf("log of %d bytes: %q", log.Len(), log.String())
		}
		sp.Stdout, sp.LogLimit = &out, 0
		if run(t, ctx, sp); strings.Count(out.String(), "\n") != 60 {
			t.Errorf("standard output: %q", out.String())
		}
	})
	t.Run("cpu of ended children", func(t *testing.T) {
		o := run(t, ctx, spec(t, "parent=300"))
		if o.CPU < 300*time.Millisecond || o.CPU > 500*time.Millisecond {
			t.Errorf("charged %v for 300ms", o.CPU)
		}
	})
	t.Run("daemons are charged and killed", func(t *testing.T) {
		var last Sample
		most := 0
		sp := spec(t, "daemon=900")
		pids := map[int]bool{}
		sp.Watch = func(s Sample) error {
			pids[s.PID], last, most = true, s, max(most, s.Processes)
			return programs(s.PID, play+"=daemon=900")
		}
		o := run(t, ctx, sp)
		if o.ExitCode != 0 || most != 3 || o.CPU < last.CPU || last.CPU < 20*time.Millisecond || len(pids) != 1 {
			t.Errorf("got %+v, last sample %+v, programs %v", o, last, pids)
		}
	})
	t.Run("stopped by the watcher", func(t *testing.T) {
		enough := errors.New("enough")
		sp := spec(t, "daemon=3600000")
		sp.Watch = func(s Sample) error {
			if s.CPU > 200*time.Millisecond {
				return enough
			}
			return nil
		}
		if o := run(t, ctx, sp); o.Stopped != enough || o.CPU < 200*time.Millisecond || o.OutOfMemory || o.Signal != syscall.SIGKILL {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("asked to end", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(ctx)
		because := errors.New("the worker stops")
		sp := spec(t, "polite")
		sp.Grace = time.Minute
		sp.Watch = func(Sample) error { cancel(because); return nil }
		if o := run(t, ctx, sp); o.ExitCode != 143 || o.Stopped != because {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("deaf to being asked", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		sp := spec(t, "deaf")
		sp.Grace = 50 * time.Millisecond
		sp.Watch = func(Sample) error { cancel(); return nil }
		if o := run(t, ctx, sp); o.Signal != syscall.SIGKILL || o.Stopped != context.Canceled || o.OutOfMemory {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("memory limit", func(t *testing.T) {
		sp := spec(t, "eat=200")
		sp.Memory = 100 << 20
		o := run(t, ctx, sp)
		if !o.OutOfMemory || !errors.Is(o.Stopped, ErrMemory) || o.PeakBytes < 100<<20 {
			t.Errorf("got %+v", o)
		}
	})
	for _, part := range []string{"fill=40", "fill-unnamed=40"} {
		t.Run(part, func(t *testing.T) {
			sp := spec(t, part)
			sp.Disk = 20 << 20
			if o := run(t, ctx, sp); !errors.Is(o.Stopped, ErrDisk) || o.OutOfMemory {
				t.Errorf("got %+v", o)
			}
			sp.Disk, sp.Watch = 60<<20, func(s Sample) error {
				if s.Wall > 1200*time.Millisecond { // after the disk was looked at
					return errEnough
				}
				return nil
			}
			if o := run(t, ctx, sp); o.Stopped != errEnough {
				t.Errorf("with enough room: %+v", o)
			}
		})
	}
	t.Run("fork bomb", func(t *testing.T) {
		sp := spec(t, "bomb=3") // 85 processes in all
		sp.Processes = 40
		if o := run(t, ctx, sp); !errors.Is(o.Stopped, ErrProcesses) {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("killed by somebody", func(t *testing.T) {
		if o := run(t, ctx, spec(t, "die")); o.Signal != syscall.SIGKILL || o.ExitCode != -1 || o.OutOfMemory || o.Stopped != nil {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		sp := spec(t, "")
		sp.Path = filepath.Join(sp.Dir, "absent")
		if _, err := s.Run(ctx, sp); err == nil || !strings.Contains(err.Error(), "starting absent in") {
			t.Errorf("got %v", err)
		}
	})
}

// marked lists the live processes of a run.
func marked(id string) (pids []int) {
	table, _ := processes()
	for _, p := range table {
		if !p.zombie && carries(p.pid, IDVariable+"="+id) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// TestWorkerKilled kills a worker the hard way: the program dies with it by
// itself, what it had daemonized by Clear.
func TestWorkerKilled(t *testing.T) {
	slot := t.Name() + strconv.Itoa(os.Getpid()) + "/"
	id := slot + "1"
	t.Cleanup(func() { _ = (Process{}).Clear(context.Background(), slot) }) // whatever fails below
	worker := exec.Command(self())
	worker.Env = append(os.Environ(), play+"=supervise="+id)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three processes run", func() bool { return len(marked(id)) == 3 })
	worker.Process.Kill()
	worker.Wait()
	eventually(t, "the program is gone", func() bool { return len(marked(id)) == 2 })
	if err := (Process{}).Clear(context.Background(), slot); err != nil {
		t.Fatal(err)
	}
	if left := marked(id); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if err := (Process{}).Clear(context.Background(), ""); err == nil {
		t.Error("an empty prefix was accepted")
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestAccounts checks who is charged for ended processes, on made-up tables.
func TestAccounts(t *testing.T) {
	const s = time.Second
	root := process{pid: 1, start: "a", self: 1 * s}
	child := process{pid: 2, parent: 1, start: "b", self: 5 * s}
	grand := process{pid: 3, parent: 2, start: "c", self: 3 * s}
	waited := func(p process, d time.Duration) process { p.waited = d; return p }
	for name, c := range map[string]struct {
		before, now []process
		want        time.Duration
	}{
		"nobody ended":               {[]process{root, child}, []process{root, child}, 0},
		"waited for":                 {[]process{root, child}, []process{waited(root, 5*s)}, 0},
		"waited for, with more":      {[]process{root, child}, []process{waited(root, 7*s)}, 0},
		"not waited for":             {[]process{root, child}, []process{root}, 5 * s},
		"waited for by the ended":    {[]process{root, child, grand}, []process{waited(root, 8*s)}, 0},
		"only one of them":           {[]process{root, child, grand}, []process{waited(root, 5*s)}, 3 * s},
		"an orphan":                  {[]process{root, {pid: 9, parent: 77, start: "o", self: 4 * s}}, []process{waited(root, 4*s)}, 4 * s},
		"the pid is another process": {[]process{root, child}, []process{root, {pid: 2, parent: 1, start: "z"}}, 5 * s},
	} {
		table := func(ps []process) map[int]process {
			m := map[int]process{}
			for _, p := range ps {
				m[p.pid] = p
			}
			return m
		}
		if got := unclaimed(table(c.before), table(c.now)); got != c.want {
			t.Errorf("%s: %v unclaimed, want %v", name, got, c.want)
		}

		// The same through two scans: what a tree has used never falls.
		tr, scans := newTree(1, "no such mark"), [][]process{c.before, c.now}
		tr.list = func() ([]process, error) { next := scans[0]; scans = scans[1:]; return next, nil }
		if err := errors.Join(tr.scan(), tr.scan()); err != nil {
			t.Fatal(err)
		}
		want := tr.lost
		for _, p := range c.now {
			want += p.used()
		}
		if name != "an orphan" && (tr.cpu() != want || tr.lost != c.want) { // an orphan has no parent to belong by
			t.Errorf("%s: the tree has used %v, %v of it unclaimed", name, tr.cpu(), tr.lost)
		}
	}
}

// A scan that comes between the end of the program and the news of it must not
// count the program's time twice.
func TestEndedBetweenScans(t *testing.T) {
	const s = time.Second
	root := process{pid: 1, group: 1, start: "a", self: 4 * s}
	child := process{pid: 2, parent: 1, group: 1, start: "b", self: 1 * s}
	orphan := process{pid: 3, parent: 77, group: 1, start: "c", self: 2 * s}
	for name, c := range map[string]struct {
		last, after []process
		told, want  time.Duration // of the program and those it waited for; in all
	}{
		"alone":               {[]process{root}, nil, 5 * s, 5 * s},
		"its child with it":   {[]process{root, child}, nil, 6 * s, 6 * s},
		"an orphan stays":     {[]process{root, orphan}, []process{orphan}, 5 * s, 7 * s},
		"the pid is used":     {[]process{root}, []process{{pid: 1, start: "z", self: 9 * s}}, 5 * s, 5 * s},
		"what it did not say": {[]process{root, child}, nil, 4 * s, 5 * s},
	} {
		// Two scans, the last one, and none left that would be killed.
		tr, scans := newTree(1, "no such mark"), [][]process{c.last, c.after, c.after, nil}
		tr.list = func() ([]process, error) { next := scans[0]; scans = scans[1:]; return next, nil }
		if err := tr.scan(); err != nil {
			t.Fatal(err)
		}
		before := tr.cpu()
		if err := tr.scan(); err != nil || tr.cpu() < before {
			t.Errorf("%s: the time goes from %v to %v, %v", name, before, tr.cpu(), err)
		}
		if got, err := tr.end(c.told); got != c.want || err != nil {
			t.Errorf("%s: %v in all, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestTail(t *testing.T) {
	var tl tail
	w := bufio.NewWriterSize(&tl, 7)
	fmt.Fprintf(w, "a\x1b[31mred\nb\xff\n%s\nlast", strings.Repeat("x", 3000))
	w.Flush()
	want := []string{"ared", "b\uFFFD", strings.Repeat("x", maxLine), "last"}
	if got := tl.lines(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
