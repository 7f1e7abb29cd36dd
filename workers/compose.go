package workers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
)

// ScriptEnv names the file that the proposer "script" reads.
const ScriptEnv = "AUTORESEARCH_SCRIPT"

// research puts the research worker's activities together.
func research(ctx context.Context, cfg Config) (*activities.Research, error) {
	a, err := activities.OpenResearch(ctx, cfg.Home, cfg.Checkout)
	if err != nil {
		return nil, fmt.Errorf("open the home %s: %w", cfg.Home, err)
	}
	a.Targets = targets(cfg)
	a.Proposers = proposers()
	a.Policies = policy.ByName
	a.Cores = cfg.Cores
	a.Ledger.Signer = cfg.Signer
	a.Builds = make(chan struct{}, max(1, runtime.NumCPU()/2)) // the trainers want the other half
	return a, nil
}

// train puts together the activities of one of so many slots.
func train(cfg Config, queue string, slots int) *activities.Train {
	return &activities.Train{
		Home:    cfg.Home,
		Store:   artifact.NewFile(cfg.Home.Artifacts()),
		Targets: targets(cfg),
		Slot:    queue,
		Cores:   cfg.Cores,
		Memory:  memory(slots),
		Sandbox: cfg.box,
	}
}

// memory is what a run may hold where several share the machine. A slot that is
// alone leaves it to the target, which takes as much for itself.
func memory(slots int) int64 {
	if slots <= 1 {
		return 0
	}
	return sandbox.TotalMemory() / 4 * 3 / int64(slots)
}

func targets(cfg Config) func(string) (target.Target, error) {
	return target.Builtin(target.Options{GoCache: cfg.Home.GoCache(), Checkout: cfg.Checkout, Sandbox: cfg.box}).ByName
}

// proposers are made when a campaign first names them: one that is not used
// need not be configured.
func proposers() func(string) (proposer.Proposer, error) {
	makers := map[string]func() (proposer.Proposer, error){
		// Each name that the setting "proposer" may use stands here.
		"llm": newLLM,
		"hpo": func() (proposer.Proposer, error) { return proposer.NewHPO(), nil },
		"script": func() (proposer.Proposer, error) {
			path := os.Getenv(ScriptEnv)
			if path == "" {
				return nil, fmt.Errorf("the proposer script reads the file that %s names, and it is not set", ScriptEnv)
			}
			return proposer.NewScript(path)
		},
	}
	var mu sync.Mutex
	made := map[string]proposer.Proposer{}
	return func(name string) (proposer.Proposer, error) {
		mu.Lock()
		defer mu.Unlock()
		if p := made[name]; p != nil {
			return p, nil
		}
		maker := makers[name]
		if maker == nil {
			return nil, fmt.Errorf("proposer %q is unknown: there is %s", name, strings.Join(slices.Sorted(maps.Keys(makers)), ", "))
		}
		p, err := maker()
		if err == nil {
			made[name] = p
		}
		return p, err
	}
}
