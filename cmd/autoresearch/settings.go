package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
)

// llmProposer asks a language model.
const llmProposer = "llm"

// proposers are the values of --proposer. "script" replays a file of proposals.
var proposers = []string{llmProposer, experiment.DefaultProposer, "script"}

// settingsFlags adds the flags of a campaign's settings. A flag that is not
// given leaves its field zero, which means the default of a new campaign, and
// whatever it is for one that exists.
func settingsFlags(f *pflag.FlagSet, s *experiment.Settings) {
	f.StringVar(&s.Tag, "tag", "", "name of the campaign (default: the only unfinished one, or today's date)")
	limitFlags(f, &s.Limits)
	f.StringVar(&s.Device, "device", "", "what runs train on: `DEVICE` cpu or cuda (default cpu)")
	f.Var((*durationFlag)(&s.Budget), "budget", "charged training `TIME` per run (default 60s, on cuda 300s)")
	f.IntVar(&s.Seeds, "seeds", 0, "baseline `RUNS`, which measure the noise (default 3)")
	f.StringVar(&s.Proposer, "proposer", "", "who makes proposals: `NAME` of "+strings.Join(proposers, ", ")+", or several with shares such as llm:3,hpo\n(default llm with OPENAI_API_KEY or OPENAI_BASE_URL, else hpo)")
	f.StringVar(&s.Target, "target", "", "`NAME` of the program under research (default gogpt)")
	f.StringVar(&s.Policy, "policy", "", "`NAME` of the rules that keep or discard: "+strings.Join(policy.Names(), ", ")+" (default "+experiment.DefaultPolicy+")")
	f.Uint64Var(&s.Seed, "seed", 0, "root of all random choices (default: from the tag)")
	f.IntVar(&s.Cores, "cores", 0, "CPU `CORES` of each training run (default: those of the machine, divided by --parallel)")
	datasetFlags(f, s)
	approvalFlags(f, &s.Approval)
}

// approvalFlags adds the flags of experiment.Approval.
func approvalFlags(f *pflag.FlagSet, a *experiment.Approval) {
	f.StringVar(&a.Approve, "approve", "", "ask before each training; `DEFAULT` holds without an answer in time: accept,\nor --approve=reject; --approve=off asks nobody")
	f.Lookup("approve").NoOptDefVal = experiment.ApproveAccept
	f.Var((*durationFlag)(&a.ApproveWithin), "approve-within", "how long a candidate waits for an answer, a `TIME` (default 30m)")
}

// settingsArgs refuses arguments. One of them is easily meant for --approve,
// which takes its value after an equals sign only.
func settingsArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 && c.Flags().Changed("approve") && (experiment.Approval{Approve: args[0]}).Validate() == nil {
		return fmt.Errorf("%q stands by itself: write --approve=%s", args[0], args[0])
	}
	return cobra.NoArgs(c, args)
}

// checkSettings refuses settings that no campaign can have, and finds the
// target that they name.
func checkSettings(s experiment.Settings, f *pflag.FlagSet) (target.Target, error) {
	if f.Changed("tag") {
		if err := checkTag(s.Tag); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"budget", "seeds", "cores", "approve-within"} { // 0 is no value, though it reads like the default
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
	if err := checkLimits(s.Limits, givenIn(f)); err != nil {
		return nil, err
	}
	if err := checkProposers(s.Proposer); err != nil {
		return nil, err
	}
	if s.Policy != "" {
		if _, err := policy.ByName(s.Policy); err != nil {
			return nil, usage("leave --policy out for "+experiment.DefaultPolicy, "%w", err)
		}
	}
	t, err := target.Builtin(target.Options{}).ByName(named.WithDefaults().Target)
	if err != nil {
		return nil, usage("leave --target out for "+experiment.DefaultTarget, "%w", err)
	}
	return t, nil
}

// checkProposers refuses names that nobody has, and a script without its file.
func checkProposers(text string) error {
	for _, name := range proposersOf(text) {
		if !slices.Contains(proposers, name) {
			return usage("the proposers are: "+strings.Join(proposers, ", "), "there is no proposer %q", name)
		}
		if name == "script" && os.Getenv(workers.ScriptEnv) == "" {
			return usage("for example: "+workers.ScriptEnv+"=proposals.jsonl", "the proposer script reads the file that %s names, and it is not set", workers.ScriptEnv)
		}
	}
	return nil
}

// proposersOf lists the names in the setting "proposer".
func proposersOf(text string) []string {
	shares, err := experiment.ParseProposers(text)
	if text == "" || err != nil {
		return nil
	}
	names := make([]string, len(shares))
	for i, s := range shares {
		names[i] = s.Proposer
	}
	return names
}

// complete fills what a new campaign needs and the command line left out, as
// far as it depends on this machine: its cores, and whether it has a language
// model. The rest has the defaults that every campaign has.
func (a *app) complete(s experiment.Settings) experiment.Settings {
	if s.Proposer == "" && a.hasLLM() {
		s.Proposer = llmProposer
	}
	return s.WithDefaults()
}

// coresOf is what each run of a campaign gets here when nothing else is said.
func coresOf(slots int) int { return max(1, runtime.NumCPU()/max(1, slots)) }

// slotsNote says what trains at the same time.
func slotsNote(slots, cores int) string {
	return fmt.Sprintf("%s, %s each", plural(slots, "training run")+" at a time", plural(cores, "CPU core"))
}

// noteSlots says what trains at the same time, and what that costs.
func (a *app) noteSlots(slots, cores int) {
	a.note("slots     %s", slotsNote(slots, cores))
	if text := crowded(slots, cores); text != "" {
		a.note("note      %s", text)
	}
}

// crowded warns of slots that have to share the machine's cores.
func crowded(slots, cores int) string {
	if all := runtime.NumCPU(); slots*cores > all {
		return fmt.Sprintf("%s of %s have %s between them: charged time is CPU time, so the numbers stay right, but runs take longer",
			plural(slots, "slot"), plural(cores, "core"), plural(all, "CPU core"))
	}
	return ""
}

// settingsNote is what a campaign was started with, in one line.
func settingsNote(s experiment.Settings) string {
	return fmt.Sprintf("%s charged training time per run, %s for the baseline", span(s.Budget.Std()), plural(s.Seeds, "run"))
}

// defaultTarget is the target of a campaign that names none.
func defaultTarget() (target.Target, error) {
	return target.Builtin(target.Options{}).ByName(experiment.DefaultTarget)
}
