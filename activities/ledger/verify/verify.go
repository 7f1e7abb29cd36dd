// Package verify checks the ledger of a campaign against itself.
//
// Each decision names what it rests on and the decision before it, by sha256
// (package ledger). [Run] recomputes all of it from a home, or a copy of one,
// and says what is wrong where:
//
//	chain.go       order, links, the campaign's record, a noted head, signatures
//	artifacts.go   what a decision rests on: proposal, runs, evaluations, seeds
//	git.go         candidates: refs, parents, edits, patches, source archives
//	decide.go      the policy gives the same verdict again
//	derived.go     results.tsv and the branch
//
// Nothing is written and no engine is asked. What the checks prove, and what
// they cannot, is in docs/ledger.md.
//
// # Errors
//
// What is wrong with a ledger is a [Finding]. An error is ours: a disk that
// cannot be read, a git that does not run.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Options says what is checked, and with what.
type Options struct {
	Home     experiment.Home
	Store    artifact.Store
	Targets  func(name string) (target.Target, error)
	Policies func(name string) (policy.Policy, error)
	Head     string          // a digest that somebody has noted, or its beginning: it must be in the chain
	Signers  *sshsig.Signers // who may sign: then every decision must be signed; nil takes any signature that holds
	Deep     bool            // read models and source archives too
	Settle   time.Duration   // wait so long, and look again, before a table or a ref is called wrong
}

// Finding is one thing that is wrong.
type Finding struct {
	File    string `json:"file"` // below the home
	Problem string `json:"problem"`
	Advice  string `json:"advice"`
	derived bool   // may be on its way, while a campaign decides
}

func (f Finding) String() string { return f.File + ": " + f.Problem + "; " + f.Advice }

// Report is what a check of a campaign gave.
type Report struct {
	Campaign  string    `json:"campaign"`
	Decisions int       `json:"decisions"`
	Chained   int       `json:"chained"`             // those with a link to the one before; earlier versions made none
	Broken    string    `json:"broken,omitempty"`    // the first file where the chain does not hold
	Head      string    `json:"head"`                // digest of the newest decision
	NotedAt   *int      `json:"noted_at,omitempty"`  // the decision that Options.Head is the digest of; -1 is the campaign's record
	Signed    int       `json:"signed"`              // decisions with a signature that holds
	SignedBy  []string  `json:"signed_by,omitempty"` // names, or fingerprints
	Unsigned  []int     `json:"unsigned,omitempty"`  // experiments without one; of a signed campaign
	Covered   int       `json:"covered"`             // decisions that a signature covers, by itself or by the chain
	Findings  []Finding `json:"findings"`            // in order of decision
	Notes     []string  `json:"notes,omitempty"`     // what could not be checked, and why
}

// OK says that nothing is wrong.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// Run checks a campaign. While it decides, a table or a ref may be behind for a
// moment, so what is derived is looked at again before it is called wrong.
func Run(ctx context.Context, tag string, o Options) (Report, error) {
	r, err := once(ctx, tag, o)
	if err != nil || o.Settle == 0 || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.derived }) {
		return r, err
	}
	select {
	case <-ctx.Done():
		return r, ctx.Err()
	case <-time.After(o.Settle):
	}
	return once(ctx, tag, o)
}

func once(ctx context.Context, tag string, o Options) (Report, error) {
	c := &check{Options: o, tag: tag, report: Report{Campaign: tag, Findings: []Finding{}}}
	for _, step := range []func(context.Context) error{
		c.read, c.chain, c.signatures, c.rest, c.candidates, c.redecide, c.derived, c.deep,
	} {
		if err := step(ctx); err != nil {
			return c.report, fmt.Errorf("checking campaign %s: %w", tag, err)
		}
	}
	c.report.Findings = ordered(c.report.Findings)
	return c.report, nil
}

// check is one look at one campaign.
type check struct {
	Options
	tag       string
	report    Report
	campaign  experiment.Campaign
	record    string                  // digest of the campaign's record; "" where there is none
	names     map[int]map[string]bool // artifacts by experiment
	decisions []decision              // by sequence, as far as they can be read
	known     map[int]decision        // by experiment
	target    target.Target           // nil where it is not known
}

// decision is a result and the bytes that it is stored as.
type decision struct {
	experiment.Result
	digest string
	bytes  []byte // nil once they are checked
}

func (c *check) key(n int, name string) string { return experiment.Key(c.tag, n, name) }

// file is where an artifact lies below the home.
func file(key string) string { return "artifacts/" + key }

func (c *check) resultFile(n int) string { return file(c.key(n, "result.json")) }

// found adds a finding.
func (c *check) found(file, advice, problem string, args ...any) {
	c.report.Findings = append(c.report.Findings, Finding{File: file, Problem: fmt.Sprintf(problem, args...), Advice: advice})
}

// late adds a finding on something that follows decisions.
func (c *check) late(file, advice, problem string, args ...any) {
	c.found(file, advice, problem, args...)
	c.report.Findings[len(c.report.Findings)-1].derived = true
}

func (c *check) note(text string, args ...any) {
	text = fmt.Sprintf(text, args...)
	if !slices.Contains(c.report.Notes, text) {
		c.report.Notes = append(c.report.Notes, text)
	}
}

// value reads an artifact; nil is none.
func (c *check) value(ctx context.Context, key string) ([]byte, error) {
	r, err := c.Store.Open(ctx, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading artifact %s: %w", key, err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// ordered puts findings of one file together, and the same twice once. The files
// are in order of their first finding, those of experiments by number.
func ordered(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int { return strings.Compare(filepath.Dir(a.File), filepath.Dir(b.File)) })
	return slices.Compact(all)
}

// What to do about a finding.
const (
	restore  = "restore the file from a copy, or trust nothing from this decision on"
	repaired = "a worker that starts makes it again"
	noted    = "compare the home with a copy, and trust nothing that is newer than the copy"
)

// short is the beginning of a digest or a commit, as people note it.
func short(digest string) string {
	if digest == "" {
		return "nothing"
	}
	return digest[:min(12, len(digest))]
}
