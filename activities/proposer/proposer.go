// Package proposer makes proposals: the ideas that become candidates.
//
// A [Proposer] sees the incumbent's files, the campaign's past and the user's
// words, and answers with edits. It is called at least once per experiment and
// may be called again for the same one after a crash; its caller stores the
// first answer before using it.
//
// # Errors
//
// An error means that no proposal could be had (a server is down, a file has no
// tunable constants). It is never an experiment.
package proposer

import (
	"context"
	"errors"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Proposer makes proposals. Implementations are safe for concurrent use.
type Proposer interface {
	// Name is the value of the setting "proposer".
	Name() string
	// Propose answers one request.
	Propose(ctx context.Context, r Request) (Answer, error)
}

// ErrLost is returned for a candidate that the home no longer has, because its
// repository was deleted. A campaign goes on without such candidates.
var ErrLost = errors.New("the candidate is lost")

// Request is all that a proposal may depend on.
type Request struct {
	Campaign  experiment.Campaign
	Number    int // the experiment to propose for
	Parent    experiment.Incumbent
	Files     map[string][]byte                              // the editable files at Parent, by slash path
	History   []experiment.Result                            // decided experiments, by number, the baseline first
	Source    func(commit string) (map[string][]byte, error) // editable files of any candidate, or ErrLost
	Program   string                                         // program.md
	Hints     []string                                       // the user's words, newest last
	Previous  *experiment.Proposal                           // in a repair round: the answer that failed
	Complaint *experiment.Failure                            // in a repair round: how it failed
	Round     int                                            // 0, or the number of the repair
}

// Answer is a proposal and what it cost.
type Answer struct {
	Proposal experiment.Proposal
	Tokens   int64
	CostUSD  float64
}
