package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify"
	"github.com/autoresearch-go/autoresearch/activities/policy"
	"github.com/autoresearch-go/autoresearch/activities/target"
)

const verifyHelp = `Verify checks the ledger of campaigns against itself: the hash chain of decisions,
proposals, patches, candidates and their sources, run records, evaluations, seeds,
refs, the branch, results.tsv, signatures; and it asks the campaign's policy for
each verdict again, with what is recorded. Every line names a file that is wrong
and what to do; without one the status is 0.

It needs no engine and writes nothing, so it works on a copy of a home (--home).

Note the head that it prints. Who has one can tell later whether decisions before
it were changed or taken away: --head DIGEST. So can who has the public key of a
campaign that is signed (up --signing-key): --allowed-signers FILE, with lines as
ssh-keygen wants them: NAME KEYTYPE KEY.`

// verification is one run of the command.
type verification struct {
	*app
	all, deep     bool
	head, signers string
}

// newVerify makes "verify".
func newVerify(a *app) *cobra.Command {
	v := &verification{app: a}
	c := &cobra.Command{
		Use: "verify [TAG...]", Short: "check the ledger of a campaign: chain, artifacts, verdicts", Long: verifyHelp,
		RunE: func(cmd *cobra.Command, tags []string) error { return v.run(cmd.Context(), tags) },
	}
	c.Flags().BoolVar(&v.all, "all", false, "all campaigns of the home (default: the only one, or the latest)")
	c.Flags().BoolVar(&v.deep, "deep", false, "read all models and source archives too")
	c.Flags().StringVar(&v.head, "head", "", "`DIGEST` that was noted earlier, or its beginning: it must be in the chain")
	c.Flags().StringVar(&v.signers, "allowed-signers", "", "`FILE` of those who may sign: every decision must be signed, or covered by a\nlater signature")
	return c
}

// notedHead is what may be a digest, or the beginning of one that is long enough.
var notedHead = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

func (v *verification) run(ctx context.Context, tags []string) error {
	o := verify.Options{
		Home: v.home(), Store: artifact.NewFile(v.home().Artifacts()), Head: strings.ToLower(v.head), Deep: v.deep, Settle: time.Second,
		Targets: target.Builtin(target.Options{}).ByName, Policies: policy.ByName,
	}
	if v.head != "" && !notedHead.MatchString(o.Head) {
		return usage("it is printed by verify: 8 to 64 of the digits 0 to 9 and a to f", "head is %q: no digest", v.head)
	}
	if v.signers != "" {
		s, err := sshsig.ReadSigners(v.under(v.signers))
		if err != nil {
			return usage("name a file with the lines: NAME KEYTYPE KEY", "%w", err)
		}
		o.Signers = &s
	}
	tags, err := v.tags(ctx, tags)
	if err != nil {
		return err
	}
	if o.Head != "" && len(tags) > 1 {
		return usage("name one campaign", "a head belongs to one campaign, and %d are meant", len(tags))
	}
	var wrong []string
	for _, tag := range tags {
		r, err := verify.Run(ctx, tag, o)
		if err != nil {
			return err
		}
		if err := v.print(r); err != nil {
			return err
		}
		if !r.OK() {
			wrong = append(wrong, fmt.Sprintf("%s (%s)", tag, plural(len(r.Findings), "finding")))
		}
	}
	if len(wrong) > 0 {
		return failed("compare with a copy of the home; docs/ledger.md says what each finding means", "the ledger does not verify: %s", strings.Join(wrong, ", "))
	}
	return nil
}

// tags are the campaigns that are meant.
func (v *verification) tags(ctx context.Context, given []string) ([]string, error) {
	if v.all && len(given) > 0 {
		return nil, usage("leave out one of the two", "--all and campaigns by name")
	}
	if v.all {
		all, err := v.recorded(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range all {
			given = append(given, c.Tag())
		}
	}
	if len(given) == 0 {
		tag, err := v.readTag(ctx, "")
		return []string{tag}, err
	}
	for _, tag := range given {
		if err := checkTag(tag); err != nil {
			return nil, err
		}
		keys, err := v.ledgerOf().Store.List(ctx, tag+"/")
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, v.unknownTag(ctx, tag)
		}
	}
	return given, nil
}

// print writes one campaign: findings, then the line to note.
func (v *verification) print(r verify.Report) error {
	if v.json {
		return v.object(r)
	}
	s := v.styleOf(v.stdout)
	for _, f := range r.Findings {
		v.line(s.paint(bad, s.printable(f.File)) + ": " + s.printable(f.Problem+"; "+f.Advice))
	}
	for _, n := range r.Notes {
		v.note("%s", s.printable(n))
	}
	v.line(s.printable(verifyLine(r)))
	return nil
}

// verifyLine is "mar5  9 decisions, chain ok, head 4be1...".
func verifyLine(r verify.Report) string {
	parts := []string{plural(r.Decisions, "decision")}
	switch {
	case r.Broken != "":
		parts = append(parts, "chain broken at "+r.Broken)
	case r.Decisions == 0:
	case r.Chained == 0:
		parts = append(parts, "no chain")
	case r.Chained < r.Decisions:
		parts = append(parts, fmt.Sprintf("chain of the last %d ok", r.Chained))
	default:
		parts = append(parts, "chain ok")
	}
	if at := r.NotedAt; at != nil && *at >= 0 {
		parts = append(parts, fmt.Sprintf("the noted head is decision %d", *at))
	} else if at != nil {
		parts = append(parts, "the noted head is that of the campaign before its first decision")
	}
	if r.Signed > 0 {
		parts = append(parts, fmt.Sprintf("%d signed by %s, %d covered", r.Signed, strings.Join(r.SignedBy, " and "), r.Covered))
	}
	if n := len(r.Findings); n > 0 {
		parts = append(parts, plural(n, "finding"))
	}
	return r.Campaign + "  " + strings.Join(parts, ", ") + ", head " + r.Head
}

// under is a path that was typed here.
func (a *app) under(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.dir, path)
}
