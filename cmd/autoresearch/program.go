package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/workflows"
)

// maxProgram keeps program.md a text that a proposer can read each time, and
// far below what a Temporal message may carry.
const maxProgram = 64 << 10

// newProgram makes "program".
func newProgram(a *app) *cobra.Command {
	var tag string
	c := &cobra.Command{
		Use: "program FILE", Short: "give the proposer another program.md", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readProgram(args[0])
			if err != nil {
				return err
			}
			m := message{name: workflows.MessageSetProgram, arg: workflows.SetProgram{Text: text}}
			return a.tell(cmd.Context(), tag, m)
		},
	}
	tagFlag(c, &tag)
	return c
}

// readProgram reads instructions for the proposer.
func (a *app) readProgram(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.dir, path)
	}
	b, err := os.ReadFile(path)
	switch {
	case err != nil:
		return "", usage("name a text file with instructions for the proposer", "cannot read %s: %w", path, reason(err))
	case len(b) > maxProgram:
		return "", usage("shorten it", "%s has %d bytes: at most %d", path, len(b), maxProgram)
	case strings.TrimSpace(string(b)) == "":
		return "", usage("name a text file with instructions for the proposer", "%s is empty", path)
	}
	return string(b), nil
}
