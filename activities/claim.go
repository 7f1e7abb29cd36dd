package activities

import (
	"context"
	"fmt"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// claim says which experiment came first with a program. Only one can write it,
// so that experiments side by side cannot both pass. A claim is void when the
// program was never tried after all; the next one then has the next name, and
// since nothing makes a void claim valid again, all read the same one.
type claim struct {
	Experiment int    `json:"experiment"`
	Revision   int    `json:"revision"`
	Round      int    `json:"round"`
	Parent     string `json:"parent"`
}

// unique refuses a program that another experiment of the campaign has or had,
// the baseline included, whatever its parent, comments and formatting.
func (a *application) unique(ctx context.Context, files map[string][]byte) error {
	digest, tokens, err := a.t.Syntax(files)
	if err != nil {
		return fmt.Errorf("reading the candidate's syntax: %w", err)
	}
	a.result.SyntaxTokens = tokens
	for void := 0; ; void++ {
		first := claim{a.in.Number, a.in.Revision, a.in.Round, a.in.Parent}
		if err := putOnceJSON(ctx, a.Store, claimKey(a.in.Campaign.Tag(), digest, void), &first); err != nil {
			return err
		}
		if first.Experiment == a.in.Number && first.Revision >= a.in.Revision {
			return nil
		}
		twin, err := a.twin(ctx, first)
		if err != nil {
			return err
		}
		if twin != "" {
			return breaks(&experiment.Failure{Reason: experiment.Duplicate, Message: "the same program as " + twin + "; comments and formatting do not count"})
		}
	}
}

// twin describes what became of the program of a claim, or returns "" for a
// claim that is void: our own machinery failed the experiment, nobody wanted it
// to be trained, or it got another parent or was decided with another candidate.
func (a *application) twin(ctx context.Context, c claim) (string, error) {
	tag := a.in.Campaign.Tag()
	var applied ApplyResult
	found, err := readJSON(ctx, a.Store, applyKey(tag, c.Experiment, c.Revision, c.Round), &applied)
	if err != nil {
		return "", err
	}
	if f := applied.Failure; f != nil { // repaired since, perhaps: not what the result is about
		return fmt.Sprintf("a proposal of experiment %d that failed (%s)", c.Experiment, f.Reason), nil
	}
	text := fmt.Sprintf("experiment %d", c.Experiment)
	result, err := a.Ledger.Decided(ctx, tag, c.Experiment)
	switch {
	case err != nil:
		return "", err
	case result == nil:
		revision, _, err := a.newest(ctx, tag, c.Experiment)
		if err != nil || revision > c.Revision {
			return "", err
		}
		return text + ", which is running", nil
	case !found, result.Commit != applied.Commit, result.Reason == experiment.Infra, result.Reason == experiment.Rejected:
		return "", nil
	case result.ValBpb == nil:
		return fmt.Sprintf("%s (%s, %s)", text, result.Verdict, result.Reason), nil
	}
	return fmt.Sprintf("%s (%s, %s, val_bpb %.4f)", text, result.Verdict, result.Reason, *result.ValBpb), nil
}
