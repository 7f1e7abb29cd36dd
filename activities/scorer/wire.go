package scorer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Protocol names this version of the protocol. A program that does not know it
// ends with an error instead of answering.
const Protocol = "autoresearch-scorer/1"

// A frame is a kind (1 byte), the length of what follows (4 bytes), and that.
// All numbers are little-endian. We speak first; the program answers each frame,
// but for the last, with one of its own.
const (
	kindHello  = 'H' // JSON: greeting, answered by welcome
	kindClaim  = 'W' // B windows of T+1 tokens, int32 [B, T+1]
	kindClaims = 'C' // answer: float32 [B, T], nats of tokens 1 to T of each
	kindCut    = 'Q' // B windows, int32 [B, T+1], and their cuts, int32 [B]
	kindAnswer = 'A' // answer: float32 [B, V], logarithms of the probabilities of token cut+1
	kindEnd    = 'E' // nothing: the program may end
)

const (
	maxHello = 1 << 16
	maxFrame = 256 << 20 // bytes
	maxBatch = 4096      // windows
)

// Tasks of a process: it has one, and never learns anything of the other's.
const (
	taskClaim = "claim"
	taskCut   = "cut"
)

// greeting tells the program what it is going to be asked.
type greeting struct {
	Protocol  string `json:"protocol"`
	Task      string `json:"task"`
	Windows   int    `json:"windows"`   // N, padding not counted
	Positions int    `json:"positions"` // T
	Vocab     int    `json:"vocab"`     // V
}

// welcome is the program's answer.
type welcome struct {
	Protocol string `json:"protocol"`
	Batch    int    `json:"batch"` // B: windows that it wants at once; it always gets as many
}

// peer is a program that speaks the protocol.
type peer struct {
	greeting
	r     *bufio.Reader
	w     io.Writer
	batch int
}

// errEnded says that the program's output ended where an answer was due. Why, the
// end of its process says better.
var errEnded = errors.New("the program ended before it had answered")

// protocolError is a program that does not keep to the protocol.
type protocolError struct{ failure *experiment.Failure }

func (e *protocolError) Error() string { return e.failure.Message }

func broken(format string, args ...any) error {
	return &protocolError{fault(experiment.RunFailed, "the scorer protocol: "+format, args...)}
}

// meet greets the program and learns its batch size.
func meet(r io.Reader, w io.Writer, g greeting) (*peer, error) {
	g.Protocol = Protocol
	p := &peer{greeting: g, r: bufio.NewReaderSize(r, 1<<16), w: w}
	text, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	var answer []byte
	if err := p.exchange(kindHello, text, func() (err error) {
		n, err := p.header(kindHello)
		if err == nil && n > maxHello {
			err = broken("the answer to the greeting has %d bytes", n)
		}
		if err == nil {
			answer, err = p.payload(n)
		}
		return err
	}); err != nil {
		return nil, err
	}
	var said welcome
	if err := json.Unmarshal(answer, &said); err != nil {
		return nil, broken("the answer to the greeting is no JSON: %v", err)
	}
	switch {
	case said.Protocol != Protocol:
		return nil, broken("the program speaks %q, and we %q", clip(said.Protocol), Protocol)
	case said.Batch < 1 || said.Batch > maxBatch:
		return nil, broken("the program wants %d windows at once: 1 to %d", said.Batch, maxBatch)
	case int64(said.Batch)*int64(max(g.Positions+2, g.Vocab))*4 > maxFrame:
		return nil, broken("%d windows at once make frames of more than %d MiB: ask for fewer", said.Batch, maxFrame>>20)
	}
	p.batch = said.Batch
	return p, nil
}

func clip(s string) string { return s[:min(len(s), 100)] }

// exchange sends a frame while it reads the answer, so that a program which
// writes before it reads does not stand against us for ever.
func (p *peer) exchange(kind byte, payload []byte, answer func() error) error {
	sent := make(chan error, 1)
	go func() { sent <- p.send(kind, payload) }()
	if err := answer(); err != nil {
		return err // the writer ends when the pipe is closed
	}
	return <-sent
}

func (p *peer) send(kind byte, payload []byte) error {
	head := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	if _, err := p.w.Write(append(head, payload...)); err != nil {
		return errEnded
	}
	return nil
}

// header reads the head of a frame that must be of this kind.
func (p *peer) header(kind byte) (int, error) {
	var head [5]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, errEnded
	}
	if head[0] != kind {
		return 0, broken("the program wrote %q where a frame %q was due; standard output is for frames alone, so print to standard error", head[:], kind)
	}
	return int(binary.LittleEndian.Uint32(head[1:])), nil
}

func (p *peer) payload(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return nil, errEnded
	}
	return b, nil
}

// ask sends int32s and reads so many float32s.
func (p *peer) ask(kind byte, numbers []int32, answerKind byte, n int) ([]float32, error) {
	payload := make([]byte, 0, 4*len(numbers))
	for _, v := range numbers {
		payload = binary.LittleEndian.AppendUint32(payload, uint32(v))
	}
	var out []float32
	err := p.exchange(kind, payload, func() error {
		size, err := p.header(answerKind)
		if err != nil {
			return err
		}
		if size != 4*n {
			return broken("an answer of %d bytes came where %d float32s were due", size, n)
		}
		raw, err := p.payload(size)
		out = make([]float32, len(raw)/4)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		return err
	})
	return out, err
}

// end tells the program that nothing follows.
func (p *peer) end() { _ = p.send(kindEnd, nil) } // it has answered all; it may have ended
