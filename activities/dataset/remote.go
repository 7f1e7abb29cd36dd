package dataset

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// BaseURLEnv names a mirror of Hugging Face's data sets. What is below it has
// the same paths: <base>/<owner>/<name>/resolve/main/<file>.
const BaseURLEnv = "AUTORESEARCH_DATASETS_URL"

// BaseURL is where downloads come from. Hugging Face's own variable for a
// mirror, HF_ENDPOINT, counts too.
func BaseURL() string {
	endpoint := cmp.Or(os.Getenv("HF_ENDPOINT"), "https://huggingface.co")
	base := cmp.Or(os.Getenv(BaseURLEnv), strings.TrimRight(endpoint, "/")+"/datasets")
	return strings.TrimRight(base, "/")
}

// remote is a data set that is downloaded.
type remote struct {
	dir   string   // below the cache
	from  string   // below the base address
	train []string // files
	val   string   // one more file
}

// remoteOf is nil for a data set that is not downloaded.
func remoteOf(set experiment.Dataset) *remote {
	switch set.Name {
	case experiment.TinyStories:
		// The second version of the stories, which GPT-4 alone has written
		// (Eldan and Li, "TinyStories", 2023).
		return &remote{
			dir: "tinystories", from: "roneneldan/TinyStories/resolve/main",
			train: []string{"TinyStoriesV2-GPT4-train.txt"}, val: "TinyStoriesV2-GPT4-valid.txt",
		}
	case experiment.ClimbMix:
		// Shuffled, so that any shards are a sample; the last is for validation,
		// as in Karpathy's autoresearch.
		r := &remote{dir: "climbmix", from: "karpathy/climbmix-400b-shuffle/resolve/main", val: shard(experiment.MaxShards)}
		for i := range set.Shards {
			r.train = append(r.train, shard(i))
		}
		return r
	}
	return nil
}

func shard(i int) string { return fmt.Sprintf("shard_%05d.parquet", i) }

// names lists all files, the one for validation first: it is needed by all.
func (r *remote) names() []string { return slices.Concat([]string{r.val}, r.train) }
