package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workers"
)

const workerHelp = `Worker does the work of campaigns until Ctrl-C. --research serves the loop itself
(proposals, commits, decisions) and needs the repository and the home; there is
one per home. --train serves training slots, on any machine that reaches
Temporal and the artifacts. Without either it does both.

--cuda serves campaigns that train on GPUs (device cuda), with one slot for each
GPU of this machine, or for those that --gpus names. A GPU that turns out sick is
quarantined: it gets no more runs until this worker is started again.

Every slot trains one candidate at a time. How many train at once a campaign
says (up --parallel); slots beyond that stay idle.`

// newWorker makes "worker".
func newWorker(a *app) *cobra.Command {
	var research, train, cuda bool
	var cores, slots int
	var gpus []string
	c := &cobra.Command{
		Use: "worker", Short: "work for campaigns that were started elsewhere", Long: workerHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roles := rolesOf(research, train, cuda)
			switch {
			case slots < 1 || slots > workers.MaxSlots:
				return usage("leave it out for one slot", "slots is %d: a worker serves 1 to %d training slots", slots, workers.MaxSlots)
			case cmd.Flags().Changed("slots") && !slices.Contains(roles, workers.Train):
				return usage("slots belong to --train; with --cuda there is one for each GPU", "a worker without --train has no training slots on the CPU")
			case len(gpus) > 0 && !cuda:
				return usage("for example: --cuda --gpus 0,1", "--gpus chooses the GPUs of --cuda, which is missing")
			}
			var found []workers.GPU
			if cuda {
				var err error
				if found, err = findGPUs(cmd.Context(), gpus); err != nil {
					return err
				}
			}
			if !cmd.Flags().Changed("cores") {
				cores = coresOf(max(1, len(found)))
				if slices.Contains(roles, workers.Train) {
					cores = coresOf(slots + len(found))
				}
			}
			if err := checkCores(cores); err != nil {
				return err
			}
			return a.worker(cmd.Context(), slots, cores, found, roles)
		},
	}
	signingFlag(c, a)
	a.sandboxFlag(c.Flags())
	c.Flags().BoolVar(&research, "research", false, "serve the loop: proposals, commits, decisions")
	c.Flags().BoolVar(&train, "train", false, "serve training slots")
	c.Flags().BoolVar(&cuda, "cuda", false, "serve a training slot on each NVIDIA GPU")
	gpusFlag(c.Flags(), &gpus)
	c.Flags().IntVar(&slots, "slots", 1, "training runs side by side: `N` slots")
	c.Flags().IntVar(&cores, "cores", 0, "CPU `CORES` of a training run, for campaigns that do not say\n(default: those of the machine, divided by --slots)")
	return c
}

// rolesOf is what the flags mean.
func rolesOf(research, train, cuda bool) (roles []workers.Role) {
	if !research && !train && !cuda {
		research, train = true, true
	}
	for _, r := range []struct {
		wanted bool
		role   workers.Role
	}{{research, workers.Research}, {train, workers.Train}, {cuda, workers.TrainCUDA}} {
		if r.wanted {
			roles = append(roles, r.role)
		}
	}
	return roles
}

// worker runs until ctx ends. The engine stays: others may be using it.
func (a *app) worker(ctx context.Context, slots, cores int, gpus []workers.GPU, roles []workers.Role) error {
	top, err := a.checkWorker(ctx, roles)
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	err = s.work(top, slots, cores, gpus, roles...)
	if err == nil {
		a.noteSandbox()
		a.noteGPUs(gpus)
		a.note("working   as %s; Ctrl-C stops, a training run keeps its checkpoint", roleNames(roles, slots))
		err = s.during(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
	}
	if c := s.cluster; c.Embedded && err == nil {
		a.note("the engine at %s goes on; to stop it: autoresearch engine stop", c.Address)
	}
	stopErr := s.close(ctx, err != nil && !s.adopted)
	if err != nil {
		return err
	}
	return stopErr
}

// checkWorker is what 'up' checks too, as far as the roles need it.
func (a *app) checkWorker(ctx context.Context, roles []workers.Role) (top string, err error) {
	if err := errors.Join(a.checkSandbox(), checkTools()); err != nil {
		return "", err
	}
	for _, r := range roles {
		if r != workers.Research {
			continue
		}
		if err := a.openSigningKey(); err != nil {
			return "", err
		}
		t, err := defaultTarget()
		if err != nil {
			return "", err
		}
		// Uncommitted changes matter to a new campaign alone, which Prepare
		// refuses with the same words.
		if top, err = checkCheckout(ctx, a.dir, t); err != nil && top == "" {
			return "", err
		}
	}
	return top, a.checkHome()
}

func roleNames(roles []workers.Role, slots int) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
		if r == workers.Train && slots > 1 {
			names[i] += " with " + plural(slots, "slot")
		}
	}
	return strings.Join(names, " and ")
}
