package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

// finding is one line of the doctor.
type finding struct {
	Check  string `json:"check"`
	Level  string `json:"level"` // ok, warn, FAIL
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func ok(detail string) finding        { return finding{Level: "ok", Detail: detail} }
func warn(detail, fix string) finding { return finding{Level: "warn", Detail: detail, Fix: fix} }
func fail(detail, fix string) finding { return finding{Level: "FAIL", Detail: detail, Fix: fix} }

// newDoctor makes "doctor".
func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "check this machine: Go, git, home, disk, ports, engine, cluster, language model, sandbox, GPU", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

// doctor runs every check, whatever the others say.
func (a *app) doctor(ctx context.Context) error {
	bad := 0
	one := func(check func(context.Context) finding) func(context.Context) []finding {
		return func(ctx context.Context) []finding { return []finding{check(ctx)} }
	}
	for _, c := range []struct {
		name  string
		check func(context.Context) []finding
	}{
		{"go", one(goTool)}, {"git", one(gitTool)}, {"repository", one(a.repository)}, {"home", one(a.homeState)}, {"disk", one(a.disk)},
		{"ports", one(a.ports)}, {"engine", one(a.engineState)}, {"cluster", one(a.clusterState)}, {"llm", one(a.llmState)},
		{"sandbox", one(sandboxState)}, {"gpu", a.gpuState},
	} {
		for _, f := range c.check(ctx) {
			f.Check = c.name
			if f.Level == "FAIL" {
				bad++
			}
			if err := a.printFinding(f); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return failed("follow the fixes above and run it again", "%s failed", plural(bad, "check"))
	}
	return nil
}

func (a *app) printFinding(f finding) error {
	if a.json {
		return a.object(f)
	}
	s := a.styleOf(a.stdout)
	color := map[string]string{"ok": good, "warn": mild, "FAIL": bad}[f.Level]
	line := fmt.Sprintf("%s %-10s %s", s.paint(color, fmt.Sprintf("%-4s", f.Level)), f.Check, s.printable(f.Detail))
	if f.Fix != "" {
		line += "  -> " + f.Fix
	}
	a.line(line)
	return nil
}

// goTool: candidates and the engine are built with the user's Go.
func goTool(ctx context.Context) finding {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return fail("not found", "install Go from https://go.dev/dl")
	}
	return ok(strings.TrimSpace(string(out)))
}

func gitTool(ctx context.Context) finding {
	out, err := exec.CommandContext(ctx, "git", "version").Output()
	if err != nil {
		return fail("not found", "install git")
	}
	return ok(strings.TrimSpace(strings.TrimPrefix(string(out), "git version ")))
}

// repository: up and worker run inside the program under research.
func (a *app) repository(ctx context.Context) finding {
	t, err := defaultTarget()
	if err != nil {
		return fail(err.Error(), "")
	}
	top, err := checkCheckout(ctx, a.dir, t)
	if err != nil {
		f := classify(err)
		return warn(f.Error(), f.hint)
	}
	return ok(top + ", target " + t.Name() + " is committed")
}

// homeState looks and creates nothing: a home that is not there yet is fine.
func (a *app) homeState(context.Context) finding {
	home := string(a.home())
	if _, err := os.Stat(home); err == nil {
		if err := a.checkHome(); err != nil {
			f := classify(err)
			return fail(f.Error(), f.hint)
		}
		return ok(home)
	}
	parent := existing(home)
	probe, err := os.MkdirTemp(parent, ".autoresearch-doctor-*")
	if err != nil {
		f := classify(homeFailure(home, err))
		return fail(f.Error(), f.hint)
	}
	os.Remove(probe)
	return ok(home + " (not there yet)")
}

// buildFree is what the engine's first build needs, caches and all.
const buildFree = 4 << 30

func (a *app) disk(context.Context) finding {
	home := string(a.home())
	free, err := a.freeBytes(existing(home))
	detail := fmt.Sprintf("%.1f GB free for the home", float64(free)/1e9)
	switch {
	case err != nil:
		return warn(fmt.Sprintf("cannot tell the free space of %s: %v", home, err), "")
	case free < minFree:
		return fail(detail, "free some space, or "+homeHint)
	case free < buildFree:
		return warn(detail, "the engine's first build and long campaigns need more")
	}
	return ok(detail)
}

// ports: the engine takes others when these are taken, so it is never fatal.
func (a *app) ports(ctx context.Context) finding {
	c, err := a.connectBriefly(ctx)
	if err == nil {
		defer c.Close()
		if c.Embedded {
			return ok("used by the engine of this home: " + c.Address + ", UI " + c.UIURL)
		}
	}
	var taken []string
	for _, port := range []string{"7233", "8233"} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			taken = append(taken, port)
			continue
		}
		l.Close()
	}
	if len(taken) > 0 {
		return warn(strings.Join(taken, " and ")+" taken", "nothing to do: the engine picks free ports and names them")
	}
	return ok("7233 and 8233 are free")
}

// engineState: is the engine built, does it run?
func (a *app) engineState(ctx context.Context) finding {
	if c, err := a.connectBriefly(ctx); err == nil {
		defer c.Close()
		if c.Embedded {
			return ok(fmt.Sprintf("runs, pid %d", c.PID))
		}
		return ok("not needed: the environment names a cluster")
	}
	// BuildEngine shows progress only if it has something to build: that is
	// when we let go.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	missing := errors.New("not built yet")
	bin, err := cluster.BuildEngine(ctx, cluster.Options{Home: string(a.home()), Progress: func(string, bool) { cancel(missing) }})
	switch {
	case context.Cause(ctx) == missing:
		return warn("not built yet", "autoresearch engine build (about 10 minutes of CPU time, once)")
	case err != nil:
		f := classify(err)
		return fail(f.Error(), f.hint)
	}
	return ok("built: " + filepath.Clean(bin) + "; not running")
}

// clusterState: does Temporal answer?
func (a *app) clusterState(ctx context.Context) finding {
	begin := time.Now()
	c, err := a.connectBriefly(ctx)
	if errors.Is(err, cluster.ErrNotRunning) {
		return ok("the embedded engine is used; 'autoresearch up' starts it")
	}
	if err != nil {
		f := classify(err)
		return fail(f.Error(), f.hint)
	}
	defer c.Close()
	return ok(fmt.Sprintf("%s, answered in %s", whereTemporal(c), time.Since(begin).Round(time.Millisecond)))
}

// connectBriefly is connect for checks that must not take long.
func (a *app) connectBriefly(ctx context.Context) (*cluster.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return a.connect(ctx)
}
