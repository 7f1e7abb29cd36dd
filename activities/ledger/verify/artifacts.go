package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// proposal is what is read of proposal-<revision>-<round>.json.
type proposal struct {
	Title    string           `json:"title"`
	Proposer string           `json:"proposer"`
	Parent   string           `json:"parent"`
	Spent    experiment.Spent `json:"spent"`
}

// runRecord is what is read of run-<k>.json.
type runRecord struct {
	Measurement experiment.Measurement `json:"measurement"`
	Model       string                 `json:"model"`
	Source      string                 `json:"source"`
}

// evaluation is what is read of evaluation.json.
type evaluation struct {
	Measurement experiment.Measurement `json:"measurement"`
}

var (
	proposalName   = regexp.MustCompile(`^proposal-(\d+)-(\d+)\.json$`)
	recordName     = regexp.MustCompile(`^run-(\d+)(?:-rev-(\d+))?(?:-again-(\d+))?\.json$`)
	evaluationName = regexp.MustCompile(`^evaluation(?:-(\d+))?(?:-rev-(\d+))?\.json$`)
)

// rest checks what each decision rests on.
func (c *check) rest(ctx context.Context) error {
	seeds := map[uint64]string{}
	programs := map[string]bool{}
	for _, d := range c.decisions {
		c.plain(d)
		c.seeds(d, seeds)
		if err := c.proposed(ctx, d); err != nil {
			return err
		}
		if err := c.patch(ctx, d); err != nil {
			return err
		}
		if err := c.runs(ctx, d); err != nil {
			return err
		}
		if d.Program != "" && !programs[d.Program] {
			programs[d.Program] = true
			key := experiment.CampaignKey(c.tag, "program-"+d.Program+".md")
			if err := c.holds(ctx, key, d.Program, "experiment "+strconv.Itoa(d.Experiment)+" saw"); err != nil {
				return err
			}
		}
	}
	if c.campaign.Evaluator == "" {
		return nil
	}
	return c.holds(ctx, "_sources/"+c.campaign.Evaluator+".tar", c.campaign.Evaluator, "the evaluator is built from")
}

// holds compares an artifact with the digest that somebody has recorded of it.
func (c *check) holds(ctx context.Context, key, digest, who string) error {
	b, err := c.value(ctx, key)
	if err != nil {
		return err
	}
	if b == nil {
		c.found(file(key), "restore the file from a copy", "it is missing, and %s it", who)
	} else if got := ledger.Digest(b); got != digest {
		c.found(file(key), "restore the file from a copy", "it was changed: %s a file with the digest %s, and this one has %s", who, short(digest), short(got))
	}
	return nil
}

// plain checks a decision against the campaign and its own parts.
func (c *check) plain(d decision) {
	name := c.resultFile(d.Experiment)
	if c.record == "" || c.campaign.Tag() == "" {
		return // said already
	}
	if d.Data != c.campaign.Data {
		c.found(name, restore, "its data have the fingerprint %s, and the campaign's %s", short(d.Data), short(c.campaign.Data))
	}
	if d.Policy != c.campaign.Settings.Policy {
		c.found(name, restore, "it was decided by %s, and the campaign's policy is %s", d.Policy, c.campaign.Settings.Policy)
	}
	if d.Previous != "" && d.Evaluator != c.campaign.Evaluator {
		c.found(name, restore, "its evaluator is built from the sources %s, and the campaign's from %s", short(d.Evaluator), short(c.campaign.Evaluator))
	}
	sums := d.Result
	sums.Sum()
	if !same(sums.ChargedSeconds, d.ChargedSeconds) || !same(sums.WallSeconds, d.WallSeconds) || sums.Tokens != d.Tokens || sums.PeakBytes != d.PeakBytes {
		c.found(name, restore, "its sums are not those of its measurements")
	}
	if check := d.Check; check != nil {
		of, known := c.known[check.Of]
		if !known || of.Sequence >= d.Sequence || of.Commit != check.Commit || d.Commit != check.Commit {
			c.found(name, restore, "it measures experiment %d again, whose candidate is another or not decided before", check.Of)
		}
	}
}

// seeds checks that each run has the seed that its place gives, and that none
// was used twice: a seed that was chosen afterwards can be a lucky one.
func (c *check) seeds(d decision, used map[uint64]string) {
	name := c.resultFile(d.Experiment)
	for k, m := range d.Measurements {
		if by, again := used[m.Seed]; again {
			c.found(name, restore, "the seed %d of run %d was used before, in %s", m.Seed, k, by)
		}
		used[m.Seed] = name
		if c.runOf(d, m) < 0 && c.campaign.Tag() != "" {
			c.found(name, restore, "the seed of run %d is %d, and the campaign's seed gives %d", k, m.Seed, experiment.Seed(c.campaign.Settings.Seed, d.Experiment, k))
		}
	}
}

// runOf finds by its seed which run was measured; -1 is none.
func (c *check) runOf(d decision, m experiment.Measurement) int {
	for k := range max(len(d.Measurements), c.campaign.Settings.Seeds) {
		if m.Seed == experiment.Seed(c.campaign.Settings.Seed, d.Experiment, k) {
			return k
		}
	}
	return -1
}

// proposed checks the proposal that was used, and what all of them cost.
func (c *check) proposed(ctx context.Context, d decision) error {
	newest, at := "", [2]int{-1, -1}
	var spent experiment.Spent
	for _, name := range sorted(c.names[d.Experiment]) {
		m := proposalName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		var p proposal
		if ok, err := c.json(ctx, d.Experiment, name, &p); err != nil || !ok {
			return err
		}
		spent.Add(p.Spent)
		revision, _ := strconv.Atoi(m[1])
		round, _ := strconv.Atoi(m[2])
		if place := [2]int{revision, round}; slices.Compare(place[:], at[:]) > 0 {
			newest, at = name, place
		}
	}
	result := c.resultFile(d.Experiment)
	if !same(spent, d.Spent) {
		c.found(result, restore, "what it says was spent on proposals is not what those say that are stored")
	}
	switch {
	case newest == "" && d.Proposed != "":
		c.found(result, "restore the proposal from a copy", "the proposal that it rests on is missing")
		return nil
	case newest == "":
		return nil
	case d.Proposed != "":
		if err := c.holds(ctx, c.key(d.Experiment, newest), d.Proposed, fmt.Sprintf("decision %d rests on", d.Sequence)); err != nil {
			return err
		}
	}
	var p proposal
	if ok, err := c.json(ctx, d.Experiment, newest, &p); err != nil || !ok {
		return err
	}
	if p.Title != d.Title || p.Proposer != d.Proposer || p.Parent != d.Parent {
		c.found(result, restore, "its title, proposer or parent is not that of %s", newest)
	}
	return nil
}

// patch checks the stored patch. What is in it is compared with the candidate in
// git.go.
func (c *check) patch(ctx context.Context, d decision) error {
	if d.Patch == "" {
		return nil
	}
	return c.holds(ctx, c.key(d.Experiment, "candidate.patch"), d.Patch, fmt.Sprintf("decision %d rests on", d.Sequence))
}

// runs checks that what was measured is what the runs and evaluations have left.
func (c *check) runs(ctx context.Context, d decision) error {
	for _, name := range sorted(d.Records) {
		if recordName.FindStringSubmatch(name) == nil && evaluationName.FindStringSubmatch(name) == nil {
			c.found(c.resultFile(d.Experiment), restore, "it rests on %s, which is no record of a run", name)
			continue
		}
		if err := c.holds(ctx, c.key(d.Experiment, name), d.Records[name], fmt.Sprintf("decision %d rests on", d.Sequence)); err != nil {
			return err
		}
	}
	for k, m := range d.Measurements {
		if run := c.runOf(d, m); run >= 0 {
			k = run
		}
		if err := c.measured(ctx, d, k, m); err != nil {
			return err
		}
	}
	return nil
}

// measured checks one measurement.
func (c *check) measured(ctx context.Context, d decision, k int, m experiment.Measurement) error {
	names := c.names[d.Experiment]
	if d.Previous != "" { // the decision says which
		names = map[string]bool{}
		for name := range d.Records {
			names[name] = true
		}
	}
	result := c.resultFile(d.Experiment)
	record, score := newest(recordName, names, k), newest(evaluationName, names, k)
	if record == "" {
		c.found(result, restore, "there is no record of run %d, which it measures", k)
		return nil
	}
	var run runRecord
	if ok, err := c.json(ctx, d.Experiment, record, &run); err != nil || !ok {
		return err
	}
	if d.Source != "" && run.Source != "" && run.Source != d.Source {
		c.found(result, restore, "its sources are %s, and %s trained %s", short(d.Source), record, short(run.Source))
	}
	if m.Failure != nil && score == "" {
		if !same(m, run.Measurement) {
			c.found(result, restore, "its measurement of run %d is not that of %s: %s", k, record, differs(m, run.Measurement))
		}
		return nil
	}
	if score == "" {
		c.found(result, restore, "there is no evaluation of run %d, whose score it has", k)
		return nil
	}
	var e evaluation
	if ok, err := c.json(ctx, d.Experiment, score, &e); err != nil || !ok {
		return err
	}
	if !same(m, e.Measurement) {
		c.found(result, restore, "its measurement of run %d is not that of %s: %s", k, score, differs(m, e.Measurement))
	}
	if t := run.Measurement; t.Seed != m.Seed || !same(t.ChargedSeconds, m.ChargedSeconds) || t.Tokens != m.Tokens || t.Steps != m.Steps {
		c.found(result, restore, "its measurement of run %d is not that of %s: %s", k, record, differs(m, t, "seed", "charged_seconds", "tokens", "steps"))
	}
	return nil
}

// newest picks the file of run k that counts: of the last revision, of the last
// time it was trained.
func newest(pattern *regexp.Regexp, names map[string]bool, k int) (name string) {
	most := []int{-1, -1}
	for _, n := range sorted(names) {
		m := pattern.FindStringSubmatch(n)
		if m == nil {
			continue
		}
		place := []int{0, 0}
		run, _ := strconv.Atoi(m[1]) // run 0 of evaluations has no number
		for i := range m[2:] {
			place[i], _ = strconv.Atoi(m[2+i])
		}
		if run == k && slices.Compare(place, most) > 0 {
			name, most = n, place
		}
	}
	return name
}

// json reads an artifact of an experiment. One that is missing or damaged is a
// finding.
func (c *check) json(ctx context.Context, n int, name string, v any) (ok bool, err error) {
	key := c.key(n, name)
	b, err := c.value(ctx, key)
	switch {
	case err != nil:
		return false, err
	case b == nil:
		c.found(file(key), restore, "it is missing")
		return false, nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		c.found(file(key), restore, "it cannot be read: %v", err)
		return false, nil
	}
	return true, nil
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare)
	return names
}

// same compares two values as their JSON has them. Another processor may round
// the last digits of a number in another way.
func same(a, b any) bool { return len(differences(a, b)) == 0 }

// differs names the fields that differ, with both values: "val_bpb 1.2 there 1.3".
func differs(a, b any, only ...string) string {
	var parts []string
	for _, d := range differences(a, b) {
		if name, _, _ := strings.Cut(d, " "); len(only) == 0 || slices.Contains(only, name) {
			parts = append(parts, d)
		}
	}
	return strings.Join(parts, ", ")
}

func differences(a, b any) []string {
	return compare("", plainJSON(a), plainJSON(b))
}

// plainJSON is a value as maps, lists and numbers.
func plainJSON(v any) (out any) {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v) // not a number, say
	}
	_ = json.Unmarshal(b, &out) // what was just made
	return out
}

func compare(name string, a, b any) []string {
	differ := func() []string {
		return []string{strings.TrimSpace(fmt.Sprintf("%s is %s, there %s", name, show(a), show(b)))}
	}
	switch x := a.(type) {
	case float64:
		y, ok := b.(float64)
		if !ok || !near(x, y) {
			return differ()
		}
		return nil
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return differ()
		}
		var all []string
		fields := map[string]bool{}
		for f := range x {
			fields[f] = true
		}
		for f := range y {
			fields[f] = true
		}
		for _, f := range sorted(fields) {
			all = append(all, compare(strings.TrimPrefix(name+"."+f, "."), x[f], y[f])...)
		}
		return all
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return differ()
		}
		var all []string
		for i := range x {
			all = append(all, compare(fmt.Sprintf("%s[%d]", name, i), x[i], y[i])...)
		}
		return all
	}
	if a != b {
		return differ()
	}
	return nil
}

// near allows for the last digits.
func near(x, y float64) bool {
	d := x - y
	return d == 0 || max(d, -d) <= 1e-9*max(x, -x, y, -y)
}

// show is a value of JSON, not too long.
func show(v any) string {
	if v == nil {
		return "nothing"
	}
	b, _ := json.Marshal(v)
	if len(b) > 60 {
		return string(b[:57]) + "..."
	}
	return string(b)
}
