package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// llmcMain lets llm.c take steps for the driver.
//
//go:embed testdata/llmc.c
var llmcMain []byte

// llmcCommand builds llm.c from the checkout that the user named. Its model is
// GPT-2's (LayerNorm, biases, GELU, learned positions, tied head, AdamW) at our
// size: about the same work, not the same mathematics.
func (b bench) llmcCommand(ctx context.Context, dir string, p race.Program) (*exec.Cmd, error) {
	source, binary := filepath.Join(dir, "llmc.c"), filepath.Join(dir, "llmc")
	if err := os.WriteFile(source, llmcMain, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "cc", "-Ofast", "-march=native", "-fopenmp", "-DOMP", "-w", "-I", b.llmc, "-o", binary, source, "-lm")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building llm.c: %w\n%s; -llmc must name a checkout of it, and a C compiler with OpenMP is needed", err, out)
	}
	var args []string
	for _, name := range []string{"Depth", "Dim", "Heads", "Context"} {
		args = append(args, fmt.Sprint(p.Constants[name]))
	}
	args = append(args, strconv.Itoa(b.vocab), fmt.Sprint(p.Constants["BatchSize"]))
	return race.Command(ctx, []string{"OMP_NUM_THREADS=" + strconv.Itoa(b.threads)}, binary, args...), nil
}
