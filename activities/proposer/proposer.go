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
// tunable constants). It is never an experiment. Asking again may help, unless
// it wraps [ErrRefused] or [ErrNothingLeft]; a [*WaitError] says when. An answer
// that was given but is no usable edit is no error: it has a Failure, which goes
// back to the proposer as the complaint of a repair round.
package proposer

import (
	"context"
	"errors"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Proposer makes proposals. Implementations are safe for concurrent use.
type Proposer interface {
	// Name is the value of the setting "proposer".
	Name() string
	// Propose answers one request.
	Propose(ctx context.Context, r Request) (Answer, error)
}

// ErrRefused is wrapped by the error of a proposer that will refuse until
// somebody has changed something: a wrong key, a model that the server does not
// have. The campaign stops at once and says why.
var ErrRefused = errors.New("the proposer refuses")

// WaitError says that a proposer is busy or down, and after which time it makes
// sense to ask again (Retry-After).
type WaitError struct {
	After time.Duration
	Err   error
}

func (e *WaitError) Error() string { return e.Err.Error() }
func (e *WaitError) Unwrap() error { return e.Err }

// Renewer is implemented by a proposer whose proposals cost nothing. When the
// incumbent moves it is asked again; what others have proposed is rebased.
type Renewer interface{ Renews() }

// ErrLost is returned for a candidate that the home no longer has, because its
// repository was deleted. A campaign goes on without such candidates.
var ErrLost = errors.New("the candidate is lost")

// Request is all that a proposal may depend on.
type Request struct {
	Campaign  experiment.Campaign
	Number    int                                            // the experiment to propose for
	Parent    experiment.Incumbent                           // Runs is 0 when it is not measured yet
	Files     map[string][]byte                              // the editable files at Parent, by slash path
	History   []experiment.Result                            // decided experiments, in the order of decision, the baseline first
	Source    func(commit string) (map[string][]byte, error) // editable files of any candidate, or ErrLost
	Running   []Ongoing                                      // experiments that are not decided yet, by number, this one apart
	Curve     func(number int) ([]Point, error)              // the training curve of an experiment; empty when it has none. Nil: none are known
	Program   string                                         // program.md, as it stands now
	Hints     []string                                       // the user's words, newest last
	Previous  *experiment.Proposal                           // in a repair round: the answer that failed
	Complaint *experiment.Failure                            // in a repair round: how it failed
	Revision  int                                            // how often the experiment was given another parent
	Round     int                                            // 0, or the number of the repair
	Notes     Notes                                          // nil: nothing is kept
}

// Ongoing is a proposal that is being tried, or waits to be.
type Ongoing struct {
	Number   int
	Title    string
	Proposer string
	Parent   string // commit
	Commit   string // of the candidate; "" until there is one
}

// Point is a point of a training curve.
type Point struct {
	Step           int64
	ChargedSeconds float64
	Loss           float64
}

// Notes keeps what a proposer must not lose or pay for twice, such as answers of
// a server, for one round of one experiment. The notes of an earlier, killed
// attempt at the same round are there. Names are plain file names; what is
// written is an artifact, with the secrets of this process taken out.
type Notes interface {
	// Read returns a note, or nil when there is none.
	Read(ctx context.Context, name string) ([]byte, error)
	// Write stores a note durably. The first text of a name stays: it is returned.
	Write(ctx context.Context, name string, text []byte) ([]byte, error)
}

// Answer is a proposal and what it cost, failed calls included.
type Answer struct {
	Proposal experiment.Proposal
	Failure  *experiment.Failure // the answer is no usable edit: why
	Spent    experiment.Spent
}
