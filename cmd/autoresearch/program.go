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

const programHelp = `Program gives a campaign instructions of its own. It is seldom needed: program.md in
the checkout is read afresh for every proposal, so editing that file is enough,
and every experiment records which version it saw. FILE takes its place for this
campaign; --reset gives program.md back.`

// newProgram makes "program".
func newProgram(a *app) *cobra.Command {
	var tag string
	var reset bool
	c := &cobra.Command{
		Use: "program FILE | --reset", Short: "give the proposer other instructions than program.md", Long: programHelp, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := ""
			switch {
			case reset == (len(args) == 1):
				return usage("for example: autoresearch program other.md, or: autoresearch program --reset", "name a file, or --reset")
			case !reset:
				var err error
				if text, err = a.readProgram(args[0]); err != nil {
					return err
				}
			}
			m := message{name: workflows.MessageSetProgram, arg: workflows.SetProgram{Text: text}}
			return a.tell(cmd.Context(), tag, m)
		},
	}
	tagFlag(c, &tag)
	c.Flags().BoolVar(&reset, "reset", false, "let program.md in the checkout hold again")
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
		return "", usage("name a text file with instructions for the proposer; --reset gives program.md back", "%s is empty", path)
	}
	return string(b), nil
}
