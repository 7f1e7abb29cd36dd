package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// bench is one table: a size with a number of threads.
type bench struct {
	options
	size
	threads int
	dir     string // for all that is built and written
}

// allSteps is the length of the run that a block is a part of: long, so
// that its schedules are where a real run's are in its first seconds.
const allSteps = 10000

// warmUp is how many steps each peer takes first, a compiling one included.
const warmUp = 3

func (b bench) run(ctx context.Context) error {
	source, err := os.ReadFile(race.TrainFile)
	if err != nil {
		return fmt.Errorf("%w; run this at the root of the repository", err)
	}
	p, err := race.NewProgram(string(source), b.constants)
	if err != nil {
		return err
	}
	if b.optimizer == "adamw" {
		if p, err = plainAdamW(p); err != nil {
			return err
		}
	}
	peers, err := b.start(ctx, p)
	defer func() {
		for _, p := range peers {
			p.Stop()
		}
	}()
	if err != nil {
		return err
	}
	tokens := int(p.Constants["BatchSize"].(int64) * p.Constants["Context"].(int64) * p.Constants["Accumulate"].(int64))
	for round := range b.rounds {
		for _, p := range peers {
			fmt.Fprintf(os.Stderr, "%s, %d threads: round %d of %d: %s\n", b.size.name, b.threads, round+1, b.rounds, p.Name)
			if err := p.Block(b.steps, tokens); err != nil {
				return err
			}
		}
	}
	for _, p := range peers {
		p.ReadPeak()
	}
	fmt.Print(b.table(p.Constants, peers))
	return nil
}

// start brings the trainer and its peers to the point where all is warm.
func (b bench) start(ctx context.Context, p race.Program) (peers []*race.Peer, err error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", b.size.name, b.threads))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	binary, err := p.Build(dir, nil, "CGO_ENABLED=0")
	if err != nil {
		return nil, err
	}
	if err := race.Corpus(filepath.Join(dir, "data"), b.vocab); err != nil {
		return nil, err
	}
	commands := map[string]*exec.Cmd{"ours": race.Command(ctx, nil, binary,
		"--run", filepath.Join(dir, "run"), "--data", filepath.Join(dir, "data"),
		"--seed", "1", "--steps", strconv.Itoa(allSteps), "--cores", strconv.Itoa(b.threads))}
	names := []string{"ours"}
	for name := range strings.SplitSeq(b.peers, ",") {
		if strings.HasSuffix(name, "512") && !needsUnlock() || name == "" {
			continue
		}
		names = append(names, name)
		if commands[name], err = b.torch(ctx, dir, name, p); err != nil {
			return nil, err
		}
	}
	if b.llmc != "" {
		names = append(names, "llm.c")
		if commands["llm.c"], err = b.llmcCommand(ctx, dir, p); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		fmt.Fprintf(os.Stderr, "%s, %d threads: starting %s\n", b.size.name, b.threads, name)
		p, err := race.Start(name, commands[name])
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
		if err := p.Steps(warmUp); err != nil {
			return peers, err
		}
		p.ResetPeak()
	}
	return peers, nil
}
