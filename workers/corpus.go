package workers

import (
	"context"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// PrepareCorpus makes the corpus of a campaign before anybody works for it, and
// downloads what that takes. A worker of the same home may run beside it. What
// is being done goes to report.
func PrepareCorpus(ctx context.Context, cfg Config, s experiment.Settings, report func(line string)) (target.Corpus, error) {
	r, err := research(ctx, cfg)
	if err != nil {
		return target.Corpus{}, err
	}
	return activities.PrepareCorpus(ctx, r, s, report)
}
