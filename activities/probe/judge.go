package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// margin is how much better than the honest model, in parts of its score, a
// cheat must be to have gained something. Runs as short as the probe's spread by
// a few percent; a look ahead makes the score a fraction.
const margin = 0.3

// judge says what became of a cheat. o is nil where nothing ran.
func (p *probe) judge(c Cheat, wrong []string, o *outcome, took time.Duration) {
	f := Finding{Name: c.Name, Title: c.Title, Verdict: Caught, Wrong: wrong, Seconds: took.Seconds()}
	if c.Guard != "" {
		f.Caught = append(f.Caught, "guard")
	}
	for _, r := range c.Smoke {
		f.Caught = append(f.Caught, "smoke: "+r)
	}
	if len(wrong) > 0 {
		f.Verdict, f.Caught = Otherwise, nil
	}
	if o != nil {
		p.behind(c, o, &f)
	}
	if f.Verdict == Otherwise && o == nil && c.Guard != "" {
		f.Verdict = Believed // the guard was all that there was
	}
	p.found(f)
}

// behind judges the run of a cheat as if the guard had let it pass.
func (p *probe) behind(c Cheat, o *outcome, f *Finding) {
	worse := func(v Verdict, format string, args ...any) {
		if f.Verdict != Believed {
			f.Verdict = v
		}
		f.Wrong = append(f.Wrong, fmt.Sprintf(format, args...))
	}
	gained := o.bpb < o.honest*(1-margin)
	switch {
	case o.loot != "" && !p.enforced(c):
		worse(Unenforced, "%q", o.loot)
	case o.loot != "":
		worse(Believed, "it got what it wanted: %q", o.loot)
	case gained:
		worse(Believed, "its score was believed: %.3f, and the honest one is %.3f", o.bpb, o.honest)
	case o.failed != nil:
		if !expected(c.Train, o.failed) {
			worse(Otherwise, "training failed with %s, and should have with %v", saying(o.failed), c.Train)
		}
		f.Caught = append(f.Caught, "train: "+string(o.failed.Reason))
	case len(c.Train) > 0 && c.Harmless == "" && len(c.Evaluate) == 0:
		worse(Otherwise, "training should have failed with %v, and did not", c.Train)
	case o.scored != nil:
		if !expected(c.Evaluate, o.scored) {
			worse(Otherwise, "evaluation failed with %s, and should have with %v", saying(o.scored), c.Evaluate)
		}
		f.Caught = append(f.Caught, "evaluate: "+string(o.scored.Reason))
	case c.Harmless == "":
		worse(Otherwise, "evaluation should have failed with %v, and gave %.3f", c.Evaluate, o.bpb)
	default:
		f.Caught = append(f.Caught, "no gain")
	}
	if o.refused != "" && f.Verdict == Caught {
		f.Caught = append(f.Caught, "sandbox: "+firstLine(o.refused))
	}
	if dirty(o) {
		worse(Otherwise, "control characters reached the words that people and models read")
	}
}

// enforcers are the parts of a sandbox, any of which enforces a need; see
// sandbox.Strength for their names.
var enforcers = map[string][]string{
	"files":     {"namespaces", "landlock"},
	"network":   {"namespaces", "seccomp"},
	"processes": {"namespaces"},
}

// enforced says whether the sandbox says that it enforces all that c needs.
// Memory and disk are watched on every machine.
func (p *probe) enforced(c Cheat) bool {
	return !slices.ContainsFunc(c.Needs, func(need string) bool {
		parts := enforcers[need]
		return parts != nil && !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(p.report.Isolation, part) })
	})
}

// dirty looks for control characters where only text may be.
func dirty(o *outcome) bool {
	texts := o.record.LogTail
	if o.failed != nil {
		texts = append(texts, o.failed.Message)
	}
	for _, t := range texts {
		if strings.ContainsFunc(t, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f || r == 0x9b }) {
			return true
		}
	}
	return false
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
