package search

import (
	"strings"
	"testing"
)

const tunable = `package train // range 1..2 is prose here

import "fmt"

const (
	// MatrixLR is documented above.
	MatrixLR  = 0.02   // range 0.001..0.1 log; Muon's step
	RopeBase  = 1e4    // range 100..100_000 log
	Momentum  = 0.95   // range 0.8..0.99
	Shift     = -1.5   // range -2..2; may be negative
	Depth     = 1_0    // range 1..12 int
	BatchSize = 0x10   // one of 16, 8, 4
	Scale     = 1.0    // one of 0.5, 1, 2
	Window    = "SSSL" // one of L, SL, SSSL
	Fixed     = 3      // a remark
)

var Tied = false // one of false, true

func f() { x := 3; fmt.Println(x) } // range is a word
`

func TestParse(t *testing.T) {
	constants, err := Parse("train.go", []byte(tunable))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ name, value, literal string }{
		{"MatrixLR", "0.02", "0.02"}, {"RopeBase", "10000.0", "1e4"}, {"Momentum", "0.95", "0.95"},
		{"Shift", "-1.5", "-1.5"}, {"Depth", "10", "1_0"}, {"BatchSize", "16", "0x10"},
		{"Scale", "1.0", "1.0"}, {"Window", `"SSSL"`, `"SSSL"`}, {"Tied", "false", "false"},
	}
	if len(constants) != len(want) {
		t.Fatalf("%d constants: %v; want %d", len(constants), constants, len(want))
	}
	lines := strings.Split(tunable, "\n")
	for i, w := range want {
		c := constants[i]
		if c.Name != w.name || c.Value != w.value || tunable[c.Offset:c.End] != w.literal {
			t.Errorf("got %s = %s from %q; want %v", c.Name, c.Value, tunable[c.Offset:c.End], w)
		}
		if !strings.Contains(lines[c.Line-1], w.name) {
			t.Errorf("%s is said to be on line %d: %q", c.Name, c.Line, lines[c.Line-1])
		}
	}
	if c := constants[0]; !c.Log || c.Lo != 0.001 || c.Hi != 0.1 || c.Kind != Real {
		t.Errorf("MatrixLR's range was read as %+v", c.Dim)
	}
	if c := constants[5]; c.Kind != Ordered || strings.Join(c.Choices, " ") != "4 8 16" {
		t.Errorf("BatchSize's choices were read as %+v", c.Dim)
	}
}

func TestParseNamesLineAndRule(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`X = 0.2 // range 0.001..0.1 log`, "outside of its range 0.001..0.1"},
		{`X = 2 // range 5..1 int`, "lower end must be below"},
		{`X = 2.0 // range 2..2`, "lower end must be below"},
		{`X = 1.0 // range 0..2 log`, "lower end must be above zero"},
		{`X = 2.0 // range 1..4 int`, "says int"},
		{`X = 2 // range 1.5..4 int`, "its ends must be integers"},
		{`X = 2 // range 1-4`, "written lo..hi"},
		{`X = 2 // range of heads`, "only log and int"},
		{`X = 2 // range 1..4 linear`, "only log and int"},
		{`X = 2 // range 1..inf`, "written lo..hi"},
		{`X = "SSL" // one of L, SL`, "not one of L, SL"},
		{`X = 3 // one of 2, 4`, "not one of 2, 4"},
		{`X = "L" // one of L`, "two values or more"},
		{`X = "L" // one of L, SL, L`, "stands there twice"},
		{`X = "L" // one of the best`, "not one word"},
		{`X = 1 + 1 // range 1..4 int`, "needs a literal"},
		{`X, Y = 1, 2 // range 1..4 int`, "one name and one value"},
		{"X = 1 // range 1..4 int\n\tX = 2 // range 1..4 int", "declared twice"},
	} {
		constants, err := Parse("p.go", []byte("package p\n\nconst (\n\tGood = 1 // range 1..4 int\n\t"+c.line+"\n)\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "p.go:") {
			t.Errorf("%s\ngot  %v\nwant p.go:5: ... %s", c.line, err, c.want)
		}
		if len(constants) == 0 || constants[0].Name != "Good" {
			t.Errorf("%s: the well-formed constant is missing: %v", c.line, constants)
		}
	}
	if _, err := Parse("p.go", []byte("package")); err == nil || !strings.Contains(err.Error(), "p.go:1") {
		t.Errorf("a syntax error gives %v", err)
	}
}

func TestNumbersAreReadAsGoReadsThem(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "-0.5": -0.5, ".5": 0.5, "5.": 5, "1e-3": 0.001, "0x10": 16, "0b11": 3, "010": 8, "0o10": 8, "1_000": 1000, "1_0.5": 10.5, "0.1": 0.1} {
		if got, err := number(text); err != nil || got != want {
			t.Errorf("%s is read as %g, %v; want %g", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "inf", "NaN", "1e999", "1..2", "+1", "x", "1 2", "0x"} {
		if got, err := number(text); err == nil {
			t.Errorf("%q is read as %g; want an error", text, got)
		}
	}
}

func TestSetRewritesLiteralsAlone(t *testing.T) {
	values := map[string]string{"MatrixLR": "3.1e-2", "RopeBase": "10000", "Shift": "0.5", "BatchSize": "8", "Scale": "2", "Window": `"SL"`, "Tied": "true"}
	got, err := Set([]byte(tunable), values)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("0.02  ", "0.031  ", "-1.5", "0.5", "0x10", "8", "= 1.0", "= 2.0", `"SSSL" //`, `"SL" //`, "= false", "= true").Replace(tunable)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for name, want := range map[string]string{"Nope": "no tunable constant named Nope", "Fixed": "named Fixed"} {
		if _, err := Set([]byte(tunable), map[string]string{name: "1"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Set of %s gives %v", name, err)
		}
	}
	if _, err := Set([]byte(tunable), map[string]string{"Depth": "13"}); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("a value out of range gives %v", err)
	}
}

func TestLevelsReadWell(t *testing.T) {
	for _, c := range []struct {
		line, first, last string
		longest           int // digits of the longest level
	}{
		{"X = 0.02 // range 0.002..0.2 log", "0.002", "0.2", 6},
		{"X = 1e4 // range 100..100000 log", "100.0", "100000.0", 8},
		{"X = 0.1 // range 0..0.3", "0.0", "0.3", 5},
		{"X = 0.9 // range 0.8..0.999", "0.8", "0.999", 5},
		{"X = 4 // range 1..12 int", "1", "12", 2},
		{"X = 512 // range 64..4096 int log", "64", "4096", 4},
		{"X = 1e-7 // range 1e-8..1e-5 log", "1e-8", "0.00001", 7},
	} {
		s, _ := space(t, []byte("package p\nconst "+c.line+"\n"))
		levels := s[0].levels()
		if levels[0] != c.first || levels[len(levels)-1] != c.last {
			t.Errorf("%s: levels from %s to %s; want %s to %s", c.line, levels[0], levels[len(levels)-1], c.first, c.last)
		}
		before := -1.0
		for _, l := range levels {
			if u := s[0].unit(l); u <= before || u < 0 || u > 1 {
				t.Errorf("%s: level %s has coordinate %g after %g", c.line, l, u, before)
			} else {
				before = u
			}
			if len(l) > c.longest {
				t.Errorf("%s: level %s is longer than %d", c.line, l, c.longest)
			}
		}
	}
}

func TestSkeletonSeesCodeAlone(t *testing.T) {
	skeleton := func(src string) string {
		constants, err := Parse("p.go", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		return Skeleton([]byte(src), constants)
	}
	base := skeleton(tunable)
	same := strings.NewReplacer("0.02 ", "0.05  ", "-1.5", "1.5", "Muon's step", "a step", "\t", "  ", "false //", "true //").Replace(tunable)
	if skeleton(same) != base {
		t.Error("other values, comments and layout change the skeleton")
	}
	for _, edit := range []string{"x := 3", "Fixed     = 3", "Println(x)"} {
		other := strings.Replace(tunable, edit, strings.NewReplacer("3", "4", "x)", "x, x)").Replace(edit), 1)
		if skeleton(other) == base {
			t.Errorf("a change of %q keeps the skeleton", edit)
		}
	}
}
