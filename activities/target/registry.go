package target

import (
	"fmt"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
)

// Options is what the built-in targets need of the machine they are on.
type Options struct {
	GoCache string // directory of candidates' Go build cache
	// Checkout is where target command finds its manifest, there or further up;
	// empty is the working directory.
	Checkout string
	Sandbox  sandbox.Sandbox // starts every process; nil is the strongest that works here
	// Patience is how long a run may go without a step, and how far beyond ten
	// times its budget; 0 is a minute, and half of one. The probe has less.
	Patience time.Duration
}

// Registry is the list of targets that a worker knows.
type Registry []Target

// Builtin returns the targets that come with the program.
func Builtin(o Options) Registry { return Registry{NewGoGPT(o), Noop{}, NewCommand(o)} }

// ByName returns the target that a campaign's settings name.
func (r Registry) ByName(name string) (Target, error) {
	names := make([]string, len(r))
	for i, t := range r {
		if t.Name() == name {
			return t, nil
		}
		names[i] = t.Name()
	}
	return nil, fmt.Errorf("there is no target %q: the targets are %s", name, strings.Join(names, ", "))
}
