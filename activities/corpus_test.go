package activities

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// onText is the target noop, trained on documents: its corpora differ by data
// set, vocabulary and text.
type onText struct {
	target.Noop
	specs *[]target.DataSpec
}

func (o onText) Data(ctx context.Context, s target.DataSpec) (target.Corpus, error) {
	*o.specs = append(*o.specs, s)
	if s.Dataset.Name == experiment.GoSource {
		return o.Noop.Data(ctx, s)
	}
	source, err := dataset.Find(s.Dataset, dataset.Options{Cache: s.Downloads, Fetch: s.Fetch})
	if err != nil {
		return target.Corpus{}, err
	}
	dir, err := os.MkdirTemp(s.Dir, "x-")
	if err != nil {
		return target.Corpus{}, err
	}
	docs, err := source.Write(ctx, dir)
	if err != nil {
		return target.Corpus{}, err
	}
	fingerprint := docs.Digest[:20]
	root := filepath.Join(s.Dir, fingerprint)
	for from, to := range map[string]string{docs.Train: "train/train.bin", docs.Val: "val/val.bin"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, to)), 0o755); err != nil {
			return target.Corpus{}, err
		}
		if err := os.Rename(from, filepath.Join(root, to)); err != nil {
			return target.Corpus{}, err
		}
	}
	return target.Corpus{Fingerprint: fingerprint, Vocab: s.Vocab}, nil
}

// withText gives a worker that target instead of noop.
func withText(r *Research) *[]target.DataSpec {
	specs := &[]target.DataSpec{}
	r.Targets = func(string) (target.Target, error) { return onText{specs: specs}, nil }
	return specs
}

func bears(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "bears.txt")
	writeFile(t, path, strings.Repeat("There was a bear. ", 10_000))
	return path
}

// The data of a campaign are those that it began with, whatever becomes of the
// files that they were made of.
func TestPrepareOnAPath(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	specs := withText(r)
	path := bears(t)
	s := testSettings()
	s.Dataset, s.Vocab = path, 512
	first := must(t, r, r.Prepare, PrepareInput{s}).Campaign
	if got := (*specs)[0]; len(*specs) != 1 || got.Dataset.Path != path || got.Vocab != 512 || got.Fetch || got.Downloads != r.Home.Downloads() {
		t.Errorf("the data were made with %+v", *specs)
	}
	if _, err := os.Stat(filepath.Join(r.Home.Artifacts(), "_data", first.Data, "train/train.bin")); err != nil {
		t.Errorf("the data are not pinned: %v", err)
	}
	writeFile(t, path, strings.Repeat("There was a wolf. ", 10_000))
	if err := os.RemoveAll(r.Home.Cache()); err != nil {
		t.Fatal(err)
	}
	again := must(t, r, r.Prepare, PrepareInput{s}).Campaign
	if again.Data != first.Data || len(*specs) != 1 {
		t.Errorf("the campaign goes on with %s, not %s", again.Data, first.Data)
	}
	if _, err := os.Stat(r.Home.Data(first.Data) + "/val/val.bin"); err != nil {
		t.Errorf("the data are not back: %v", err)
	}
	s.Tag = "other"
	if other := must(t, r, r.Prepare, PrepareInput{s}).Campaign; other.Data == first.Data {
		t.Error("another text has the same fingerprint")
	}
	for given, want := range map[string]experiment.Settings{
		"dataset is " + path + " there, not go":          {Tag: "mar5", Dataset: "go"},
		"dataset is " + path + " there, not tinystories": {Tag: "mar5", Dataset: "tinystories"},
		"vocab is 512 there, not 1024":                   {Tag: "mar5", Vocab: 1024},
	} {
		_, err := do(t, r, r.Prepare, PrepareInput{want})
		wantRefusal(t, err, ErrSettingsConflict, false, "campaign mar5 exists with other settings: "+given)
	}
}

// What is not on this host is refused at once, with the command that gets it.
func TestPrepareOnDataThatAreNotThere(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	withText(r)
	of := func(dataset string, vocab int) experiment.Settings {
		s := testSettings()
		s.Dataset, s.Vocab = dataset, vocab
		return s
	}
	for _, c := range []struct {
		s     experiment.Settings
		kind  string
		words []string
	}{
		{of("tinystories", 0), ErrDataset, []string{"the data set tinystories is not prepared", "fetch it with: autoresearch prepare --home " + string(r.Home) + " --dataset tinystories"}},
		{of("climbmix:4", 1024), ErrDataset, []string{"climbmix:4 is not prepared", "--dataset climbmix:4"}},
		{of("/no/such/place", 0), ErrDataset, []string{"there is no /no/such/place"}},
		{of(t.TempDir(), 0), ErrDataset, []string{"has no file of text"}},
		{of("tinystory", 0), ErrInvalidSettings, []string{`dataset is "tinystory": did you mean tinystories?`}},
		{of("stories.txt", 0), ErrInvalidSettings, []string{"absolute path"}},
		{of("go", 100), ErrInvalidSettings, []string{"vocab is 100"}},
	} {
		_, err := do(t, r, r.Prepare, PrepareInput{c.s})
		wantRefusal(t, err, c.kind, false, c.words...)
	}
	keys, err := r.Store.List(t.Context(), "mar5/")
	if err != nil || slices.Contains(keys, experiment.CampaignKey("mar5", campaignFile)) {
		t.Errorf("a campaign was begun: %v, %v", keys, err)
	}
	r.Targets = target.Builtin(target.Options{}).ByName
	_, err = do(t, r, r.Prepare, PrepareInput{of("go", 1024)})
	wantRefusal(t, err, ErrDataset, false, "the target noop has a data set of its own")
}

// Results on other data are not compared, though the record of a campaign is lost.
func TestPrepareWithLostRecord(t *testing.T) {
	r := newResearch(t, newCheckout(t), setLR("0.02"))
	withText(r)
	s := testSettings()
	s.Dataset = bears(t)
	c := must(t, r, r.Prepare, PrepareInput{s}).Campaign
	baseline(t, r, c)
	record := filepath.Join(r.Home.Artifacts(), experiment.CampaignKey(c.Tag(), campaignFile))
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	if again := must(t, r, r.Prepare, PrepareInput{s}).Campaign; again.Data != c.Data {
		t.Errorf("the same text gave the data %s, not %s", again.Data, c.Data)
	}
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.Dataset, strings.Repeat("There was a wolf. ", 10_000))
	_, err := do(t, r, r.Prepare, PrepareInput{s})
	wantRefusal(t, err, ErrLedger, false, "experiment 0 of campaign mar5 was measured on the data "+c.Data[:12], "mar5/campaign.json is lost", "another tag")
	if _, err := os.Stat(record); err == nil {
		t.Error("it was recorded all the same")
	}
}

func TestPrepareCorpus(t *testing.T) {
	dir := newCheckout(t)
	r := newResearch(t, dir, setLR("0.02"))
	specs := withText(r)
	writeFile(t, filepath.Join(dir, "noop/train.go"), "package dirty\n") // what is committed counts
	s := testSettings()
	s.Dataset = bears(t)
	var said []string
	c, err := PrepareCorpus(t.Context(), r, s, func(line string) { said = append(said, line) })
	if err != nil || !isDir(r.Home.Data(c.Fingerprint)) || !slices.Contains(said, "looking at the data set and building the evaluator") || !(*specs)[0].Fetch {
		t.Errorf("PrepareCorpus gave %+v, %v; it said %q", c, err, said)
	}
	git(t, dir, "checkout", "-q", ".")
	if campaign := must(t, r, r.Prepare, PrepareInput{s}).Campaign; campaign.Data != c.Fingerprint {
		t.Errorf("the campaign is on %s, prepared was %s", campaign.Data, c.Fingerprint)
	}
	s.Dataset = "nonsense"
	if _, err := PrepareCorpus(t.Context(), r, s, func(string) {}); err == nil {
		t.Error("nonsense was prepared")
	}
}
