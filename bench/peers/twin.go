package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/autoresearch-go/autoresearch/bench/race"
)

// twin records anew what trainer/twin_test.go compares with, prints how far the
// two sides are apart, and runs the test.
func twin(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("peers twin", flag.ContinueOnError)
	python := f.String("python", "", "Python `interpreter` with torch and numpy; README.md says how to install them")
	threads := f.Int("threads", 1, "threads for PyTorch")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *python == "" || f.NArg() > 0 {
		return fmt.Errorf("usage: go run ./bench/peers twin -python PYTHON")
	}
	dir, err := os.MkdirTemp("", "twin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := twinTest(ctx, "TWIN_EXPORT="+dir); err != nil {
		return fmt.Errorf("exporting the trainer's side: %w", err)
	}
	for _, c := range []struct{ name, optimizer string }{{"muon", "muon"}, {"adamw", "adamw"}, {"all", "muon"}} {
		config, err := twinConfig(filepath.Join(dir, c.name), c.name, c.optimizer, *threads)
		if err != nil {
			return err
		}
		if err := show(race.Command(ctx, torchEnv, *python, filepath.Join(scripts, "twin.py"), config)); err != nil {
			return fmt.Errorf("repeating the run %s in PyTorch: %w", c.name, err)
		}
	}
	return twinTest(ctx)
}

// twinConfig writes what twin.py needs to know of a case of the test, which has
// left its train.go in dir.
func twinConfig(dir, name, optimizer string, threads int) (string, error) {
	source, err := os.ReadFile(filepath.Join(dir, "train.go"))
	if err != nil {
		return "", err
	}
	constants, err := race.Evaluate(string(source))
	if err != nil {
		return "", err
	}
	config := filepath.Join(dir, "config.json")
	return config, race.WriteJSON(config, map[string]any{
		"name": name, "optimizer": optimizer, "constants": constants, "threads": threads, "dir": dir,
		"out": filepath.Join("trainer", "testdata", "twin_"+name+".json"),
	})
}

// twinTest runs the test with env added to the environment.
func twinTest(ctx context.Context, env ...string) error {
	return show(race.Command(ctx, env, "go", "test", "-count=1", "-run", "^TestTwin$", "-v", "./trainer"))
}

func show(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
