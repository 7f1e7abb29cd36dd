package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
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
	source, err := os.ReadFile(trainFile)
	if err != nil {
		return fmt.Errorf("%w; run this at the root of the repository", err)
	}
	p, err := b.program(string(source))
	if err != nil {
		return err
	}
	if b.optimizer == "adamw" {
		if p, err = p.plainAdamW(); err != nil {
			return err
		}
	}
	peers, err := b.start(ctx, p)
	defer func() {
		for _, p := range peers {
			p.stop()
		}
	}()
	if err != nil {
		return err
	}
	tokens := int(p.constants["BatchSize"].(int64) * p.constants["Context"].(int64) * p.constants["Accumulate"].(int64))
	for round := range b.rounds {
		for _, p := range peers {
			fmt.Fprintf(os.Stderr, "%s, %d threads: round %d of %d: %s\n", b.size.name, b.threads, round+1, b.rounds, p.name)
			if err := p.block(b.steps, tokens); err != nil {
				return err
			}
		}
	}
	for _, p := range peers {
		p.peak = resident(p.cmd.Process.Pid, "VmHWM")
	}
	fmt.Print(b.table(p.constants, peers))
	return nil
}

// start brings the trainer and its peers to the point where all is warm.
func (b bench) start(ctx context.Context, p program) (peers []*peer, err error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", b.size.name, b.threads))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	binary, err := p.build(dir)
	if err != nil {
		return nil, err
	}
	if err := corpus(filepath.Join(dir, "data"), b.vocab); err != nil {
		return nil, err
	}
	commands := map[string]*exec.Cmd{"ours": command(ctx, nil, binary,
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
		p, err := start(name, commands[name])
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
		if err := p.steps(warmUp); err != nil {
			return peers, err
		}
		resetPeak(p.cmd.Process.Pid)
	}
	return peers, nil
}

// corpus writes random tokens where the trainer looks for text, in the form of
// trainer/harness/data: bytes, or ids of 16 bits with a list of what they are.
func corpus(dir string, vocab int) error {
	rng := rand.New(rand.NewPCG(1, 1))
	var text []byte
	for range 1 << 19 {
		id := uint16(1 + rng.IntN(vocab-1)) // 0 would end a document
		if vocab == bpe.Bytes {
			text = append(text, byte(id))
		} else {
			text = binary.LittleEndian.AppendUint16(text, id)
		}
	}
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, filepath.Base(data.TrainFile)), text, 0o644))
	if vocab == bpe.Bytes || err != nil {
		return err
	}
	var tokens []string
	for id := range vocab {
		token := []rune{rune(id)}
		if n := id - bpe.Bytes; n >= 0 {
			token = []rune{rune(1 + n/255), rune(1 + n%255)}
		}
		tokens = append(tokens, string(token))
	}
	return writeJSON(filepath.Join(dir, data.TokensFile), map[string]any{"vocab": vocab, "tokens": tokens})
}
