package main

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
)

// sandboxFlag adds --sandbox.
func (a *app) sandboxFlag(f *pflag.FlagSet) {
	f.StringVar((*string)(&a.sandbox), "sandbox", "", "what confines candidates: `MODE` auto (the strongest that works here), required\nor off (default $"+sandboxEnv+", or auto)")
}

// sandboxEnv is the mode of who does not say.
const sandboxEnv = "AUTORESEARCH_SANDBOX"

// checkSandbox refuses a mode that there is not, and one that this machine
// cannot offer.
func (a *app) checkSandbox() error {
	if a.sandbox == "" {
		a.sandbox = sandbox.Mode(a.getenv(sandboxEnv))
	}
	if !a.sandbox.Valid() {
		return usage("for example: --sandbox auto", "sandbox is %q: it is %s", a.sandbox, sandbox.Modes)
	}
	_, err := sandbox.Default(a.sandbox)
	return err
}

// noteSandbox says once what confines candidates and what does not.
func (a *app) noteSandbox() {
	if a.sandbox == sandbox.Off {
		a.note("sandbox   off: candidates run with your rights; see docs/sandbox.md")
		return
	}
	s := sandbox.Probe()
	a.note("sandbox   %s", s)
	if gaps := s.Missing(); len(gaps) > 0 {
		a.note("note      %s; %s", whatGaps(gaps), gaps[0].Fix)
	}
}

func whatGaps(gaps []sandbox.Gap) string {
	list := make([]string, len(gaps))
	for i, g := range gaps {
		list[i] = g.What
	}
	return strings.Join(list, "; ")
}

// sandboxState is a line of the doctor.
func sandboxState(context.Context) finding {
	s := sandbox.Probe()
	if gaps := s.Missing(); len(gaps) > 0 {
		return warn(s.String()+": "+whatGaps(gaps), gaps[0].Fix)
	}
	if os.Geteuid() == 0 {
		return ok(s.String() + "; as root: an ordinary user is safer still")
	}
	return ok(s.String())
}
