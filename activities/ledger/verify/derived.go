package verify

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// derived checks what is made of the decisions: the table, and the branch of the
// incumbent.
func (c *check) derived(ctx context.Context) error {
	if len(c.decisions) == 0 {
		return nil
	}
	if err := c.table(); err != nil {
		return err
	}
	last := c.decisions[len(c.decisions)-1]
	if last.Incumbent.Commit == "" {
		return nil
	}
	r, err := repo.View(c.Home.Repo())
	if errors.Is(err, os.ErrNotExist) {
		return nil // said already
	}
	if err != nil {
		return err
	}
	ref := "refs/heads/" + experiment.Branch(c.tag)
	at, err := r.Ref(ctx, ref)
	if err == nil && at != last.Incumbent.Commit {
		c.late("repo.git "+ref, repaired, "it is at %s, and the incumbent is %s of experiment %d", short(at), short(last.Incumbent.Commit), last.Incumbent.Experiment)
	}
	return err
}

func (c *check) table() error {
	path := c.Home.Results(c.tag)
	name := filepath.ToSlash(filepath.Join("results", filepath.Base(path)))
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.late(name, repaired, "the table is missing")
		return nil
	}
	if err != nil {
		return err
	}
	results := make([]experiment.Result, len(c.decisions))
	for i, d := range c.decisions {
		results[i] = d.Result
	}
	want := ledger.Table(results)
	if head, _, _ := bytes.Cut(have, []byte("\n")); bytes.HasPrefix(want, append(bytes.Clone(head), '\t')) {
		want = firstColumns(want, bytes.Count(head, []byte("\t"))+1)
		c.note("results.tsv was written by a version with fewer columns")
	}
	if bytes.Equal(have, want) {
		return nil
	}
	got, expected := bytes.Split(have, []byte("\n")), bytes.Split(want, []byte("\n"))
	line := 0
	for line < len(got) && line < len(expected) && bytes.Equal(got[line], expected[line]) {
		line++
	}
	switch {
	case line >= len(expected)-1:
		c.late(name, noted, "it has %d rows, and %d decisions are stored: the last ones were taken away", len(got)-2, len(results))
	case line == 0:
		c.late(name, repaired, "its columns are not those of this version")
	default:
		c.late(name, repaired, "line %d is not what decision %d gives", line+1, line-1)
	}
	return nil
}

// firstColumns is a table without the columns that come later. A version only
// ever adds columns at the end.
func firstColumns(table []byte, n int) []byte {
	var out []byte
	for line := range bytes.Lines(table) {
		cells := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"), n+1)
		out = append(append(out, bytes.Join(cells[:min(n, len(cells))], []byte("\t"))...), '\n')
	}
	return out
}
