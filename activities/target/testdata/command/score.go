package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// score is the program's side of the protocol autoresearch-scorer/1: it answers
// frames until one ends it. See docs/scorer.md.
func score(stdin io.Reader, stdout io.Writer) error {
	m := new(Model)
	if err := load(*model, m); err != nil {
		return err
	}
	in, out := bufio.NewReader(stdin), bufio.NewWriter(stdout)
	const B = 16
	T := 0
	for {
		var head struct {
			Kind byte
			Size uint32
		}
		if err := binary.Read(in, binary.LittleEndian, &head); err != nil {
			return err
		}
		body := make([]byte, head.Size)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		var answer []float32
		var kind byte
		switch head.Kind {
		case 'H': // greeting
			var g struct {
				Protocol         string
				Positions, Vocab int
			}
			if err := json.Unmarshal(body, &g); err != nil {
				return err
			}
			if g.Protocol != "autoresearch-scorer/1" || g.Vocab != V {
				return fmt.Errorf("no answer to %s", body)
			}
			T = g.Positions
			text, err := json.Marshal(map[string]any{"protocol": g.Protocol, "batch": B})
			if err != nil {
				return err
			}
			if err := frame(out, 'H', text); err != nil {
				return err
			}
			continue
		case 'W': // windows [B, T+1]: what tokens 1 to T of each cost
			answer, kind = make([]float32, B*T), 'C'
			for b := range B {
				m.Losses(numbers(body, b*(T+1), T+1), answer[b*T:(b+1)*T])
			}
		case 'Q': // windows [B, T+1] and cuts [B]: the distribution of what follows each cut
			answer, kind = make([]float32, B*V), 'A'
			cuts := numbers(body, B*(T+1), B)
			for b := range B {
				m.LogProbs(numbers(body, b*(T+1), T+1), int(cuts[b]), answer[b*V:(b+1)*V])
			}
		case 'E':
			return nil
		default:
			return fmt.Errorf("no answer to a frame %q", head.Kind)
		}
		text, err := binary.Append(nil, binary.LittleEndian, answer)
		if err != nil {
			return err
		}
		if err := frame(out, kind, text); err != nil {
			return err
		}
	}
}

// numbers are n int32s of a frame.
func numbers(body []byte, from, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(body[4*(from+i):]))
	}
	return out
}

// frame writes a kind, a length and that many bytes.
func frame(out *bufio.Writer, kind byte, body []byte) error {
	out.Write(binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(body))))
	out.Write(body)
	return out.Flush()
}
