package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workers"
)

const prepareHelp = `Prepare makes a corpus in the home's cache, and downloads what that takes. A
download that breaks off goes on where it was when the command is run again.
'autoresearch up' prepares by itself; this is for a worker on another machine,
for a look at the numbers, or to have the download done.

  autoresearch prepare                                  the Go standard library
  autoresearch prepare --dataset ~/notes --vocab 1024   a file or a directory: text, .jsonl, .parquet
  autoresearch prepare --dataset tinystories --vocab 4096
  autoresearch prepare --dataset climbmix --shards 4    web text, about 100 MB a shard

AUTORESEARCH_DATASETS_URL names a mirror of https://huggingface.co/datasets.`

// newPrepare makes "prepare".
func newPrepare(a *app) *cobra.Command {
	var s experiment.Settings
	shards := 0
	c := &cobra.Command{
		Use: "prepare", Short: "make or fetch a data set", Long: prepareHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("shards") {
				if err := setShards(&s, shards); err != nil {
					return err
				}
			}
			if err := a.checkDataset(&s, cmd.Flags()); err != nil {
				return err
			}
			return a.prepare(cmd.Context(), s)
		},
	}
	datasetFlags(c.Flags(), &s)
	c.Flags().IntVar(&shards, "shards", 0, fmt.Sprintf("of climbmix, train on the first `N` (default %d); the same as --dataset climbmix:N", experiment.DefaultShards))
	return c
}

// setShards writes the number of shards into the name of the data set.
func setShards(s *experiment.Settings, n int) error {
	if s.Dataset != experiment.ClimbMix {
		return usage("for example: --dataset climbmix --shards 4", "--shards is for the data set climbmix")
	}
	if n < 1 || n > experiment.MaxShards {
		return usage("leave it out for "+strconv.Itoa(experiment.DefaultShards), "shards is %d: %s has 1 to %d", n, experiment.ClimbMix, experiment.MaxShards)
	}
	s.Dataset += ":" + strconv.Itoa(n)
	return nil
}

// prepare makes the corpus and says what it is.
func (a *app) prepare(ctx context.Context, s experiment.Settings) error {
	t, err := target.Builtin(target.Options{}).ByName(cmp.Or(s.Target, experiment.DefaultTarget))
	if err != nil {
		return err
	}
	if err := checkTools(); err != nil {
		return err
	}
	top, err := checkCheckout(ctx, a.dir, t)
	if err != nil && top == "" { // what is not committed yet does not matter
		return err
	}
	if err := a.checkHome(); err != nil {
		return err
	}
	c, err := a.makeCorpus(ctx, top, s)
	if err != nil {
		return err
	}
	if a.json {
		return a.object(prepared(s, c, a.home().Data(c.Fingerprint)))
	}
	for _, l := range prepared(s, c, a.near(a.home().Data(c.Fingerprint))).lines() {
		a.line(l)
	}
	a.note("start with: autoresearch up%s", dataArgs(s))
	return nil
}

// makeCorpus shows what is being done while it is.
func (a *app) makeCorpus(ctx context.Context, top string, s experiment.Settings) (target.Corpus, error) {
	cfg := workers.Config{Home: a.home(), Checkout: top, Slots: 1, Cores: runtime.NumCPU()}
	c, err := workers.PrepareCorpus(ctx, cfg, s, func(line string) { a.showProgress(line, false) })
	a.screen.draw(nil)
	if err != nil {
		return c, err
	}
	a.note("data      %s", corpusNote(s, c))
	return c, nil
}

// provideData makes the corpus of a new campaign before its work begins, unless
// it is the one that the worker makes in a second.
func (a *app) provideData(ctx context.Context, top string, s experiment.Settings) error {
	if s.OnDefaultData() || a.provided == dataArgs(s) {
		return nil
	}
	_, err := a.makeCorpus(ctx, top, s)
	if err == nil {
		a.provided = dataArgs(s)
	}
	return err
}

// preparation is what "prepare" prints.
type preparation struct {
	Dataset       string  `json:"dataset"`
	Directory     string  `json:"directory"`
	BytesPerToken float64 `json:"bytes_per_token"`
	target.Corpus
}

func prepared(s experiment.Settings, c target.Corpus, dir string) preparation {
	p := preparation{Dataset: s.Corpus(), Directory: dir, Corpus: c, BytesPerToken: 1}
	if c.TrainTokens > 0 {
		p.BytesPerToken = float64(c.TrainBytes) / float64(c.TrainTokens)
	}
	return p
}

func (p preparation) lines() []string {
	split := func(bytes, tokens int64) string {
		return fmt.Sprintf("%sB of text, %s tokens", count(float64(bytes)), count(float64(tokens)))
	}
	documents := strconv.Itoa(p.Documents)
	if p.Read.Files > 0 {
		documents += fmt.Sprintf(", from %s; %s", plural(p.Read.Files, "file"), p.Read.LeftOut)
	}
	return []string{
		"dataset      " + p.Dataset,
		fmt.Sprintf("vocabulary   %d, %.2f bytes a token", p.Vocab, p.BytesPerToken),
		"fingerprint  " + p.Fingerprint,
		"training     " + split(p.TrainBytes, p.TrainTokens),
		"validation   " + split(p.ValBytes, p.ValTokens),
		"documents    " + documents,
		"directory    " + p.Directory,
	}
}

// corpusNote is a corpus in one line.
func corpusNote(s experiment.Settings, c target.Corpus) string {
	p := prepared(s, c, "")
	return fmt.Sprintf("%s, %sB of text, vocabulary %d, %.2f bytes a token, fingerprint %.12s",
		p.Dataset, count(float64(c.TrainBytes)), c.Vocab, p.BytesPerToken, c.Fingerprint)
}
