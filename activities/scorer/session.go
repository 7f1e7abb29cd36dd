package scorer

import (
	"io"
	"math/rand/v2"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Text is the text that is scored, cut into windows.
type Text struct {
	Tokens    []int32 // [N, T+1]; the first token of each window is given, the others are scored
	Positions int     // T
	Vocab     int     // V; ids are below it
	Bytes     int64   // that the scored tokens stand for
}

// Windows is N.
func (t Text) Windows() int { return len(t.Tokens) / (t.Positions + 1) }

func (t Text) window(i int) []int32 {
	n := t.Positions + 1
	return t.Tokens[i*n : (i+1)*n : (i+1)*n]
}

func (t Text) greeting(task string) greeting {
	return greeting{Task: task, Windows: t.Windows(), Positions: t.Positions, Vocab: t.Vocab}
}

// claim is pass 1: the program is shown everything and commits to what each
// token costs it. Batches are always full: the last is filled up with decoys.
func claim(in io.Reader, out io.Writer, text Text, decoys Decoys, s Source) (Claims, error) {
	r := rand.New(s)
	c := Claims{Windows: text.Windows(), Positions: text.Positions}
	p, err := meet(in, out, text.greeting(taskClaim))
	if err != nil {
		return c, err
	}
	for at := 0; at < c.Windows; at += p.batch {
		n := min(p.batch, c.Windows-at)
		var tokens []int32
		for i := range n {
			tokens = append(tokens, text.window(at+i)...)
		}
		tokens = fill(r, tokens, p.batch*(text.Positions+1), decoys)
		nats, err := p.ask(kindClaim, tokens, kindClaims, p.batch*text.Positions)
		if err != nil {
			return c, err
		}
		c.Nats = append(c.Nats, nats[:n*text.Positions]...)
	}
	p.end()
	if f := c.check(); f != nil {
		return c, &protocolError{f}
	}
	return c, nil
}

// blindCuts is pass 2: the program is shown each window up to its cut and
// answers with its whole distribution of what follows.
func blindCuts(in io.Reader, out io.Writer, text Text, decoys Decoys, s Source, cuts []Cut, claims Claims, audit *Audit) error {
	r := rand.New(s)
	p, err := meet(in, out, text.greeting(taskCut))
	if err != nil {
		return err
	}
	for at := 0; at < len(cuts); at += p.batch {
		part := cuts[at:min(at+p.batch, len(cuts))]
		var tokens []int32
		places := make([]int32, p.batch) // of padding: 0
		for i, c := range part {
			tokens = append(tokens, blind(r, text.window(c.Window), c.At, decoys)...)
			places[i] = int32(c.At)
		}
		tokens = fill(r, tokens, p.batch*(text.Positions+1), decoys)
		rows, err := p.ask(kindCut, append(tokens, places...), kindAnswer, p.batch*text.Vocab)
		if err != nil {
			return err
		}
		for i, c := range part {
			row := rows[i*text.Vocab : (i+1)*text.Vocab]
			if f := audit.Add(c, claims.At(c), row, text.window(c.Window)[c.At+1]); f != nil {
				return &protocolError{f}
			}
		}
	}
	p.end()
	return nil
}

// fill appends decoys up to length n.
func fill(r *rand.Rand, tokens []int32, n int, decoys Decoys) []int32 {
	have := len(tokens)
	if have == n {
		return tokens
	}
	tokens = append(tokens, make([]int32, n-have)...)
	decoys(r, tokens[have:])
	return tokens
}

// failureOf is the failure that an error of a session stands for; nil where the
// program's process has to say.
func failureOf(err error) *experiment.Failure {
	if e, ok := err.(*protocolError); ok {
		return e.failure
	}
	return nil
}
