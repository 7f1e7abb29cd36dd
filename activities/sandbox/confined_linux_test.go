package sandbox

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// variants are what the machines there are allow, as far as this one does.
func variants() map[string]Strength {
	s := Probe()
	return map[string]Strength{
		"all":                     s,
		"no namespaces":           {Landlock: s.Landlock, Seccomp: s.Seccomp},
		"namespaces alone":        {Namespaces: s.Namespaces, Proc: s.Proc, asRoot: s.asRoot},
		"no proc":                 {Namespaces: s.Namespaces, Landlock: s.Landlock, Seccomp: s.Seccomp, asRoot: s.asRoot},
		"root, no user namespace": {Namespaces: s.Namespaces, Proc: s.Proc, Landlock: s.Landlock, Seccomp: s.Seccomp, asRoot: true},
		"landlock 1":              {Landlock: min(1, s.Landlock), Seccomp: s.Seccomp},
	}
}

func TestConfined(t *testing.T) {
	t.Log(Probe(), Probe().why)
	for name, s := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !s.Any() {
				t.Skip("nothing here")
			}
			if err := s.trial(); err != nil {
				t.Skip(err)
			}
			if name != "all" && name != "no namespaces" {
				t.Skip("the attacks are tried on it")
			}
			conform(t, Confined{s})
		})
	}
}

// In a namespace everything dies with the worker, what has left its session too.
func TestWorkerKilledConfined(t *testing.T) {
	if !Probe().Namespaces {
		t.Skip("no namespaces: ", Probe().why)
	}
	id := t.Name() + strconv.Itoa(os.Getpid()) + "/1"
	t.Cleanup(func() { _ = OrDefault(nil).Clear(context.Background(), id) })
	worker := exec.Command(self())
	worker.Env = append(os.Environ(), play+"=supervise-confined="+id)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "launcher and three processes run", func() bool { return len(marked(id)) == 4 })
	worker.Process.Kill()
	worker.Wait()
	eventually(t, "all are gone", func() bool { return len(marked(id)) == 0 })
}

// The kernel's counts of what it has held off, in both versions' words.
func TestCounter(t *testing.T) {
	path := t.TempDir() + "/memory.oom_control"
	if err := os.WriteFile(path, []byte("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"oom_kill": 3, "under_oom": 0, "max": 0} {
		if got := counter(path, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if got := counter(path+".absent", "max"); got != 0 {
		t.Errorf("a file that is not there says %d", got)
	}
}
