package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/search"
)

// bench is what runs need.
type bench struct {
	options
	dir           string
	train, scored string // directories: what runs see, and what their models are scored on
}

// prepare builds the programs and the data in dir.
func prepare(ctx context.Context, dir string, o options) (*bench, error) {
	b := &bench{options: o, dir: dir}
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	goroot, err := command(ctx, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	corpus := filepath.Join(dir, "corpus")
	source := filepath.Join(strings.TrimSpace(string(goroot)), "src")
	if _, err := command(ctx, b.program("evaluate"), "data", "--source", source, "--out", corpus); err != nil {
		return nil, err
	}
	b.train, b.scored = filepath.Join(corpus, "train"), filepath.Join(corpus, "val")
	if o.split == dev {
		b.train, b.scored = filepath.Join(dir, "dev", "train"), filepath.Join(dir, "dev", "val")
		return b, cut(filepath.Join(corpus, "train"), b.train, b.scored)
	}
	return b, nil
}

func (b *bench) program(name string) string { return filepath.Join(b.dir, name) }

// build builds the trainer, with its constants changed, and the evaluator.
func (b *bench) build(ctx context.Context) error {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return fmt.Errorf("reading the program: %w; run in the root of the repository", err)
	}
	if text, err = search.Set(text, b.set); err != nil {
		return fmt.Errorf("setting constants of %s: %w", b.file, err)
	}
	path, err := filepath.Abs("trainer/train.go")
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: b.program("train.go")}})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"train.go": text, "overlay.json": overlay} {
		if err := os.WriteFile(b.program(name), content, 0o644); err != nil {
			return err
		}
	}
	if _, err = command(ctx, "go", "build", "-overlay", b.program("overlay.json"), "-o", b.program("trainer"), "./trainer"); err != nil {
		return err
	}
	_, err = command(ctx, "go", "build", "-o", b.program("evaluate"), "./trainer/evaluate")
	return err
}

// result is one run.
type result struct {
	done
	score
}

// done is what the trainer says of a run.
type done struct {
	Steps   int64   `json:"steps"`
	Tokens  int64   `json:"tokens"`
	Charged float64 `json:"charged_seconds"`
}

// score is what the evaluator says of its model.
type score struct {
	ValBpb float64 `json:"val_bpb"`
}

func (r result) speed() float64 { return float64(r.Tokens) / r.Charged }

// run trains with one seed and scores the model.
func (b *bench) run(ctx context.Context, seed int) (r result, err error) {
	dir := filepath.Join(b.dir, "run-"+strconv.Itoa(seed))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	cores, length := strconv.Itoa(b.cores), []string{"--budget", b.budget.String()}
	if b.steps > 0 {
		length = []string{"--steps", strconv.Itoa(b.steps)}
	}
	args := append(length, "--run", dir, "--data", b.train, "--seed", strconv.Itoa(seed), "--cores", cores)
	_, err = command(ctx, b.program("trainer"), args...)
	if err != nil {
		return r, err
	}
	finished, err := os.ReadFile(filepath.Join(dir, "done.json"))
	if err != nil {
		return r, fmt.Errorf("reading what the run has done: %w", err)
	}
	scored, err := command(ctx, b.program("evaluate"), "score", "--model", filepath.Join(dir, "model.safetensors"), "--data", b.scored, "--cores", cores)
	if err != nil {
		return r, err
	}
	return read(finished, scored)
}

// read puts together what trainer and evaluator say; both count tokens.
func read(finished, scored []byte) (r result, err error) {
	if err := errors.Join(json.Unmarshal(finished, &r.done), json.Unmarshal(scored, &r.score)); err != nil {
		return r, fmt.Errorf("reading what came of a run: %w", err)
	}
	return r, nil
}

// command runs a program and returns what it prints.
func command(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.Bytes(), nil
}

// xz is how many bits per byte xz -9e needs for what models are scored on.
func xz(ctx context.Context, dir string) (float64, error) {
	file := filepath.Join(dir, "val.bin")
	packed, err := command(ctx, "xz", "-9e", "--stdout", file)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return 8 * float64(len(packed)) / float64(info.Size()), nil
}
