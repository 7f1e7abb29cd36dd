package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// run is one line of the output file.
type run struct {
	Experiment int     `json:"experiment"`
	Seed       uint64  `json:"seed"`
	ValBpb     float64 `json:"val_bpb"`
	Failure    string  `json:"failure,omitempty"`
}

// machine trains and scores a candidate with a seed.
type machine interface {
	run(ctx context.Context, r experiment.Result, k int, seed uint64) (run, error)
}

// measure makes the runs that the output file lacks. Seeds take turns over the
// candidates, so that whatever the machine does in the meantime, it does to all.
func measure(ctx context.Context, o options, m machine, results []experiment.Result, claims []claim) (map[int][]float64, error) {
	done, err := readRuns(o.out)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if b, err := os.ReadFile(o.out); err == nil && len(b) > 0 && b[len(b)-1] != '\n' {
		_, _ = f.WriteString("\n") // a line that was cut off
	}
	byNumber := map[int]experiment.Result{}
	for _, r := range results {
		byNumber[r.Experiment] = r
	}
	scores := map[int][]float64{}
	for k := range o.seeds {
		for _, n := range candidates(claims) {
			seed := freshSeed(o.tag, n, k)
			r, ok := done[seed]
			if !ok {
				if r, err = m.run(ctx, byNumber[n], k, seed); err != nil {
					return nil, fmt.Errorf("measuring #%d with seed %d: %w", n, seed, err)
				}
				line, err := json.Marshal(r)
				if err != nil {
					return nil, err
				}
				if _, err := f.Write(append(line, '\n')); err != nil {
					return nil, err
				}
				fmt.Fprintf(os.Stderr, "#%d seed %d of %d: %.4f %s\n", n, k+1, o.seeds, r.ValBpb, r.Failure)
			}
			if r.Failure == "" {
				scores[n] = append(scores[n], r.ValBpb)
			}
		}
	}
	return scores, nil
}

// candidates lists each once, in the order in which the claims name them.
func candidates(claims []claim) (out []int) {
	seen := map[int]bool{}
	for _, c := range claims {
		for _, n := range []int{c.over, c.of} {
			if !seen[n] {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	return out
}

// freshSeed is one that no campaign has used: a campaign's own come from its
// setting, these from a text that is no tag.
func freshSeed(tag string, n, k int) uint64 {
	root := experiment.Settings{Tag: "keeps of " + tag}.WithDefaults().Seed
	return experiment.Seed(root, n, k)
}

// readRuns reads the output file by seed. A last line that was cut off is made
// again.
func readRuns(path string) (map[uint64]run, error) {
	out := map[uint64]run{}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r run
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Seed != 0 {
			out[r.Seed] = r
		}
	}
	return out, lines.Err()
}

// slot is a machine that trains for real.
type slot struct {
	train    *activities.Train
	campaign experiment.Campaign
	store    artifact.Store
}

func newMachine(work string, from artifact.Store, c experiment.Campaign, mode string) (*slot, error) {
	box, err := sandbox.Default(sandbox.Mode(mode))
	if err != nil {
		return nil, err
	}
	home := experiment.Home(work)
	store := &overlay{Store: artifact.NewFile(home.Artifacts()), under: from}
	t := target.Builtin(target.Options{GoCache: home.GoCache(), Sandbox: box})
	return &slot{train: &activities.Train{Home: home, Store: store, Targets: t.ByName, Sandbox: box, Slot: "keeps", Cores: c.Settings.Cores}, campaign: c, store: store}, nil
}

func (s *slot) run(ctx context.Context, r experiment.Result, k int, seed uint64) (run, error) {
	source, err := s.source(ctx, r)
	if err != nil {
		return run{}, err
	}
	// Its own tag, so that the records of the campaign's runs are not found.
	c := s.campaign
	c.Settings.Tag = "keeps-of-" + c.Settings.Tag
	if len(c.Settings.Tag) > 64 {
		c.Settings.Tag = c.Settings.Tag[:64]
	}
	trained, err := s.train.Train(ctx, activities.TrainInput{Campaign: c, Number: r.Experiment, Run: k, Seed: seed, Source: source})
	if err != nil {
		return run{}, err
	}
	m := trained.Measurement
	if m.Failure == nil {
		scored, err := s.train.Evaluate(ctx, activities.EvaluateInput{Campaign: c, Number: r.Experiment, Run: k, Model: trained.Model, Measurement: m})
		if err != nil {
			return run{}, err
		}
		m = scored.Measurement
	}
	out := run{Experiment: r.Experiment, Seed: seed, ValBpb: m.ValBpb}
	if m.Failure != nil {
		out.Failure = string(m.Failure.Reason) + ": " + m.Failure.Message
	}
	return out, nil
}

// source is the archive that a result was trained from.
func (s *slot) source(ctx context.Context, r experiment.Result) (string, error) {
	if r.Source != "" {
		return r.Source, nil
	}
	if r.Experiment == 0 {
		return s.campaign.Evaluator, nil // the archive of the base
	}
	keys, err := s.store.List(ctx, experiment.Key(s.campaign.Tag(), r.Experiment, ""))
	if err != nil {
		return "", err
	}
	found := ""
	for _, key := range keys { // the newest round is listed last
		var a activities.ApplyResult
		if strings.HasPrefix(filepath.Base(key), "apply-") && readJSON(ctx, s.store, key, &a) == nil && a.Commit == r.Commit {
			found = a.Source
		}
	}
	if found == "" {
		return "", fmt.Errorf("the home does not say what experiment %d was trained from", r.Experiment)
	}
	return found, nil
}

func campaignOf(ctx context.Context, store artifact.Store, tag string) (c experiment.Campaign, err error) {
	if err := readJSON(ctx, store, experiment.CampaignKey(tag, "campaign.json"), &c); err != nil {
		return c, fmt.Errorf("reading what campaign %s was started with: %w", tag, err)
	}
	return c, nil
}

func readJSON(ctx context.Context, store artifact.Store, key string, v any) error {
	r, err := store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// overlay reads from a store below where it has nothing itself, and writes
// nothing there.
type overlay struct {
	artifact.Store
	under artifact.Store
}

func (o *overlay) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := o.Store.Open(ctx, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return o.under.Open(ctx, key)
	}
	return r, err
}

func (o *overlay) List(ctx context.Context, prefix string) ([]string, error) {
	own, err := o.Store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	below, err := o.under.List(ctx, prefix)
	return append(below, own...), err
}
