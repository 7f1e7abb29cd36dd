package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// datasetFlags adds the flags of what is trained on.
func datasetFlags(f *pflag.FlagSet, s *experiment.Settings) {
	f.StringVar(&s.Dataset, "dataset", "", "what to train on: go, tinystories, climbmix, or a `PATH` of text, .jsonl or .parquet (default go)")
	f.IntVar(&s.Vocab, "vocab", 0, "`TOKENS` of the corpus: 256 are bytes, more are learned from its text (default 256)")
}

// checkDataset refuses what is no data set before anything is done, and makes a
// path independent of where we are.
func (a *app) checkDataset(s *experiment.Settings, f *pflag.FlagSet) error {
	if f.Changed("dataset") {
		resolved, err := a.resolveDataset(s.Dataset)
		if err != nil {
			return err
		}
		s.Dataset = resolved
	}
	if f.Changed("vocab") && s.Vocab == 0 {
		return usage("leave the flag out for 256", "vocab is 0: it must be positive")
	}
	if err := experiment.ValidateVocab(s.Vocab); err != nil {
		return usage("for example: --vocab 1024", "%w", err)
	}
	return nil
}

const datasetHint = "for example: --dataset go, tinystories, climbmix:4, or a file or directory of text, .jsonl or .parquet"

// resolveDataset reads the flag: a name, or a path as one types it here.
func (a *app) resolveDataset(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", usage(datasetHint, "dataset is empty")
	}
	set, err := experiment.ParseDataset(text)
	switch {
	case err == nil && set.Path == "":
		return set.String(), nil
	case err == nil:
		if _, err := os.Stat(set.Path); err != nil && !a.away { // a worker elsewhere may have it
			return "", usage(datasetHint, "dataset %s: %w", set.Path, reason(err))
		}
		return set.Path, nil
	}
	path := filepath.Join(a.dir, text)
	if _, statErr := os.Stat(path); statErr == nil {
		return path, nil
	} else if strings.ContainsAny(text, "./") {
		return "", usage(datasetHint, "dataset %s: %w", text, reason(statErr))
	}
	return "", usage(datasetHint, "%w", err)
}

// dataArgs are the flags of a campaign's data, as one types them.
func dataArgs(s experiment.Settings) string {
	args := ""
	if s.Corpus() != experiment.GoSource {
		args += " --dataset " + quoted(s.Corpus())
	}
	if s.Tokens() != experiment.DefaultVocab {
		args += fmt.Sprintf(" --vocab %d", s.Tokens())
	}
	return args
}

// quoted is a word as a shell wants it.
func quoted(word string) string {
	if strings.ContainsAny(word, " \t\n'\"\\$`*?[]()<>|&;!#~") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// dataNote is what a campaign is trained on.
func dataNote(s experiment.Settings) string {
	return fmt.Sprintf("%s, vocabulary %d", s.Corpus(), s.Tokens())
}
