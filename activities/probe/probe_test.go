package probe

import (
	"context"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// open confines nothing and says that it does.
type open struct {
	sandbox.Process
	says string
}

func (s open) Run(ctx context.Context, spec sandbox.Spec) (sandbox.Outcome, error) {
	o, err := s.Process.Run(ctx, spec)
	o.Isolation = s.says
	return o, err
}

// run plants some cheats.
func run(t *testing.T, box sandbox.Sandbox, names ...string) map[string]Finding {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{Source: "../..", Dir: t.TempDir(), GoCache: strings.TrimSpace(string(cache)), Sandbox: box, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Finding{}
	for _, f := range r.Findings {
		if !f.Twin {
			found[f.Name] = f
		} else if f.Verdict != Passed {
			t.Errorf("the twin of %s: %+v", f.Name, f)
		}
	}
	if len(found) != len(names) || r.Planted() != len(names) || r.Twins() != len(names) {
		t.Errorf("%d cheats and %d twins were planted, want %d of both", r.Planted(), r.Twins(), len(names))
	}
	return found
}

// thieves are held by nothing but the sandbox, once the guard is passed.
var thieves = []string{"reads-val-absolute", "reads-val-symlink", "reads-other-run", "writes-outside", "connects-tcp", "hands-over-other-model"}

// TestProbeCanFail: where the sandbox does not do what it says, cheats are
// believed, and called so.
func TestProbeCanFail(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what a sandbox says is Linux's")
	}
	found := run(t, open{says: "namespaces landlock/7 seccomp"}, append(thieves, "exits-early", "smuggles-string")...)
	for name, f := range found {
		if slices.Contains(thieves, name) != (f.Verdict == Believed) || f.Verdict != Believed && f.Verdict != Caught {
			t.Errorf("%+v", f)
		}
	}
}

// TestEnforced: where the sandbox says that it cannot hold a thief, that is told
// apart from one that it should have held.
func TestEnforced(t *testing.T) {
	for says, want := range map[string]map[string]Verdict{
		"none":                           {"files": Unenforced, "network": Unenforced, "processes": Unenforced, "disk": Believed, "memory": Believed},
		"landlock/7 seccomp":             {"files": Believed, "network": Believed, "processes": Unenforced},
		"namespaces landlock/7 seccomp":  {"files": Believed, "network": Believed, "processes": Believed},
		"seccomp":                        {"files": Unenforced, "network": Believed},
		"namespaces landlock/1 cgroup/2": {"files": Believed, "network": Believed, "processes": Believed},
	} {
		for need, verdict := range want {
			p := &probe{report: Report{Isolation: says}}
			p.judge(Cheat{Name: "x", Guard: "os", Harmless: "it cannot", Needs: []string{need}}, nil, &outcome{loot: "all"}, 0)
			if got := p.report.Findings[0].Verdict; got != verdict {
				t.Errorf("sandbox %q, cheat that needs %s: %s, want %s", says, need, got, verdict)
			}
		}
	}
}

// TestJudge: every way in which a cheat may end.
func TestJudge(t *testing.T) {
	failure := func(reason experiment.Reason) *experiment.Failure {
		return &experiment.Failure{Reason: reason, Message: "m"}
	}
	train := Cheat{Name: "t", Guard: "os", Train: []string{"timeout"}}
	evaluate := Cheat{Name: "e", Evaluate: []string{"not-causal"}}
	harmless := Cheat{Name: "h", Harmless: "why"}
	for name, c := range map[string]struct {
		cheat Cheat
		wrong []string
		o     *outcome
		want  Verdict
	}{
		"caught in training":           {train, nil, &outcome{failed: failure("timeout"), bpb: math.NaN()}, Caught},
		"caught for another reason":    {train, nil, &outcome{failed: failure("oom"), bpb: math.NaN()}, Otherwise},
		"not caught in training":       {train, nil, &outcome{bpb: 2.5}, Otherwise},
		"caught, but not by the guard": {train, []string{"the guard lets it pass"}, &outcome{failed: failure("timeout"), bpb: math.NaN()}, Otherwise},
		"guard alone, and it fails":    {Cheat{Name: "g", Guard: "os"}, []string{"the guard lets it pass"}, nil, Believed},
		"guard alone":                  {Cheat{Name: "g", Guard: "os"}, nil, nil, Caught},
		"caught in evaluation":         {evaluate, nil, &outcome{scored: failure("not-causal"), bpb: math.NaN()}, Caught},
		"a score that is believed":     {evaluate, nil, &outcome{bpb: 0.1}, Believed},
		"no fault, and no gain":        {evaluate, nil, &outcome{bpb: 2.5}, Otherwise},
		"harmless":                     {harmless, nil, &outcome{bpb: 2.5}, Caught},
		"harmless no more":             {harmless, nil, &outcome{bpb: 1}, Believed},
		"loot, and then a failure":     {train, nil, &outcome{loot: "x", failed: failure("timeout")}, Believed},
		"words that command terminals": {train, nil, &outcome{failed: &experiment.Failure{Reason: "timeout", Message: "\x1b[2J"}, bpb: math.NaN()}, Otherwise},
	} {
		p := &probe{report: Report{Isolation: "namespaces"}}
		if c.o != nil {
			c.o.honest = 2.5
		}
		p.judge(c.cheat, c.wrong, c.o, 0)
		if f := p.report.Findings[0]; f.Verdict != c.want || f.Verdict.Bad() != (len(f.Wrong) > 0) {
			t.Errorf("%s: %+v, want %s", name, f, c.want)
		}
	}
}

// TestHarm: each trap outside of the cheats' processes says what it has seen,
// once.
func TestHarm(t *testing.T) {
	dir := t.TempDir()
	g, err := newGround(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if harm := g.harm(); harm != "" {
		t.Errorf("nothing was done: %s", harm)
	}
	for want, do := range map[string]func() error{
		"changed: canary":          func() error { return os.WriteFile(g.Outside+"/canary", nil, 0o644) },
		"changed: id_ed25519":      func() error { return os.Remove(g.Key) },
		"left in outside":          func() error { return os.WriteFile(g.Outside+"/new", nil, 0o644) },
		"left in neighbour":        func() error { return os.WriteFile(g.Neighbour+"/done.json", nil, 0o644) },
		"left in /tmp":             func() error { return os.WriteFile("/tmp/"+g.Mark, nil, 0o644) },
		"a listener outside":       func() error { g.contacts.Add(1); return nil },
		"the worker's environment": func() error { return os.Setenv(secretVariable, "x") },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if harm := g.harm(); !strings.Contains(harm, want) {
			t.Errorf("got %q, want %q", harm, want)
		}
		if err := os.Setenv(secretVariable, g.secret); err != nil {
			t.Fatal(err)
		}
		if harm := g.harm(); harm != "" {
			t.Errorf("after %s: %q is told again", want, harm)
		}
	}
}
