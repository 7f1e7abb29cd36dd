package probe

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
)

// Neighbour is what became of the honest runs beside the cheats. They take a
// fixed number of steps, so that seed and steps decide every bit of their model:
// whatever disturbs one of them shows.
type Neighbour struct {
	Runs  int    `json:"runs"`
	Wrong string `json:"wrong,omitempty"`
}

// neighbourSteps take about a second.
const neighbourSteps = 300

// neighbour trains the honest program again and again.
type neighbour struct {
	*probe
	program, want string
	cancel        context.CancelFunc
	ended         chan struct{}
}

// stepsRun trains for some steps and returns the digest of the model.
func (p *probe) stepsRun(ctx context.Context, program string, seed uint64, steps int) (digest string, err error) {
	dir, err := os.MkdirTemp(p.Dir, "steps-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	o, err := p.Sandbox.Run(ctx, sandbox.Spec{
		ID: "probe/" + rand.Text(), Path: program, Dir: dir, ReadOnly: []string{p.train}, Cores: 1, Memory: memory,
		Args: []string{"--run", dir, "--data", p.train, "--seed", strconv.FormatUint(seed, 10), "--cores", "1", "--steps", strconv.Itoa(steps)},
	})
	if err != nil {
		return "", err
	}
	model, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if o.ExitCode != 0 || err != nil {
		return "", fmt.Errorf("an honest run of %d steps ended with exit code %d, signal %d, stopped %v: %v", steps, o.ExitCode, o.Signal, o.Stopped, o.Tail)
	}
	sum := sha256.Sum256(model)
	return hex.EncodeToString(sum[:]), nil
}

// beside starts the neighbour, once it is known what it should give.
func (p *probe) beside(ctx context.Context, program string) (*neighbour, error) {
	n := &neighbour{probe: p, program: program, ended: make(chan struct{})}
	var err error
	if n.want, err = p.stepsRun(ctx, program, 7, neighbourSteps); err != nil {
		return nil, err
	}
	ctx, n.cancel = context.WithCancel(ctx)
	p.report.Neighbour = &Neighbour{}
	go n.loop(ctx, p.report.Neighbour)
	return n, nil
}

func (n *neighbour) loop(ctx context.Context, r *Neighbour) {
	defer close(n.ended)
	for ctx.Err() == nil && r.Wrong == "" {
		got, err := n.stepsRun(ctx, n.program, 7, neighbourSteps)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.Wrong = err.Error()
		case got != n.want:
			r.Wrong = "the same seed and steps gave another model"
		default:
			r.Runs++
		}
	}
}

// stop ends the neighbour; its report stands.
func (n *neighbour) stop() {
	n.cancel()
	<-n.ended
}
