package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
)

// proposers are the values of --proposer. "script" replays a file of proposals.
var proposers = []string{experiment.DefaultProposer, "script"}

// settingsFlags adds the flags of a campaign's settings. A flag that is not
// given leaves its field zero, which means the default of a new campaign, and
// whatever it is for one that exists.
func settingsFlags(f *pflag.FlagSet, s *experiment.Settings) {
	f.StringVar(&s.Tag, "tag", "", "name of the campaign (default: the only unfinished one, or today's date)")
	limitFlags(f, &s.Limits)
	f.Var((*durationFlag)(&s.Budget), "budget", "charged training `TIME` per run (default 60s)")
	f.IntVar(&s.Seeds, "seeds", 0, "baseline `RUNS`, which measure the noise (default 3)")
	f.StringVar(&s.Proposer, "proposer", "", "who makes proposals: "+strings.Join(proposers, ", ")+" (default hpo)")
	f.StringVar(&s.Target, "target", "", "`NAME` of the program under research (default gogpt)")
	f.Uint64Var(&s.Seed, "seed", 0, "root of all random choices (default: from the tag)")
}

// checkSettings refuses settings that no campaign can have, and finds the
// target that they name.
func checkSettings(s experiment.Settings, f *pflag.FlagSet) (target.Target, error) {
	if f.Changed("tag") {
		if err := checkTag(s.Tag); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"budget", "seeds"} { // 0 is no value, though it reads like the default
		if f.Changed(name) && f.Lookup(name).Value.String() == f.Lookup(name).DefValue {
			return nil, usage("leave the flag out for the default", "%s is 0: it must be positive", name)
		}
	}
	named := s
	if named.Tag == "" {
		named.Tag = "none-yet"
	}
	if err := named.Validate(); err != nil {
		return nil, usage("'autoresearch up --help' lists the settings", "%w", err)
	}
	named = named.WithDefaults()
	if !slices.Contains(proposers, named.Proposer) {
		return nil, usage("the proposers are: "+strings.Join(proposers, ", "), "there is no proposer %q", named.Proposer)
	}
	if named.Proposer == "script" && os.Getenv(workers.ScriptEnv) == "" {
		return nil, usage("for example: "+workers.ScriptEnv+"=proposals.jsonl", "the proposer script reads the file that %s names, and it is not set", workers.ScriptEnv)
	}
	t, err := target.Builtin(target.Options{}).ByName(named.Target)
	if err != nil {
		return nil, usage("leave --target out for "+experiment.DefaultTarget, "%w", err)
	}
	return t, nil
}

// proposerNote says plainly who has the ideas.
func proposerNote(name string) string {
	if name == "hpo" {
		return "hpo: no language model is configured, so proposals come from a search over the target's tunable constants"
	}
	return name
}

// settingsNote is what a campaign was started with, in one line.
func settingsNote(s experiment.Settings) string {
	return fmt.Sprintf("%s charged training time per run, %s for the baseline", span(s.Budget.Std()), plural(s.Seeds, "run"))
}

// defaultTarget is the target of a campaign that names none.
func defaultTarget() (target.Target, error) {
	return target.Builtin(target.Options{}).ByName(experiment.DefaultTarget)
}
