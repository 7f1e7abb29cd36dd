package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/repo"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// candidates checks the decisions against the commits that they are about.
func (c *check) candidates(ctx context.Context) error {
	r, err := c.repository()
	if r == nil || err != nil {
		return err
	}
	if c.target, err = c.findTarget(ctx, r); err != nil && c.campaign.Tag() != "" {
		c.note("what candidates edit and what they were built from is not checked: %v", err)
	}
	commits, err := r.Commits(ctx, c.commits())
	if err != nil {
		return err
	}
	if err := c.refs(ctx, r); err != nil {
		return err
	}
	var pairs [][2]string
	about := map[string]decision{}
	for _, d := range c.decisions {
		if c.commit(d, commits) && d.Check == nil && d.Commit != d.Parent {
			if _, twice := about[d.Commit]; !twice {
				pairs, about[d.Commit] = append(pairs, [2]string{d.Commit, d.Parent}), d
			}
		}
	}
	var stored error
	err = r.Changes(ctx, pairs, func(commit string, change repo.Change) {
		if err := c.change(ctx, about[commit], change); err != nil {
			stored = err
		}
	})
	if err = errors.Join(err, stored); err != nil {
		return err
	}
	c.descent(commits)
	return c.archives(ctx, r, commits)
}

// repository opens the home's; nil where there is none.
func (c *check) repository() (*repo.Repo, error) {
	r, err := repo.View(c.Home.Repo())
	if errors.Is(err, os.ErrNotExist) {
		c.found("repo.git", "restore it from a copy", "there is no repository, so the candidates cannot be checked")
		return nil, nil
	}
	return r, err
}

// commits are all that decisions name.
func (c *check) commits() (all []string) {
	seen := map[string]bool{"": true}
	add := func(id string) {
		if !seen[id] && hexID.MatchString(id) {
			seen[id], all = true, append(all, id)
		}
	}
	add(c.campaign.Base)
	for _, d := range c.decisions {
		add(d.Commit)
		add(d.Parent)
		add(d.Incumbent.Commit)
	}
	return all
}

var hexID = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// refs checks that each candidate is kept under its number.
func (c *check) refs(ctx context.Context, r *repo.Repo) error {
	have, err := r.Refs(ctx, "refs/experiments/"+c.tag+"/")
	if err != nil {
		return err
	}
	for _, d := range c.decisions {
		if ref := experiment.CandidateRef(c.tag, d.Experiment); d.Commit != "" && have[ref] != d.Commit {
			c.late("repo.git "+ref, repaired, "it is at %s, and the decision is about %s", short(have[ref]), short(d.Commit))
		}
	}
	return nil
}

// commit checks the candidate of a decision by itself; true says that there is
// one with the parent that the decision names.
func (c *check) commit(d decision, commits map[string]repo.Commit) bool {
	if d.Commit == "" {
		return false
	}
	file := fmt.Sprintf("repo.git %s", experiment.CandidateRef(c.tag, d.Experiment))
	got, there := commits[d.Commit]
	switch {
	case !there:
		c.found(file, "restore repo.git from a copy", "the candidate %s is missing", short(d.Commit))
		return false
	case !got.Whole:
		c.found(file, "restore repo.git from a copy", "the commit %s was changed: its content does not give its name", short(d.Commit))
		return false
	case d.Commit == d.Parent: // the baseline, or a check
		if d.Check == nil && d.Commit != c.campaign.Base {
			c.found(c.resultFile(d.Experiment), restore, "its candidate %s is the target as it stands, which is %s", short(d.Commit), short(c.campaign.Base))
		}
		return true
	}
	if d.Reason == experiment.Duplicate {
		return false // of another experiment's program
	}
	if _, there := commits[d.Parent]; !there || !slices.Equal(got.Parents, []string{d.Parent}) {
		c.found(c.resultFile(d.Experiment), restore, "its parent is %s, and that of its candidate %s", short(d.Parent), short(strings.Join(got.Parents, " ")))
		return false
	}
	for _, line := range []string{"Campaign: " + c.tag, fmt.Sprintf("Experiment: %d", d.Experiment)} {
		if !strings.Contains(got.Message, "\n"+line+"\n") {
			c.found(file, noted, "the candidate %s was made for another experiment: its message does not say %q", short(d.Commit), line)
		}
	}
	return true
}

// findTarget finds what the campaign is about. A program that is described by a
// manifest is as it was when the campaign began, wherever we are called.
func (c *check) findTarget(ctx context.Context, r *repo.Repo) (target.Target, error) {
	t, err := c.Targets(c.campaign.Settings.Target)
	described, ok := t.(*target.Command)
	if err != nil || !ok {
		return t, err
	}
	files, err := r.ReadFiles(ctx, c.campaign.Base, []string{target.ManifestFile})
	if err != nil {
		return nil, err
	}
	own, err := described.From(files[target.ManifestFile])
	if err != nil {
		return nil, err
	}
	return own, nil
}

// change checks what a candidate edits, and its patch.
func (c *check) change(ctx context.Context, d decision, change repo.Change) error {
	if c.target != nil {
		for _, f := range change.Files {
			if !f.Edited || !slices.Contains(c.target.Editable(), f.Path) {
				c.found("repo.git "+experiment.CandidateRef(c.tag, d.Experiment), "trust nothing from this candidate on", "the candidate changes %s, and a candidate edits %s only", f.Path, strings.Join(c.target.Editable(), ", "))
			}
		}
	}
	key := c.key(d.Experiment, "candidate.patch")
	if d.Patch == "" && !c.names[d.Experiment]["candidate.patch"] {
		return nil // a version that kept none
	}
	b, err := c.value(ctx, key)
	if err != nil {
		return err
	}
	if b != nil && !bytes.Equal(withoutNames(b), withoutNames(change.Patch)) {
		c.found(file(key), "git diff "+short(d.Parent)+" "+short(d.Commit)+" gives the true one", "it is not the change from %s to %s", short(d.Parent), short(d.Commit))
	}
	return nil
}

// indexLine has abbreviated names of objects, which git writes with more digits
// when a repository has grown.
var indexLine = regexp.MustCompile(`(?m)^index [0-9a-f]+\.\.[0-9a-f]+`)

func withoutNames(patch []byte) []byte { return indexLine.ReplaceAll(patch, []byte("index")) }

// descent checks that each candidate descends from the campaign's base by
// candidates alone.
func (c *check) descent(commits map[string]repo.Commit) {
	good := map[string]bool{c.campaign.Base: true}
	for _, d := range c.decisions {
		var path []string
		at := d.Commit
		for at != "" && !good[at] {
			got, there := commits[at]
			if path = append(path, at); !there || len(got.Parents) != 1 || len(path) > len(commits) {
				break
			}
			at = got.Parents[0]
		}
		if at != "" && !good[at] {
			if _, there := commits[d.Commit]; there && c.campaign.Base != "" {
				c.note("candidates descend from commits that no decision is about, such as %s: those are not checked", short(at))
			}
			continue
		}
		for _, p := range path {
			good[p] = true
		}
	}
}

// archives checks that the sources that were trained are those of the commit.
func (c *check) archives(ctx context.Context, r *repo.Repo, commits map[string]repo.Commit) error {
	if _, there := commits[c.campaign.Base]; !there || c.target == nil {
		return nil
	}
	packer, err := r.Packer(ctx, c.campaign.Base, c.target.Sources(), c.target.Editable())
	if errors.Is(err, repo.ErrMissing) || errors.Is(err, repo.ErrNotRegular) {
		c.found("repo.git", "restore it from a copy", "the commit %s, from which the campaign starts, has not the files of the target", short(c.campaign.Base))
		return nil
	}
	if err != nil {
		return err
	}
	about := map[string][]decision{}
	var ids []string
	for _, d := range c.decisions {
		if _, there := commits[d.Commit]; there && d.Source != "" {
			if about[d.Commit] == nil {
				ids = append(ids, d.Commit)
			}
			about[d.Commit] = append(about[d.Commit], d)
		}
	}
	base := c.campaign.Base
	return packer.Digests(ctx, append(ids, base), func(commit, digest string) {
		if commit == base && digest != c.campaign.Evaluator && c.campaign.Evaluator != "" {
			c.found("artifacts/"+experiment.CampaignKey(c.tag, "campaign.json"), restore, "its evaluator is built from the sources %s, and the commit %s gives %s", short(c.campaign.Evaluator), short(base), short(digest))
		}
		for _, d := range about[commit] {
			if d.Source != digest {
				c.found(c.resultFile(d.Experiment), restore, "it trained the sources %s, and its candidate %s gives %s", short(d.Source), short(commit), short(digest))
			}
		}
	})
}

// deep reads what is large: models and source archives.
func (c *check) deep(ctx context.Context) error {
	if !c.Deep {
		return nil
	}
	sources := map[string]bool{}
	for _, d := range c.decisions {
		if d.Source != "" && !sources[d.Source] {
			sources[d.Source] = true
			if err := c.holds(ctx, "_sources/"+d.Source+".tar", d.Source, fmt.Sprintf("experiment %d trained", d.Experiment)); err != nil {
				return err
			}
		}
		for _, name := range sorted(d.Records) {
			if recordName.FindStringSubmatch(name) == nil {
				continue
			}
			var run runRecord
			if ok, err := c.json(ctx, d.Experiment, name, &run); err != nil || !ok || run.Model == "" {
				if err != nil {
					return err
				}
				continue
			}
			if err := c.holds(ctx, c.key(d.Experiment, modelOf(name)), run.Model, name+" names"); err != nil {
				return err
			}
		}
	}
	return nil
}

// modelOf is the name of the model of a run: that of its record, differently.
func modelOf(record string) string {
	m := recordName.FindStringSubmatch(record)
	name := "model"
	if m[1] != "0" {
		name += "-" + m[1]
	}
	if m[2] != "" {
		name += "-rev-" + m[2]
	}
	return name + filepath.Ext("x.safetensors")
}
