package workers

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
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
	return a, nil
}

// train puts a slot's activities together.
func train(cfg Config, p place) *activities.Train {
	return &activities.Train{
		Home:    cfg.Home,
		Store:   artifact.NewFile(cfg.Home.Artifacts()),
		Targets: targets(cfg),
		Slot:    p.slotQueue(),
		Cores:   cfg.Cores,
	}
}

func targets(cfg Config) func(string) (target.Target, error) {
	return target.Builtin(target.Options{GoCache: cfg.Home.GoCache()}).ByName
}

// proposers are made when a campaign first names them: one that is not used
// need not be configured.
func proposers() func(string) (proposer.Proposer, error) {
	makers := map[string]func() (proposer.Proposer, error){
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
			return nil, fmt.Errorf("proposer %q is unknown: there is %s", name, strings.Join([]string{"hpo", "script"}, ", "))
		}
		p, err := maker()
		if err == nil {
			made[name] = p
		}
		return p, err
	}
}
