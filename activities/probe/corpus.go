package probe

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed corpus
var corpusFiles embed.FS

// Cheat is one planted candidate and its twin.
type Cheat struct {
	Name  string // of its file
	Title string // what it tries
	Wins  string // why it would win if it were believed
	Twin  string // what the honest twin does

	// Guard are words of the guard's refusal; empty when the guard lets it pass.
	Guard string
	// Smoke, Train and Evaluate are the reasons with which those fail it, any
	// of them, when what comes before has let it pass. Empty where they cannot.
	Smoke, Train, Evaluate []string
	// Harmless says why it gains nothing where nothing fails it.
	Harmless string
	// Needs names what a machine must be able to confine for the sandbox to
	// hold it: files, network, processes. The guard stops it everywhere.
	Needs []string
	// Alone: it acts before main, and so needs a program of its own.
	Alone bool
	// Brute: it takes seconds, or wears out the machine for a moment. A quick
	// probe leaves it out.
	Brute bool

	cheat, twin piece
}

// piece is code to be put into train.go, by place.
type piece struct {
	imports  []string
	top      string            // declarations
	main     string            // statements: first in main
	train    string            // first in Train, which has run
	step     string            // first in each step
	forward  string            // body of a func(ids) that may call forward and run
	exported string            // after the export
	files    map[string]string // whole other files
}

func (p piece) empty() bool {
	return !p.runs() && len(p.files) == 0
}

// runs says whether there is something that could run, beside other files.
func (p piece) runs() bool {
	return strings.TrimSpace(p.top+p.main+p.train+p.step+p.forward+p.exported) != ""
}

// attempt: it only tries to get at something while it trains, so that many can
// try in one run.
func (c *Cheat) attempt() bool {
	p := c.cheat
	return c.Harmless != "" && len(c.Smoke)+len(c.Train)+len(c.Evaluate) == 0 && !c.Brute && !c.Alone &&
		p.train != "" && p.main+p.step+p.forward+p.exported == "" && len(p.imports) > 0
}

// model: it is in the exported graph alone, so that a run can export many.
func (c *Cheat) model() bool {
	p := c.cheat
	return !c.Alone && !c.Brute && p.forward != "" && p.top+p.main+p.train+p.step+p.exported == ""
}

// crafted: it only changes the file of its model, which the evaluation has to
// find out, so that a run can change many copies.
func (c *Cheat) crafted() bool {
	p := c.cheat
	return !c.Alone && !c.Brute && p.exported != "" && len(c.Evaluate) > 0 && len(c.Train) == 0 && p.top+p.main+p.train+p.step+p.forward == ""
}

// Corpus returns all cheats by name.
func Corpus() ([]Cheat, error) {
	names, err := fs.Glob(corpusFiles, "corpus/*.txtar")
	if err != nil {
		return nil, err
	}
	var list []Cheat
	for _, name := range names {
		text, err := corpusFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		c, err := parseCheat(strings.TrimSuffix(path.Base(name), ".txtar"), text)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Cheat) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// parseCheat reads a file of the corpus: a title, fields, and pieces named
// cheat.PLACE or twin.PLACE.
func parseCheat(name string, text []byte) (Cheat, error) {
	archive := txtar.Parse(text)
	c := Cheat{Name: name}
	if err := c.header(string(archive.Comment)); err != nil {
		return c, err
	}
	for _, f := range archive.Files {
		whose, place, _ := strings.Cut(f.Name, ".")
		p := map[string]*piece{"cheat": &c.cheat, "twin": &c.twin}[whose]
		if p == nil {
			return c, fmt.Errorf("section %q is neither cheat.PLACE nor twin.PLACE", f.Name)
		}
		if err := p.set(place, string(f.Data)); err != nil {
			return c, fmt.Errorf("section %q: %w", f.Name, err)
		}
	}
	return c, c.check()
}

// header reads the title, which may take several lines, and the fields after it.
func (c *Cheat) header(text string) error {
	title, fields, _ := strings.Cut(text, "\n\n")
	c.Title = strings.Join(strings.Fields(title), " ")
	for line := range strings.Lines(strings.TrimSpace(fields)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		switch key {
		case "Wins":
			c.Wins = value
		case "Twin":
			c.Twin = value
		case "Guard":
			c.Guard = value
		case "Smoke":
			c.Smoke = list
		case "Train":
			c.Train = list
		case "Evaluate":
			c.Evaluate = list
		case "Harmless":
			c.Harmless = value
		case "Needs":
			c.Needs = list
		case "Alone":
			c.Alone = value == "yes"
		case "Brute":
			c.Brute = value == "yes"
		default:
			return fmt.Errorf("unknown field %q", key)
		}
	}
	return nil
}

func (p *piece) set(place, text string) error {
	name, file, _ := strings.Cut(place, " ")
	switch name {
	case "import":
		p.imports = strings.Fields(text)
	case "top":
		p.top = text
	case "main":
		p.main = text
	case "train":
		p.train = text
	case "step":
		p.step = text
	case "forward":
		p.forward = text
	case "exported":
		p.exported = text
	case "file":
		if p.files == nil {
			p.files = map[string]string{}
		}
		p.files[file] = text
	default:
		return fmt.Errorf("no place %q: there are import, top, main, train, step, forward, exported and file PATH", place)
	}
	return nil
}

// Layers says which defences must catch it, in order, as the list of cheats has it.
func (c *Cheat) Layers() (list []string) {
	if c.Guard != "" {
		list = append(list, "guard")
	}
	for _, l := range []struct {
		name    string
		reasons []string
	}{{"smoke", c.Smoke}, {"train", c.Train}, {"evaluate", c.Evaluate}} {
		if len(l.reasons) > 0 {
			list = append(list, l.name+": "+strings.Join(l.reasons, ", "))
		}
	}
	if len(c.Needs) > 0 {
		list = append(list, "sandbox: "+strings.Join(c.Needs, ", "))
	}
	if c.Harmless != "" {
		list = append(list, "no gain")
	}
	return list
}

// guardOnly: nothing but the guard can catch it, so it is not run.
func (c *Cheat) guardOnly() bool {
	return len(c.Smoke)+len(c.Train)+len(c.Evaluate) == 0 && c.Harmless == ""
}

// features are what Needs may name.
var features = []string{"files", "network", "processes", "memory", "disk"}

// check refuses a cheat that would prove nothing.
func (c *Cheat) check() error {
	switch {
	case c.Title == "" || c.Wins == "" || c.Twin == "":
		return fmt.Errorf("a title and the fields Wins and Twin are needed")
	case c.cheat.empty() || c.twin.empty():
		return fmt.Errorf("cheat and twin both need code")
	case c.Guard == "" && c.guardOnly():
		return fmt.Errorf("no layer is said to catch it, and no reason is given why it gains nothing")
	}
	for _, n := range c.Needs {
		if !slices.Contains(features, n) {
			return fmt.Errorf("Needs: %q is none of %v", n, features)
		}
	}
	return nil
}
