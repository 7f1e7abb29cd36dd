package workers

import (
	"os"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm"
)

// newLLM makes the proposer "llm" from the environment of the research worker,
// the only process that has the key. What cannot be configured wraps
// proposer.ErrRefused and names the variable.
func newLLM() (proposer.Proposer, error) {
	l, err := llm.FromEnv(os.Getenv)
	if err != nil {
		return nil, err // not l: a nil *LLM in an interface is not nil
	}
	return l, nil
}
