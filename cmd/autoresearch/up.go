package main

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
	"github.com/autoresearch-go/autoresearch/workers/cluster"
)

const upHelp = `Up starts Temporal if none is there, starts the workers, starts or resumes a
campaign, and shows what happens. Without --tag it resumes the only unfinished
campaign of the home, or starts one that is named after today.

With OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own, a language model
proposes what to try (OPENAI_MODEL names it where there are several), following
program.md; without them proposals come from a search over tunable constants. With
--parallel N there are N training runs at a time on this machine. With --device
cuda they train on the machine's NVIDIA GPUs, one on each.

Ctrl-C stops everything in order; a training run keeps its checkpoint. After
that, and after a crash or a power cut, the same command goes on. A campaign
that is complete goes on with a larger limit, such as a larger --experiments.`

// up is one run of the command.
type up struct {
	*app
	settings experiment.Settings // of the command line
	given    given               // those of them that may change
	leave    bool                // --exit
	choose   []string            // --gpus
	probing  string              // --probe

	top     string        // of the checkout
	gpus    []workers.GPU // of a campaign on GPUs
	dirty   error         // its uncommitted changes, which matter to a new campaign only
	session *session
}

// newUp makes "up".
func newUp(a *app) *cobra.Command {
	u := &up{app: a}
	c := &cobra.Command{
		Use: "up", Short: "start or resume a campaign, and watch it", Long: upHelp, Args: settingsArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u.given = givenIn(cmd.Flags())
			if err := u.check(cmd); err != nil {
				return err
			}
			return u.run(cmd.Context())
		},
	}
	settingsFlags(c.Flags(), &u.settings)
	a.sandboxFlag(c.Flags())
	signingFlag(c, a)
	gpusFlag(c.Flags(), &u.choose)
	c.Flags().StringVar(&u.probing, "probe", "quick", "before the first campaign, plant cheats to see that they are caught: "+probeModes)
	c.Flags().BoolVar(&u.leave, "exit", false, "leave when the campaign is complete: status 0, or 1 if it failed")
	return c
}

// checkCores: charged time is CPU time divided by the cores, so more than there
// are would stretch every run.
func checkCores(cores int) error {
	if cores < 1 || cores > runtime.NumCPU() {
		return usage("leave it out for all cores of this machine", "cores is %d: a training run takes 1 to %d here", cores, runtime.NumCPU())
	}
	return nil
}

// check refuses bad input before anything is built, started or written.
func (u *up) check(cmd *cobra.Command) error {
	if err := u.checkSandbox(); err != nil {
		return err
	}
	if err := checkProbing(u.probing); err != nil {
		return err
	}
	if u.settings.Cores > 0 { // 0 is left out, or refused with the other settings
		if err := checkCores(u.settings.Cores); err != nil {
			return err
		}
	}
	if err := u.checkDataset(&u.settings, cmd.Flags()); err != nil {
		return err
	}
	t, err := checkSettings(u.withTarget(cmd.Context()), cmd.Flags())
	if err != nil {
		return err
	}
	if len(u.choose) > 0 && u.settings.Device == experiment.CPU {
		return usage("for example: --device cuda --gpus 0,1", "--gpus chooses the GPUs of --device cuda")
	}
	if u.settings.OnGPU() || len(u.choose) > 0 {
		if err := u.findGPUs(cmd.Context()); err != nil {
			return err
		}
	}
	if err := checkTools(); err != nil {
		return err
	}
	if err := u.openSigningKey(); err != nil {
		return err
	}
	// With a top, the error is about uncommitted changes. A campaign that is
	// resumed has its commit already; whether one is, the plan will tell.
	u.top, err = checkCheckout(cmd.Context(), u.dir, t)
	if err != nil && (u.top == "" || !u.mayResume(cmd.Context())) {
		return err
	}
	u.dirty = err
	if err := u.checkConflict(cmd.Context(), u.settings); err != nil {
		return err
	}
	if err := u.checkEarly(cmd.Context(), u.settings, u.given); err != nil {
		return err
	}
	if err := u.checkHome(); err != nil {
		return err
	}
	if isNew, err := u.isNew(cmd.Context(), u.settings); !isNew || err != nil || u.dirty != nil {
		return err
	}
	return u.provideData(cmd.Context(), u.top, u.settings)
}

// roles are what the campaign needs of this machine. One that is finished needs no
// GPU to be looked at.
func (u *up) roles(ctx context.Context, what action, s experiment.Settings) ([]workers.Role, error) {
	switch {
	case s.OnGPU() && what == finished:
		return []workers.Role{workers.Research}, nil
	case s.OnGPU():
		return []workers.Role{workers.Research, workers.TrainCUDA}, u.findGPUs(ctx) // that it trains on GPUs may be news
	case len(u.choose) > 0:
		return nil, usage("leave --gpus out", "campaign %s trains on the CPU", s.Tag)
	}
	return []workers.Role{workers.Research, workers.Train}, nil
}

// findGPUs finds the GPUs that the campaign trains on, once.
func (u *up) findGPUs(ctx context.Context) (err error) {
	if u.gpus == nil {
		u.gpus, err = findGPUs(ctx, u.choose)
	}
	return err
}

// withTarget is the settings with the target of the campaign that they name, so
// that whoever resumes it need not say it again.
func (u *up) withTarget(ctx context.Context) experiment.Settings {
	s := u.settings
	if recorded, ok, err := u.campaign(ctx, s.Tag); s.Tag != "" && s.Target == "" && ok && err == nil {
		s.Target = recorded.Settings.Target
	}
	return s
}

// checkEarly looks at what only a new campaign needs, where the ledger alone
// tells that it is one. Otherwise this waits until the campaign is found.
func (a *app) checkEarly(ctx context.Context, s experiment.Settings, g given) error {
	if isNew, err := a.isNew(ctx, s); !isNew || err != nil {
		return err
	}
	return a.checkNew(ctx, a.complete(s), g)
}

// isNew says whether the ledger alone tells that a new campaign is meant.
func (a *app) isNew(ctx context.Context, s experiment.Settings) (bool, error) {
	all, err := a.recorded(ctx)
	named := func(c experiment.Campaign) bool { return s.Tag == "" || c.Tag() == s.Tag }
	return !slices.ContainsFunc(all, named), err
}

// checkNew refuses what a new campaign could not do anything with.
func (a *app) checkNew(ctx context.Context, s experiment.Settings, g given) error {
	if g.within && !s.Approval.On() {
		return withinAlone()
	}
	return a.checkModel(ctx, s, false)
}

func withinAlone() error {
	return usage("for example: --approve --approve-within 30m", "--approve-within says how long a candidate waits for an answer, but nobody is asked: --approve is missing")
}

// mayResume says whether the ledger has a campaign that could be meant.
func (u *up) mayResume(ctx context.Context) bool {
	if u.settings.Tag != "" {
		_, ok, err := u.campaign(ctx, u.settings.Tag)
		return ok && err == nil
	}
	all, err := u.recorded(ctx)
	return err == nil && len(all) > 0
}

// checkConflict compares a named campaign with the ledger.
func (a *app) checkConflict(ctx context.Context, s experiment.Settings) error {
	if s.Tag == "" {
		return nil
	}
	recorded, ok, err := a.campaign(ctx, s.Tag)
	if err != nil || !ok {
		return err
	}
	if _, err := a.ledgerOf().Results(ctx, s.Tag); err != nil {
		return err
	}
	_, _, err = plan(s, given{}, known{recorded: &recorded.Settings})
	return err
}

// run is everything that takes time.
func (u *up) run(ctx context.Context) (err error) {
	u.note("home      %s", u.home())
	u.session, err = u.open(ctx)
	if err != nil {
		return u.interrupted(ctx, "", err)
	}
	tag, err := u.campaignAndView(ctx)
	if ctx.Err() != nil {
		u.note("stopping: the workers first, then the engine; Ctrl-C again stops at once")
	}
	// Without workers of ours somebody else may be using the engine.
	stopErr := u.session.close(ctx, u.session.workers != nil || !u.session.adopted)
	if err = u.interrupted(ctx, tag, err); err != nil {
		return err
	}
	return stopErr
}

// campaignAndView finds the campaign, gives it workers, and watches it.
func (u *up) campaignAndView(ctx context.Context) (tag string, err error) {
	c := u.session.cluster
	settings, k, err := u.find(ctx, c, u.settings)
	if err != nil {
		return "", err
	}
	tag = settings.Tag
	what, settings, err := plan(settings, u.given, k)
	if err != nil {
		return tag, err
	}
	if settings, err = u.ready(ctx, c, what, settings); err != nil {
		return tag, err
	}
	slots, cores := settings.Slots(), cmp.Or(settings.Cores, u.settings.Cores, runtime.NumCPU())
	roles, err := u.roles(ctx, what, settings)
	if err != nil {
		return tag, err
	}
	if err := u.session.work(u.top, slots, cores, u.gpus, roles...); err != nil {
		return tag, err
	}
	if what != finished {
		if settings.OnGPU() {
			u.noteGPUs(u.gpus)
		} else {
			u.noteSlots(slots, cores)
		}
		u.noteSandbox()
	}
	if err := u.carryOut(ctx, c, what, settings, k, u.given); err != nil {
		return tag, err
	}
	return tag, u.watch(ctx, c, tag, what, k)
}

// ready is the last look before the work begins. The settings that come back
// are whole: those of a new campaign with its defaults, and those of one that
// runs with the slots that it has by now.
func (u *up) ready(ctx context.Context, c *cluster.Cluster, what action, s experiment.Settings) (experiment.Settings, error) {
	switch {
	case what == begin && u.dirty != nil:
		return s, u.dirty
	case what == begin:
		s = u.complete(s)
		if s.OnGPU() && !u.given.parallel {
			s.Parallel = len(u.gpus) // all of them work
		}
		s.Cores = cmp.Or(s.Cores, coresOf(s.Slots()))
		if err := u.checkNew(ctx, s, u.given); err != nil {
			return s, err
		}
		if err := u.provideData(ctx, u.top, s); err != nil {
			return s, err
		}
		return s, u.probeFirst(ctx, u.top, s, u.probing)
	case what == finished:
		return s, nil
	}
	if u.dirty != nil {
		u.note("note      %v; the campaign goes on from the commit that it started with", u.dirty)
	}
	if what == attach && !u.given.parallel {
		if n, err := parallelOf(ctx, c, s.Tag); err == nil {
			s.Parallel = n
		}
	}
	return s, u.checkModel(ctx, s, true)
}

// watch follows the campaign, and stays when it is complete unless told to
// leave: the workers answer queries, and the UI is there.
func (u *up) watch(ctx context.Context, c *cluster.Cluster, tag string, what action, k known) error {
	if what != finished {
		if err := u.session.during(ctx, newWatcher(u.app, c, tag, k.decided).follow); err != nil {
			return err
		}
	}
	if err := u.summary(ctx, tag); err != nil || u.leave {
		return err
	}
	u.note("the engine and the workers stay until Ctrl-C; leave at once with --exit")
	return u.session.during(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
}

// summary says what a complete campaign has found and how to go on.
func (u *up) summary(ctx context.Context, tag string) error {
	tag, results, err := u.results(ctx, tag)
	if err != nil {
		return err
	}
	recorded, _, err := u.campaign(ctx, tag)
	if err != nil {
		return err
	}
	st := statusOf(recorded, results)
	st.Campaign, st.Phase = tag, experiment.Complete
	if answer, err := query(ctx, u.session.cluster, tag); err == nil {
		st = answer // it knows why the campaign ended
	}
	if !u.json {
		u.printBest(st)
	}
	if st.StopReason != "" {
		u.note("ended     %s", st.StopReason)
	}
	u.note("campaign %s is complete; to go on: autoresearch up --tag %s --experiments %d", tag, tag, max(2*st.Experiments, 10))
	return nil
}

// interrupted turns whatever Ctrl-C made fail into one plain message.
func (u *up) interrupted(ctx context.Context, tag string, err error) error {
	if ctx.Err() == nil || err == nil {
		return err
	}
	command := "autoresearch up"
	if tag != "" {
		command += " --tag " + tag
	}
	return newFailure(exitInterrupted, "resume with: "+command, "interrupted; nothing is lost")
}

// stopPatience bounds each step of an orderly stop.
const stopPatience = 30 * time.Second
