package experiment

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Names of the data sets that come with the program.
const (
	GoSource    = "go"          // the Go standard library's source code, which needs no download
	TinyStories = "tinystories" // short stories in simple English
	ClimbMix    = "climbmix"    // web text; "climbmix:4" takes four shards for training
)

const (
	// DefaultVocab is the vocabulary of single bytes.
	DefaultVocab = 256
	maxVocab     = 1 << 16

	// DefaultShards is how many shards "climbmix" trains on, and MaxShards how
	// many there are: the one after them is for validation.
	DefaultShards = 10
	MaxShards     = 6542
)

// Dataset is what the setting "dataset" names.
type Dataset struct {
	Name   string // one of the names above; empty for a path
	Shards int    // of ClimbMix
	Path   string // absolute: a file or a directory of text or parquet
}

// String is the setting, without what goes without saying.
func (d Dataset) String() string {
	switch {
	case d.Path != "":
		return d.Path
	case d.Name == ClimbMix && d.Shards != DefaultShards:
		return fmt.Sprintf("%s:%d", d.Name, d.Shards)
	}
	return d.Name
}

// ParseDataset reads the setting "dataset": a name, climbmix with a number of
// shards, or an absolute path. Nothing is GoSource.
func ParseDataset(text string) (Dataset, error) {
	name, shards, numbered := strings.Cut(text, ":")
	switch {
	case text == "":
		return Dataset{Name: GoSource}, nil
	case filepath.IsAbs(text):
		return Dataset{Path: filepath.Clean(text)}, nil
	case text == GoSource, text == TinyStories:
		return Dataset{Name: text}, nil
	case text == ClimbMix:
		return Dataset{Name: ClimbMix, Shards: DefaultShards}, nil
	case name == ClimbMix && numbered:
		n, err := strconv.Atoi(shards)
		if err != nil || n < 1 || n > MaxShards {
			return Dataset{}, fmt.Errorf("dataset is %q: %s has 1 to %d shards, as in %s:%d", text, ClimbMix, MaxShards, ClimbMix, 4)
		}
		return Dataset{Name: ClimbMix, Shards: n}, nil
	}
	meant := ""
	if near := nearestDataset(text); near != "" {
		meant = fmt.Sprintf("did you mean %s? ", near)
	}
	return Dataset{}, fmt.Errorf("dataset is %q: %sit is %s, %s, %s, or the absolute path of a file or a directory", text, meant, GoSource, TinyStories, ClimbMix)
}

// nearestDataset is the name that was probably meant.
func nearestDataset(text string) string {
	text, _, _ = strings.Cut(strings.ToLower(text), ":")
	best, most := "", 0
	for _, name := range []string{GoSource, TinyStories, ClimbMix} {
		if same := 2 * commonLetters(text, name); same >= len(text)+len(name)-4 && same > most {
			best, most = name, same
		}
	}
	return best
}

// commonLetters is the length of the longest common subsequence.
func commonLetters(a, b string) int {
	row := make([]int, len(b)+1)
	for i := range len(a) {
		diagonal := 0
		for j := range len(b) {
			above := row[j+1]
			if a[i] == b[j] {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

// ValidateVocab reports a vocabulary that no corpus can have.
func ValidateVocab(n int) error {
	if n != 0 && (n < DefaultVocab || n > maxVocab) {
		return fmt.Errorf("vocab is %d: a vocabulary has %d tokens, which are the bytes, to %d", n, DefaultVocab, maxVocab)
	}
	return nil
}

// Corpus is the canonical name of the data set; one that cannot be read is
// itself. Campaigns that do not say were made from GoSource.
func (s Settings) Corpus() string {
	d, err := ParseDataset(s.Dataset)
	if err != nil {
		return s.Dataset
	}
	return d.String()
}

// Tokens is the size of the vocabulary.
func (s Settings) Tokens() int {
	if s.Vocab == 0 {
		return DefaultVocab
	}
	return s.Vocab
}

// OnDefaultData says whether a campaign uses the corpus that every machine can
// make by itself, quickly.
func (s Settings) OnDefaultData() bool { return s.Corpus() == GoSource && s.Tokens() == DefaultVocab }
