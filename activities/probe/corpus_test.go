package probe

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/target"
)

func corpus(t *testing.T) []Cheat {
	t.Helper()
	list, err := Corpus()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// trainer is train.go as it stands.
func trainer(t *testing.T) *graft {
	t.Helper()
	src, err := os.ReadFile("../../" + trainFile)
	if err != nil {
		t.Fatal(err)
	}
	g, err := parseTrainer(src)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGuard asks the guard about every cheat and every twin.
func TestGuard(t *testing.T) {
	p := &probe{t: target.NewGoGPT(target.Options{}), graft: trainer(t)}
	list := corpus(t)
	if len(list) < 40 {
		t.Errorf("%d cheats, want 40 or more", len(list))
	}
	for _, c := range list {
		for _, wrong := range p.guard(c) {
			t.Errorf("%s: %s", c.Name, wrong)
		}
		twin := p.graft.with([]part{{piece: c.twin}}, nil)
		if f := p.t.Guard(trainFile, twin); f != nil {
			t.Errorf("%s: the guard refuses its honest twin: %s", c.Name, f.Message)
		}
		if _, f := p.t.Format(trainFile, twin); f != nil {
			t.Errorf("%s: its honest twin: %s", c.Name, f.Message)
		}
	}
}

func TestParseCheat(t *testing.T) {
	const good = "Does it.\n\nWins: w\nTwin: t\nGuard: os\n-- cheat.train --\nx()\n-- twin.step --\ny()\n"
	for name, c := range map[string]struct{ old, new, want string }{
		"good":     {"", "", ""},
		"field":    {"Guard:", "Gard:", `unknown field "Gard"`},
		"place":    {"cheat.train", "cheat.trains", `no place "trains"`},
		"whose":    {"twin.step", "twins.step", "neither cheat.PLACE nor twin.PLACE"},
		"twinless": {"y()\n", "", "cheat and twin both need code"},
		"unsaid":   {"Wins: w", "", "Wins and Twin are needed"},
		"uncaught": {"Guard: os", "", "no layer is said to catch it"},
		"needs":    {"Guard: os", "Guard: os\nNeeds: luck", `"luck" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCheat("x", []byte(strings.Replace(good, c.old, c.new, 1)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestGraft: cheats find their places in other programs of the same kind.
func TestGraft(t *testing.T) {
	const other = `package main

import "x/harness"

const Depth = 4 // range 1..12 int

func main() { harness.Main(Learn) }

func Learn(r *harness.Run) error {
	m := newModel(r)
	for r.Next() {
		r.Step(m.loss(r), 0)
	}
	return r.Export(8, m.forward)
}
`
	g, err := parseTrainer([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	all := piece{imports: []string{"os"}, top: "var top int", main: "mainly()", train: "first()", step: "stepping()", forward: "return forward(ids)", exported: "last()"}
	src := string(g.with([]part{{piece: all}, {all, "on"}}, map[string]string{"Depth": "1", "Absent": "2"}))
	if _, err := parser.ParseFile(token.NewFileSet(), "", src, 0); err != nil {
		t.Fatalf("%v in\n%s", err, src)
	}
	at := 0
	for _, want := range []string{`import "os"`, "Depth = 1 //", "mainly()", "if on {", "harness.Main", "run := r", "first()", "for r.Next()", "stepping()", "r.Step",
		"forward := m.forward", "forward = forward0(r, forward)", "if on {\nforward = forward1", "r.Export(8, forward)", "last()", "return nil", "var top int", "func forward0"} {
		i := strings.Index(src[at:], want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of\n%s", want, at, src)
		}
		at += i
	}
	for old, want := range map[string]string{"harness.Main(Learn)": "harness.Main", "r.Next()": "no loop", "return r.Export": "return nil //"} {
		if _, err := parseTrainer([]byte(strings.Replace(other, old, "nothing()", 1))); err == nil {
			t.Errorf("without %s there is no error about %s", old, want)
		}
	}
}
