package experiment

import (
	"fmt"
	"strings"
)

// Proposal is one idea: edits against a parent commit, and why.
type Proposal struct {
	Title      string `json:"title"`           // one line, imperative: "raise MatrixLR from 0.02 to 0.031"
	Hypothesis string `json:"hypothesis"`      // why it may help
	Expected   string `json:"expected_effect"` // what should be seen if it does
	Proposer   string `json:"proposer"`        // hpo, llm, script, or person
	Parent     string `json:"parent"`          // commit
	Edits      []Edit `json:"edits"`
}

// Edit changes one file of the parent commit. With Search set, that text must
// stand in the file exactly once and is replaced; with Search empty, Replace is
// the whole new file.
type Edit struct {
	Path    string `json:"path"` // slash path from the repository's root
	Search  string `json:"search,omitempty"`
	Replace string `json:"replace"`
}

// Markdown renders the proposal as people read it (proposal.md).
func (p Proposal) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", p.Title)
	if p.Hypothesis != "" {
		fmt.Fprintf(&b, "**Hypothesis.** %s\n\n", p.Hypothesis)
	}
	if p.Expected != "" {
		fmt.Fprintf(&b, "**Expected effect.** %s\n\n", p.Expected)
	}
	fmt.Fprintf(&b, "Proposed by `%s` against commit `%s`.\n", p.Proposer, ShortCommit(p.Parent))
	for _, e := range p.Edits {
		if e.Search == "" {
			fmt.Fprintf(&b, "\n`%s`, whole file, %d bytes.\n", e.Path, len(e.Replace))
			continue
		}
		fmt.Fprintf(&b, "\n`%s`:\n\n```\n<<<<<<< SEARCH\n%s\n=======\n%s\n>>>>>>> REPLACE\n```\n", e.Path, e.Search, e.Replace)
	}
	return b.String()
}
