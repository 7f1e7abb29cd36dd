package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// allSteps is the length of the run that a block is a part of, so that its
// schedules are where a real run's are in its first seconds.
const allSteps = 10000

// warmUp is how many steps each peer takes first: kernels are compiled, products
// tuned.
const warmUp = 4

// peakTFLOPs is the dense bfloat16 rate that utilization is counted against, as
// train.py does: an H100's (SXM) and H200's by their datasheet.
const peakTFLOPs = 989.5

// compare prints the table.
func (o options) compare(ctx context.Context) error {
	// A program of the current directory is not found by its bare name.
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	text, err := os.ReadFile(filepath.Join(o.dir, "constants.json"))
	if err != nil {
		return fmt.Errorf("%w; make the directory with: go run ./bench/gpu build %s", err, o.dir)
	}
	constants := map[string]any{}
	if err := json.Unmarshal(text, &constants); err != nil {
		return err
	}
	m := sizesOf(constants)
	peers, started, err := o.start(ctx, constants)
	defer func() {
		for _, p := range peers {
			p.Stop()
		}
	}()
	if err != nil {
		return err
	}
	for round := range o.rounds {
		for _, p := range peers {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, o.rounds, p.Name)
			if err := p.Block(o.steps, m.tokens); err != nil {
				return err
			}
		}
	}
	fmt.Print(o.table(m, peers, started))
	return nil
}

// start brings the peers to the point where all is warm; started is how long
// each took.
func (o options) start(ctx context.Context, constants map[string]any) (peers []*race.Peer, started []time.Duration, err error) {
	names := []string{"ours"}
	switch {
	case o.python != "" && o.device == "cpu":
		names = append(names, "sdpa") // FlexAttention has no backward there
	case o.python != "":
		// One twin: peers hold their memory all the time, and it has no room for three.
		twin := "flex"
		if exec.CommandContext(ctx, o.python, "-c", "import flash_attn_interface").Run() == nil {
			twin = "flash3"
		}
		names = append(names, twin)
	}
	for _, name := range names {
		cmd, err := o.command(ctx, name, constants)
		if err != nil {
			return peers, started, err
		}
		fmt.Fprintf(os.Stderr, "starting %s\n", name)
		began := time.Now()
		p, err := race.Start(name, cmd)
		if err != nil {
			return peers, started, err
		}
		peers = append(peers, p)
		if err := p.Steps(warmUp); err != nil {
			return peers, started, err
		}
		started = append(started, time.Since(began))
	}
	return peers, started, nil
}

// command is a peer's process.
func (o options) command(ctx context.Context, name string, constants map[string]any) (*exec.Cmd, error) {
	if name == "ours" {
		run := filepath.Join(o.dir, "run")
		if err := os.MkdirAll(run, 0o755); err != nil {
			return nil, err
		}
		args := []string{"--run", run, "--data", filepath.Join(o.dir, "data"), "--seed", "1", "--steps", strconv.Itoa(allSteps), "--cores", "8"}
		if o.device == "cuda" {
			args = append(args, "--device", "cuda", "--precision", "bfloat16", "--cache", filepath.Join(o.dir, "cache"))
		}
		return race.Command(ctx, nil, filepath.Join(o.dir, "trainer"), args...), nil
	}
	config := filepath.Join(o.dir, name+".json")
	err := race.WriteJSON(config, map[string]any{
		"constants": constants, "vocab": vocab, "device": o.device, "attention": name, "compile": o.compile, "steps": allSteps,
	})
	return race.Command(ctx, []string{"PYTHONDONTWRITEBYTECODE=1"}, o.python, filepath.Join(o.dir, "step.py"), config), err
}

// sizing is what the numbers are counted with.
type sizing struct {
	tokens int     // of a step
	flops  float64 // of a token, forward and backward
	text   string
}

// sizesOf counts as train.py does: six for each weight of a product, and the
// products of attention over the whole span of each layer's window, without the
// optimizer.
func sizesOf(constants map[string]any) sizing {
	n := func(name string) float64 { return race.Number(constants[name]) }
	c, kv := n("Dim"), n("KVHeads")*n("HeadDim")
	weights := n("Depth")*(2*c*c+2*c*kv+2*n("MLPRatio")*c*c) + vocab*c
	window, _ := constants["Window"].(string)
	keys := 0.
	for l := range int(n("Depth")) {
		if window[l%len(window)] == 'S' && l < int(n("Depth"))-1 {
			keys += n("Context") / n("ShortSpan")
		} else {
			keys += n("Context")
		}
	}
	return sizing{
		tokens: int(n("BatchSize") * n("Context") * n("Accumulate")),
		flops:  6*weights + 12*c*keys,
		text: fmt.Sprintf("L %v, C %v, NH %v, T %v, V %d, B %v, %v micro-batches, windows %s",
			n("Depth"), c, n("Heads"), n("Context"), vocab, n("BatchSize"), n("Accumulate"), window),
	}
}

// table is the measurement as Markdown.
func (o options) table(m sizing, peers []*race.Peer, started []time.Duration) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n### %s\n\n%.1f MFLOP a token, %d tokens a step; %d rounds of %d steps; MFU of %.1f TFLOP/s\n\n", m.text, m.flops/1e6, m.tokens, o.rounds, o.steps, peakTFLOPs)
	out.WriteString("| | thousand tokens/s (min..max) | MFU | ours is faster by (rounds) | start to warm, s |\n|---|---|---|---|---|\n")
	for i, p := range peers {
		speed := race.Each(p.Blocks, race.Block.Speed)
		median := race.Median(speed)
		var rounds []string
		for k := range p.Blocks {
			rounds = append(rounds, fmt.Sprintf("%.2f", peers[0].Blocks[k].Speed()/p.Blocks[k].Speed()))
		}
		fmt.Fprintf(&out, "| %s | %.1f (%.1f..%.1f) | %.1f %% | %.2f (%s) | %.1f |\n", p.Name, median/1e3, slices.Min(speed)/1e3, slices.Max(speed)/1e3,
			100*median*m.flops/(peakTFLOPs*1e12), race.Ratio(peers[0], p, race.Block.Speed), strings.Join(rounds, " "), started[i].Seconds())
	}
	return out.String()
}
