package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/activities/scorer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// ManifestFile describes the program under research of target "command", at the
// top of its repository. No candidate may edit it.
const ManifestFile = "autoresearch.json"

// Manifest is the contents of ManifestFile: how a program that is not ours is
// edited, built, trained and scored. Paths are slash paths from the repository's
// top. In commands, {program} is the directory of the built program, which has
// the sources in it, and the other words in braces are those of [Command].
type Manifest struct {
	Name    string      `json:"name"`
	Edit    []string    `json:"edit"`              // files that a candidate may edit
	Sources []string    `json:"sources,omitempty"` // files and trees that a run needs; those above are among them
	Guard   guard.Rules `json:"guard,omitzero"`    // for every edited file

	// Needs are absolute paths on the worker that the commands may read beside the
	// system's own, such as a virtual environment of Python.
	Needs []string `json:"needs,omitempty"`

	Build []string `json:"build,omitempty"` // may write to {program}; none: the sources are the program
	Train []string `json:"train"`
	Score []string `json:"score"` // speaks the scorer protocol, see docs/scorer.md

	Data       ManifestData `json:"data"`
	Window     int          `json:"window"`               // T: tokens of a window that are scored
	Windows    int          `json:"windows,omitempty"`    // at most so many are; 0 is all
	Arithmetic string       `json:"arithmetic,omitempty"` // float32, the default, or bfloat16: what numerics may do
	Lie        float64      `json:"lie,omitempty"`        // bits per byte that are caught for certain; 0 is 0.002
	PriorSD    float64      `json:"prior_sd"`             // of val_bpb between seeds, as far as it is known
}

// ManifestData names token files in the repository. Candidates see the first
// when they train, and the second through the protocol only.
type ManifestData struct {
	Train string `json:"train"` // bytes, or uint16 little-endian where Vocab is above 256
	Val   string `json:"val"`
	// TokenBytes is a JSON list of how many bytes of text each token stands for;
	// it may be left out where tokens are bytes.
	TokenBytes string `json:"token_bytes,omitempty"`
	Vocab      int    `json:"vocab,omitempty"` // 0 is 256
}

func (d ManifestData) files() []string {
	return slices.DeleteFunc([]string{d.Train, d.Val, d.TokenBytes}, func(s string) bool { return s == "" })
}

// readManifest reads and checks the manifest in dir.
func readManifest(dir string) (Manifest, error) {
	name := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("target command: %s has no %s, which says how the program is edited, trained and scored; docs/scorer.md has an example", dir, ManifestFile)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("target command: %w", err)
	}
	m, err := parseManifest(text)
	return m, wrap("target command: "+name, err)
}

func parseManifest(text []byte) (m Manifest, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("reading the manifest: %w", err)
	}
	if m.Arithmetic == "" {
		m.Arithmetic = "float32"
	}
	if m.Data.Vocab == 0 {
		m.Data.Vocab = experiment.DefaultVocab
	}
	return m, m.check()
}

func (m Manifest) check() error {
	_, err := scorer.ToleranceOf(m.Arithmetic)
	switch {
	case err != nil:
		return fmt.Errorf("arithmetic: %w", err)
	case m.Name == "":
		return errors.New("name is missing")
	case len(m.Edit) == 0:
		return errors.New("edit is empty: name the files that a candidate may edit")
	case len(m.Train) == 0 || len(m.Score) == 0:
		return errors.New("train and score are both needed: a command each, as a list of words")
	case m.Window < 1 || m.Window > 1<<20:
		return fmt.Errorf("window is %d: the number of tokens of a window that are scored", m.Window)
	case m.Windows < 0:
		return fmt.Errorf("windows is %d: how many are scored at most, or 0 for all", m.Windows)
	case m.Lie < 0 || m.PriorSD <= 0:
		return fmt.Errorf("lie is %v and prior_sd is %v: both are bits per byte, and the second must be given", m.Lie, m.PriorSD)
	case m.Data.Train == "" || m.Data.Val == "":
		return errors.New("data: train and val are both needed: files of tokens in the repository")
	case m.Data.Vocab < 2 || m.Data.Vocab > 1<<16:
		return fmt.Errorf("data: vocab is %d: 2 to %d", m.Data.Vocab, 1<<16)
	case m.Data.Vocab > experiment.DefaultVocab && m.Data.TokenBytes == "":
		return errors.New("data: token_bytes is missing: bits per byte need to know how many bytes each token stands for")
	}
	if err := m.Guard.Validate(); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	for _, name := range slices.Concat(m.Edit, m.Sources, m.Data.files()) {
		if !filepath.IsLocal(name) || path.Clean(name) != name || strings.HasPrefix(name, ".git") {
			return fmt.Errorf("%q is no path below the repository's top", name)
		}
	}
	for _, name := range m.Needs {
		if !filepath.IsAbs(name) {
			return fmt.Errorf("needs: %q is no absolute path", name)
		}
	}
	for _, name := range m.Edit {
		if name == ManifestFile || slices.ContainsFunc(m.Data.files(), func(d string) bool { return name == d }) {
			return fmt.Errorf("edit: %s must not be edited by candidates", name)
		}
	}
	return nil
}

// sources is what a build needs, each path once and none below another.
func (m Manifest) sources() []string {
	all := slices.Concat([]string{ManifestFile}, m.Edit, m.Sources, m.Data.files())
	slices.Sort(all)
	var list []string
	for _, name := range slices.Compact(all) {
		if !slices.ContainsFunc(list, func(dir string) bool { return strings.HasPrefix(name, dir+"/") }) {
			list = append(list, name)
		}
	}
	return list
}

// design says how many passes of cuts the score takes.
func (m Manifest) design(t scorer.Text) (scorer.Design, error) {
	tolerance, err := scorer.ToleranceOf(m.Arithmetic)
	return scorer.Design{
		Windows: t.Windows(), Positions: t.Positions, Vocab: t.Vocab, Tolerance: tolerance, Lie: m.Lie,
		BytesPerToken: float64(t.Bytes) / float64(t.Windows()*t.Positions),
	}, err
}
