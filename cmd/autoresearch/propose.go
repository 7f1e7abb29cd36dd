package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// maxPatch keeps a patch far below what a Temporal message may carry.
const maxPatch = 64 << 10

// ideaTimeout bounds the answer to an idea: it is applied to the incumbent first.
const ideaTimeout = time.Minute

const proposeHelp = `Propose sends your own change through the same pipeline as every other proposal:
it is applied to the incumbent, built, trained and judged, before those that are
not prepared yet. FILE is a unified diff, as 'git diff' and 'git format-patch' write
it, against the best candidate so far (branch autoresearch/TAG); '-' is standard input.`

// newPropose makes "propose".
func newPropose(a *app) *cobra.Command {
	var tag string
	var idea workflows.Idea
	c := &cobra.Command{
		Use: "propose FILE.patch", Short: "try an idea of your own", Long: proposeHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if idea.Patch, err = a.readPatch(args[0]); err != nil {
				return err
			}
			idea.Title, idea.Hypothesis = strings.TrimSpace(idea.Title), strings.TrimSpace(idea.Hypothesis)
			if idea.Title == "" {
				idea.Title = titleOf(idea.Patch, args[0])
			}
			if n := len(idea.Title) + len(idea.Hypothesis) + len(idea.Patch); n > maxPatch {
				return usage("say it in fewer words, or send a smaller change", "the patch with its title and hypothesis has %d bytes: at most %d", n, maxPatch)
			}
			return a.tell(cmd.Context(), tag, message{name: workflows.MessagePropose, arg: idea, patience: ideaTimeout})
		},
	}
	tagFlag(c, &tag)
	c.Flags().StringVar(&idea.Title, "title", "", "the idea in one line: `TEXT` (default: the patch's subject, or its file name)")
	c.Flags().StringVar(&idea.Hypothesis, "hypothesis", "", "why it may help: `TEXT`")
	return c
}

// readPatch reads a unified diff from a file, or from standard input.
func (a *app) readPatch(path string) (string, error) {
	const hint = "make one with: git diff > idea.patch"
	name := path
	in := a.stdin
	if path == "-" {
		name = "standard input"
	} else {
		if !filepath.IsAbs(path) {
			path = filepath.Join(a.dir, path)
		}
		f, err := os.Open(path)
		if err != nil {
			return "", usage(hint, "cannot read %s: %w", path, reason(err))
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxPatch+1))
	switch {
	case err != nil:
		return "", usage(hint, "cannot read %s: %w", name, reason(err))
	case len(b) > maxPatch:
		return "", usage("send a smaller change: one idea per experiment", "%s is too large: a patch has at most %d KiB", name, maxPatch>>10)
	case !utf8.Valid(b) || strings.ContainsRune(string(b), 0):
		return "", usage(hint, "%s is not text", name)
	case !isDiff.Match(b):
		return "", usage(hint, "%s is not a unified diff: it has no lines '--- a/FILE', '+++ b/FILE' and '@@ ... @@'", name)
	}
	return string(b), nil
}

// isDiff finds the beginning of a change to a file.
var isDiff = regexp.MustCompile(`(?m)^--- .+\r?\n\+\+\+ .+\r?\n@@ -`)

// subject is that of a mail with a patch, with its numbering.
var subject = regexp.MustCompile(`(?m)^Subject: (?:\[PATCH[^\]]*\] *)?(.+)$`)

// titleOf names an idea that has no title.
func titleOf(patch, path string) string {
	head, _, _ := strings.Cut(patch, "\n--- ")
	if m := subject.FindStringSubmatch(head); m != nil && strings.TrimSpace(m[1]) != "" {
		return strings.TrimSpace(m[1])
	}
	if path == "-" {
		return "a patch from standard input"
	}
	return fmt.Sprintf("patch %s", filepath.Base(path))
}
