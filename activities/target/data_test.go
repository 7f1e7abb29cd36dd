package target

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// dataIn describes a data set in a fresh home.
func dataIn(dir string, set experiment.Dataset, vocab int) DataSpec {
	return DataSpec{Evaluator: theFake.evaluator, Dir: filepath.Join(dir, "data"), Downloads: filepath.Join(dir, "downloads"), Dataset: set, Vocab: vocab}
}

// makeData makes a corpus and counts how often the evaluator had to.
func makeData(t *testing.T, s DataSpec) (Corpus, int) {
	t.Helper()
	built := 0
	s.Report = func(line string) {
		if strings.HasPrefix(line, "making the corpus of ") && strings.HasSuffix(line, ": 0s") {
			built++
		}
	}
	c, err := theFake.Data(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !whole(s.Dir, c.Fingerprint) {
		t.Fatalf("the corpus %s is not there", c.Fingerprint)
	}
	left, _ := filepath.Glob(filepath.Join(s.Dir, ".tmp-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return c, built
}

// texts writes a directory of stories.
func texts(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("%03d.txt", i)), fmt.Sprintf("Story %d. ", i)+strings.Repeat("A bear was here. ", 60))
	}
	return dir
}

func TestDataOfAPath(t *testing.T) {
	home, dir := t.TempDir(), texts(t, 100)
	write(t, filepath.Join(dir, "x.bin"), "\x00")
	path := experiment.Dataset{Path: dir}
	first, built := makeData(t, dataIn(home, path, 256))
	if built != 1 || first.Documents != 100 || first.Read.Documents != 100 || first.Read.LeftOut.NoText != 1 || first.Vocab != 256 || first.TrainTokens != first.TrainBytes {
		t.Errorf("built %d times: %+v", built, first)
	}
	if again, built := makeData(t, dataIn(home, path, 256)); again != first || built != 0 {
		t.Errorf("the second time it was built %d times: %+v", built, again)
	}
	// Other tokens, other text, and an evaluator of another version: each gives
	// a corpus of its own, and all stand beside each other.
	tokens, built := makeData(t, dataIn(home, path, 1024))
	if built != 1 || tokens.Fingerprint == first.Fingerprint || tokens.Vocab != 1024 {
		t.Errorf("another vocabulary: built %d times, %+v", built, tokens)
	}
	write(t, filepath.Join(dir, "new.txt"), strings.Repeat("Something new. ", 50))
	changed, built := makeData(t, dataIn(home, path, 256))
	if built != 1 || changed.Fingerprint == first.Fingerprint || changed.Documents != 101 {
		t.Errorf("another text: built %d times, %+v", built, changed)
	}
	for _, c := range []Corpus{first, tokens} {
		if !whole(filepath.Join(home, "data"), c.Fingerprint) {
			t.Errorf("the corpus %s is gone", c.Fingerprint)
		}
	}
	// A corpus that was damaged or deleted is made again.
	if err := os.Truncate(filepath.Join(home, "data", changed.Fingerprint, "val/val.bin"), 7); err != nil {
		t.Fatal(err)
	}
	if again, built := makeData(t, dataIn(home, path, 256)); built != 1 || again.Fingerprint != changed.Fingerprint {
		t.Errorf("after damage: built %d times, %+v", built, again)
	}
	// What a killed process left is cleared away, but not another's.
	write(t, filepath.Join(home, "data/.tmp-path-1/train.docs"), "x")
	s := dataIn(home, path, 512)
	makeData(t, s)
}

func TestDataThatCannotBeMade(t *testing.T) {
	home, large := t.TempDir(), texts(t, 100)
	for name, c := range map[string]struct {
		spec DataSpec
		want string
	}{
		"no such path":           {dataIn(home, experiment.Dataset{Path: "/no/such/place"}, 256), "there is no /no/such/place"},
		"too little":             {dataIn(home, experiment.Dataset{Path: texts(t, 20)}, 256), " to train on, in 20 documents: at least 65536 are needed"},
		"refused by evaluator":   {dataIn(home, experiment.Dataset{Path: large}, 60000), "learning from " + large + ": too little text"},
		"not prepared":           {dataIn(home, experiment.Dataset{Name: experiment.TinyStories}, 256), "the data set tinystories is not prepared: 0 of its 2 files"},
		"another target's needs": {dataIn(home, experiment.Dataset{Name: experiment.ClimbMix, Shards: 4}, 256), "climbmix:4 is not prepared: 0 of its 5 files"},
	} {
		_, err := theFake.Data(t.Context(), c.spec)
		var unusable *dataset.Error
		if !errors.As(err, &unusable) || !strings.Contains(err.Error(), c.want) || unusable.Hint() == "" || !unusable.Input {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(home, "data", ".tmp-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, s := range []DataSpec{dataIn(home, experiment.Dataset{Path: "/tmp"}, 256), dataIn(home, experiment.Dataset{Name: experiment.GoSource}, 512)} {
		if _, err := (Noop{}).Data(t.Context(), s); err == nil || !strings.Contains(err.Error(), "the target noop has a data set of its own") {
			t.Errorf("noop took %v: %v", s.Dataset, err)
		}
	}
}

// Downloads need not be there any more once the corpus is.
func TestDataOfADownload(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("ETag", `"1"`)
		for i := range 3000 {
			fmt.Fprintf(w, "Once there were %d little bears in %s.\n<|endoftext|>\n", i, filepath.Base(r.URL.Path))
		}
	}))
	defer server.Close()
	t.Setenv(dataset.BaseURLEnv, server.URL)
	home := t.TempDir()
	s := dataIn(home, experiment.Dataset{Name: experiment.TinyStories}, 256)
	s.Fetch = true
	c, built := makeData(t, s)
	if built != 1 || c.Documents != 6000 || asked.Load() != 2 {
		t.Errorf("built %d times, %d requests: %+v", built, asked.Load(), c)
	}
	server.Close()
	s.Fetch = false
	if other, built := makeData(t, dataIn(home, s.Dataset, 1024)); built != 1 || other.Fingerprint == c.Fingerprint {
		t.Errorf("another vocabulary: built %d times, %+v", built, other)
	}
	if err := os.Remove(filepath.Join(home, "downloads/tinystories/TinyStoriesV2-GPT4-train.txt")); err != nil {
		t.Fatal(err)
	}
	if again, built := makeData(t, s); again != c || built != 0 {
		t.Errorf("without the downloads: built %d times, %+v", built, again)
	}
}
