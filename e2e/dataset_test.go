package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// corpusOf is what "prepare --json" says.
type corpusOf struct {
	Dataset       string  `json:"dataset"`
	Vocab         int     `json:"vocab"`
	Fingerprint   string  `json:"fingerprint"`
	Directory     string  `json:"directory"`
	TrainBytes    int     `json:"train_bytes"`
	TrainTokens   int     `json:"train_tokens"`
	BytesPerToken float64 `json:"bytes_per_token"`
}

func (u *user) prepare(args ...string) (c corpusOf) {
	u.t.Helper()
	require.NoError(u.t, json.Unmarshal([]byte(u.run(append([]string{"prepare", "--json"}, args...)...)), &c))
	return c
}

// A campaign on a directory of text with a learned vocabulary: what was prepared
// is what its results are measured on, also after the text has changed and
// everything that can be made again is gone. Other data sets stand beside it.
func TestDatasets(t *testing.T) {
	u := newUser(t)
	u.downloaded()

	texts := filepath.Join(t.TempDir(), "my texts")
	require.NoError(t, os.CopyFS(texts, os.DirFS("../activities")))
	require.NoError(t, os.WriteFile(filepath.Join(texts, "picture.png"), []byte("\x89PNG\x00"), 0o644))
	c := u.prepare("--dataset", texts, "--vocab", "1024")
	require.Equal(t, 1024, c.Vocab)
	require.Greater(t, c.BytesPerToken, 2.0)
	require.FileExists(t, filepath.Join(c.Directory, "train", "tokens.json"))

	const tag = "texts"
	up := func(more ...string) []string {
		return append([]string{"up", plain, "--tag", tag, "--budget", "1s", "--seeds", "1", "--exit"}, more...)
	}
	u.start(up("--experiments", "1", "--dataset", texts, "--vocab", "1024")...).wait()
	u.checkLedger(tag, 1)
	u.madeFrom(tag, 1, c.Fingerprint)
	u.fails(4, "vocab is 1024 there, not 256", up("--vocab", "256")...)
	u.fails(4, "there, not go", up("--dataset", "go")...)

	require.NoError(t, os.WriteFile(filepath.Join(texts, "new.txt"), []byte("Something new."), 0o644))
	require.NotEqual(t, c.Fingerprint, u.prepare("--dataset", texts, "--vocab", "1024").Fingerprint)
	require.NoError(t, os.RemoveAll(c.Directory))
	u.start(up("--experiments", "2")...).wait()
	u.checkLedger(tag, 2)
	u.madeFrom(tag, 2, c.Fingerprint)
	require.DirExists(t, c.Directory, "the data that it began with are back")
}

// madeFrom checks on what data results were measured.
func (u *user) madeFrom(tag string, experiments int, fingerprint string) {
	u.t.Helper()
	for n := range experiments + 1 {
		var r experiment.Result
		text, err := os.ReadFile(filepath.Join(experiment.Home(u.home).Artifacts(), experiment.Key(tag, n, "result.json")))
		require.NoError(u.t, err)
		require.NoError(u.t, json.Unmarshal(text, &r))
		require.Equal(u.t, fingerprint, r.Data, "experiment %d", n)
	}
}

// downloaded is somebody whose download fails at first.
func (u *user) downloaded() {
	t := u.t
	var stories strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&stories, "Once there were %d little bears.\n<|endoftext|>\n", i)
	}
	var broken atomic.Bool
	broken.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(stories.String()))
	}))
	defer server.Close()
	u.env = append(u.env, dataset.BaseURLEnv+"="+server.URL)
	u.fails(1, "the server answers 404", "prepare", "--dataset", "tinystories")
	broken.Store(false)
	c := u.prepare("--dataset", "tinystories")
	require.Equal(t, "tinystories", c.Dataset)
	require.Positive(t, c.TrainBytes)
	server.Close()
	require.Equal(t, c, u.prepare("--dataset", "tinystories"), "found again without a network")
}
