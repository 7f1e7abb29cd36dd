package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

const budgetHelp = `Budget sets the limits that end a campaign; a limit that is not given stays as
it is, and 0 removes it. With --parallel it sets how many training runs are in
progress at once; the workers keep the slots that they were started with. With
--confirm-share it sets how many of them may confirm keeps instead. The
charged time per run (up --budget) cannot change: results of different budgets
cannot be compared.`

// newBudget makes "budget".
func newBudget(a *app) *cobra.Command {
	var tag string
	var l experiment.Limits
	c := &cobra.Command{
		Use: "budget", Short: "change the limits of a running campaign", Args: cobra.NoArgs,
		Long: budgetHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g := givenIn(cmd.Flags())
			if !g.any() {
				return usage("for example: autoresearch budget --experiments 200", "no limit is given")
			}
			if err := checkLimits(l, g); err != nil {
				return err
			}
			return a.tell(cmd.Context(), tag, message{name: workflows.MessageSetBudget, arg: g.change(l)})
		},
	}
	tagFlag(c, &tag)
	limitFlags(c.Flags(), &l)
	return c
}

// limitFlags adds the flags of experiment.Limits.
func limitFlags(f *pflag.FlagSet, l *experiment.Limits) {
	f.IntVar(&l.Experiments, "experiments", 0, "end after `N` experiments; the baseline is not counted")
	f.Var((*durationFlag)(&l.WallTime), "wall-time", "end after this `TIME`, such as 8h")
	f.IntVar(&l.Plateau, "plateau", 0, "end after `N` experiments in a row without a keep")
	f.IntVar(&l.Parallel, "parallel", 0, "training runs side by side: `N` slots (default 1)")
	f.Float64Var(&l.ConfirmShare, "confirm-share", 0, fmt.Sprintf("`SHARE` of the training runs that may confirm keeps by fresh seeds while candidates\nwait for a slot, 0 to 1 (default %v); idle slots do in any case", experiment.DefaultConfirmShare))
}

// checkLimits refuses limits that no campaign can have.
func checkLimits(l experiment.Limits, g given) error {
	if err := l.Validate(); err != nil {
		return usage("", "%w", err)
	}
	if g.parallel && l.Parallel == 0 { // 0 is "no limit" for the others
		return usage("to let nothing new start: autoresearch pause", "parallel is 0: at least one training run at a time")
	}
	return nil
}

// givenIn tells which of the flags for settings that may change are on the command line.
func givenIn(f *pflag.FlagSet) given {
	return given{
		experiments: f.Changed("experiments"), wallTime: f.Changed("wall-time"), plateau: f.Changed("plateau"), parallel: f.Changed("parallel"),
		confirmShare: f.Changed("confirm-share"),
		approve:      f.Changed("approve"), within: f.Changed("approve-within"),
	}
}

// durationFlag reads an experiment.Duration.
type durationFlag experiment.Duration

func (d *durationFlag) String() string {
	if *d == 0 {
		return ""
	}
	return experiment.Duration(*d).String()
}

func (d *durationFlag) Type() string { return "duration" }

// Set reads "60s", and "60" as seconds, as JSON input does.
func (d *durationFlag) Set(text string) error {
	v := (*experiment.Duration)(d)
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return v.UnmarshalJSON([]byte(text))
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return err
	}
	return v.UnmarshalJSON(quoted)
}
