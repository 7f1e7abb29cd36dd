package proposer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// ErrNothingLeft is wrapped by the error of a proposer that has no proposal and
// never will have one for this campaign: all is tried, or the script has ended.
// Asking again does not help.
var ErrNothingLeft = errors.New("nothing left to propose")

// Script proposes what a file says: for tests and demonstrations. Line n is the
// proposal for experiment n, as JSON:
//
//	{"title": "widen the MLP", "edits": [{"path": "trainer/train.go", "search": "4 * Dim", "replace": "6 * Dim"}]}
//	{"title": "a broken try", "edits": [{"path": "a.go", "search": "nowhere", "replace": ""}], "repairs": [{"title": "its repair", "edits": []}]}
//	{"set": {"MatrixLR": 0.03, "Window": "SL"}}
//
// "set" changes tunable constants of the parent, whatever their values are then,
// and needs no title. Without a repair for a round the answer stays the same.
// Hints are ignored, and so is what else is running.
//
// It stands in for a language model, so it is no [Renewer]: when the incumbent
// moves, what a line has proposed is rebased. Where that fails the line is read
// again, which helps if it has "set" and nothing else.
type Script struct{ lines []scriptLine }

var _ Proposer = (*Script)(nil)

type scriptLine struct {
	experiment.Proposal
	Set     map[string]any `json:"set"`
	Repairs []scriptLine   `json:"repairs"`
}

// NewScript reads a script. Blank lines are left out and do not count.
func NewScript(path string) (*Script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("proposer script: %w", err)
	}
	s := &Script{}
	for i, text := range bytes.Split(data, []byte("\n")) {
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		var line scriptLine
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		dec.UseNumber()
		if err := dec.Decode(&line); err != nil {
			return nil, fmt.Errorf("proposer script: %s:%d: %w", path, i+1, err)
		}
		s.lines = append(s.lines, line)
	}
	return s, nil
}

// Name is "script".
func (*Script) Name() string { return "script" }

// Propose answers with the line of the experiment's number.
func (s *Script) Propose(ctx context.Context, r Request) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, err
	}
	if r.Number < 1 || r.Number > len(s.lines) {
		return Answer{}, fmt.Errorf("proposer script: no line for experiment %d, there are %d: %w", r.Number, len(s.lines), ErrNothingLeft)
	}
	line := s.lines[r.Number-1]
	if n := min(r.Round, len(line.Repairs)); n > 0 {
		line = line.Repairs[n-1]
	}
	p := line.Proposal
	if len(line.Set) > 0 {
		e, err := loadEditable(r.Files)
		if err != nil {
			return Answer{}, fmt.Errorf("proposer script: experiment %d: %w", r.Number, err)
		}
		if err := line.set(&p, e); err != nil {
			return Answer{}, fmt.Errorf("proposer script: experiment %d: %w", r.Number, err)
		}
	}
	p.Proposer, p.Parent = s.Name(), r.Parent.Commit
	return Answer{Proposal: p}, nil
}

// set adds the edits, and the title where there is none, for new values.
func (l scriptLine) set(p *experiment.Proposal, e *editable) error {
	point := e.point()
	for name, value := range l.Set {
		c, ok := e.constant(name)
		if !ok {
			return fmt.Errorf("no tunable constant named %s", name)
		}
		text := fmt.Sprint(value)
		if word, ok := value.(string); ok && len(c.Choices) > 0 {
			text = fmt.Sprintf("%q", word)
		}
		literal, err := c.Canonical(text)
		if err != nil {
			return err
		}
		point[name] = literal
	}
	edits, err := e.edits(point)
	if err != nil {
		return err
	}
	p.Edits = append(edits, p.Edits...)
	if p.Title == "" {
		p.Title = title(e.changes(point))
	}
	return nil
}
