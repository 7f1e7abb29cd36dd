package guard

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// refused checks a failure against what it has to say; want "" is none.
func refused(t *testing.T, name string, f *experiment.Failure, want string) {
	t.Helper()
	switch {
	case f == nil && want == "":
	case f == nil:
		t.Errorf("%s: accepted, want a refusal with %q", name, want)
	case f.Reason != experiment.InvalidEdit || want == "" || !strings.Contains(f.Message, want):
		t.Errorf("%s: refused with %+v, want %q", name, f, want)
	}
}

func imports(names ...string) *[]string { return &names }

func TestRules(t *testing.T) {
	plain := Rules{}
	small := Rules{MaxBytes: 10}
	torch := Rules{Imports: imports("math", "torch")}
	data := Rules{MaxLiteralBytes: 20}
	fixed := Rules{Protected: []Pattern{{`(?m)^\s*TIME_BUDGET\b.*$`, "the budget is the campaign's"}}}
	no := Rules{Forbidden: []Pattern{{`\.cuda\(`, "the worker chooses the device"}}}
	for name, c := range map[string]struct {
		rules           Rules
		path, base, src string
		want            string
	}{
		"text":              {plain, "a.toml", "", "x = 1 # ünï\n", ""},
		"binary":            {plain, "a.toml", "", "x\n\xff\n", "a.toml:2: not valid UTF-8"},
		"too big":           {small, "a.toml", "", "01234567890", "at most 10 are allowed (rule: size)"},
		"carriage return":   {plain, "a.toml", "", "a\rb\n", "a.toml:1: control character U+000D"},
		"windows":           {plain, "a.toml", "", "a\r\nb\r\n", ""},
		"bidi":              {plain, "a.py", "", "x = 1\n# \u202e1 = y\n", "a.py:2: the character U+202E"},
		"isolate":           {plain, "a.py", "", "x = '\u2066'\n", "U+2066"},
		"zero width":        {plain, "a.py", "", "x\u200b = 1\n", "U+200B"},
		"filler":            {plain, "a.py", "", "\u3164 = 1\n", "U+3164"},
		"tag":               {plain, "a.py", "", "# \U000E0041\n", "U+E0041"},
		"C1":                {plain, "a.py", "", "# \u009b31m\n", "control character U+009B"},
		"byte order mark":   {plain, "a.py", "", "\ufeffx = 1\n", "U+FEFF"},
		"import":            {torch, "a.py", "", "import math, torch.nn as nn\nfrom torch.optim import (Adam,\n SGD)\nimport torch\n", ""},
		"os":                {torch, "a.py", "", "import math\nimport torch, os as torchos\n", "a.py:2: import of os is not allowed: only math, torch may"},
		"indented":          {torch, "a.py", "", "def f():\n  if x: import os\n", "a.py:2: import of os"},
		"from":              {torch, "a.py", "", "x = 1; from os.path import join as import_\n", "import of os.path is"},
		"near":              {torch, "a.py", "", "import torchos\n", "import of torchos"},
		"relative":          {torch, "a.py", "", "from . import x\n", "import of . is"},
		"raised":            {torch, "a.py", "", "raise X from y\nimport torch\n", ""},
		"continued":         {torch, "a.py", "", "import \\\n os\n", "import of os"},
		"eval":              {torch, "a.py", "", "x = eval('1')\n", "a.py:1: eval is not allowed"},
		"model.eval":        {torch, "a.py", "", "model.eval(); f = torch.compile(f)\n", ""},
		"dunder":            {torch, "a.py", "", "torch.__builtins__['open']\n", "__builtins__ is not allowed"},
		"in a format":       {torch, "a.py", "", "x = f'{__import__(1)}'\n", "__import__ is not allowed"},
		"in a comment":      {torch, "a.py", "", "x = 1 # import os\n", ""},
		"in a string":       {torch, "a.py", "", "x = '''\nimport os\n'''\n", ""},
		"after a string":    {torch, "a.py", "", "x = '''\n\n\\\n'''; import os\n", "a.py:4: import of os"},
		"utf-7":             {torch, "a.py", "", "#!x\n# -*- coding: utf-7 -*-\n", `a.py:2: the encoding "utf-7"`},
		"utf-8":             {torch, "a.py", "", "# -*- coding: UTF-8 -*-\n", ""},
		"folded name":       {torch, "a.py", "", "ｅval('1')\n", "letters beyond ASCII"},
		"open string":       {torch, "a.py", "", "x = 'a\ny = 1\n", "begins in line 1 does not end"},
		"anything":          {plain, "a.py", "", "import os; eval('1')\n", ""},
		"nothing":           {Rules{Imports: imports()}, "a.py", "", "import math\n", "import of math"},
		"strings":           {data, "a.py", "", "'''0123456789'''\nx = '0123456789'\n", "a.py:2: up to here the file carries 24 bytes"},
		"numbers":           {data, "a.py", "", "x = [1, 2.5e3, 0xffff]\n", ""},
		"many numbers":      {data, "a.py", "", "x = [" + strings.Repeat("12, ", 20) + "]", "in its literals"},
		"long number":       {data, "a.py", "", "x = " + strings.Repeat("7", 99), "in its literals"},
		"Go":                {Rules{Imports: imports("math")}, "a.go", "", "package a\nimport \"math\"\n", ""},
		"Go os":             {Rules{Imports: imports("math")}, "a.go", "", "package a\nimport \"os\"\n", `a.go:2: import "os"`},
		"Go linkname":       {Rules{Imports: imports()}, "a.go", "", "package a\n//go:linkname a b\n", `a.go:2: the compiler directive "//go:"`},
		"Go free":           {plain, "a.go", "", "package a\n//go:noinline\nfunc f()\n", ""},
		"Go text":           {data, "a.go", "", "package a\nconst x = `0123456789 0123456789`", "carries 21 bytes"},
		"Go syntax":         {plain, "a.go", "", "package", "valid Go"},
		"by language":       {Rules{Language: "python", Imports: imports()}, "train", "", "import os", "import of os"},
		"forbidden":         {no, "a.py", "", "\nx = x.cuda()\n", `a.py:2: ".cuda(" is not allowed here: the worker chooses the device (rule: forbidden)`},
		"not in comments":   {no, "a.py", "", "x = 1 # .cuda()\n", ""},
		"not in comments 2": {no, "a.go", "", "package a // .cuda()\n", ""},
		"in text":           {no, "a.txt", "", "# .cuda()\n", "a.txt:1"},
		"protected":         {fixed, "a.py", "# x\nTIME_BUDGET = 300 # s\n", "TIME_BUDGET = 300 # seconds\nx = TIME_BUDGET\n", ""},
		"changed":           {fixed, "a.py", "TIME_BUDGET = 300\n", "\nTIME_BUDGET = 400\n", `a.py:2: "TIME_BUDGET = 400" must stay "TIME_BUDGET = 300": the budget is`},
		"gone":              {fixed, "a.py", "\nTIME_BUDGET = 300\n", "x = 1\n", `a.py:2: "TIME_BUDGET = 300", as it stands there in the parent, must stay`},
		"twice":             {fixed, "a.py", "TIME_BUDGET = 300\n", "TIME_BUDGET = 300\nif 1:\n  TIME_BUDGET = 9\n", `a.py:3: "TIME_BUDGET = 9" is not in the parent`},
		"bad rules":         {Rules{Forbidden: []Pattern{{"(", "x"}}}, "a.py", "", "", "rules cannot be used"},
	} {
		var base []byte
		if c.base != "" {
			base = []byte(c.base)
		}
		refused(t, name, c.rules.Check(c.path, base, []byte(c.src)), c.want)
	}
}

func TestValidate(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"language":"python","imports":["torch"],"max_literal_bytes":1024,"forbidden":[{"pattern":"x","reason":"y"}],"protected":[{"pattern":"x","reason":"y"}]}`: "",
		`{"language":"c"}`:                              `language is "c"`,
		`{"max_bytes":100000}`:                          "max_bytes is 100000",
		`{"max_bytes":-1}`:                              "max_bytes is -1",
		`{"max_literal_bytes":-1}`:                      "max_literal_bytes is -1",
		`{"language":"text","imports":[]}`:              "need the language",
		`{"imports":["a b"]}`:                           `"a b" is no name`,
		`{"forbidden":[{"pattern":"(","reason":"y"}]}`:  "forbidden[0]: pattern",
		`{"protected":[{"pattern":"x*","reason":"y"}]}`: "matches the empty text",
		`{"protected":[{"pattern":"x"}]}`:               "has no reason",
	} {
		var r Rules
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		err := r.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %v, want %q", text, err, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"step 1\tloss 2.5\nstep 2":                 "step 1\tloss 2.5\nstep 2",
		"\x1b[31mred\x1b[0m":                       "red",
		"\x1b[2J\x1b[1;1Hgone":                     "gone",
		"\x1b]0;title\x07a":                        "a",
		"\x1b]52;c;cm0gLXJm\x1b\\a":                "a",
		"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
		"\u009b31mred\u009d0;title\u009ca":         "reda",
		"\x1b]0;no end":                            "0;no end",
		"\x1b]0;no end\na\x07":                     "0;no end\na",
		"\x1bPq#0\x1b\\a\x1b^x\x07b\x1b_y\x07c":    "abc",
		"\x1b(Ba\x1bcb\x1b":                        "ab",
		"\x1b\x1b[1ma":                             "a",
		"a\rb\x00c\x7fd\x08e":                      "abcde",
		"a\u202eb\u200bc\u2028d":                   "abcd",
		"a\xffb":                                   "a\uFFFDb",
		"größer ≤ 0.5 ✓ 値":                         "größer ≤ 0.5 ✓ 値",
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q gave %q, want %q", in, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"\x1b]0;a\x07b", "\u009b1m", "\x1b", "a\xff", "\xc2\x9b\xc2", "\x1b\x1b]\x1b\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Plain(s)
		if strings.IndexFunc(out, unprintable) >= 0 {
			t.Errorf("%q gave %q", s, out)
		}
		if Plain(out) != out {
			t.Errorf("%q: cleaning twice gives something else", s)
		}
	})
}

// FuzzRules: no text makes the guard panic, and what it accepts is text without
// an import statement that is not in the list.
func FuzzRules(f *testing.F) {
	real, err := os.ReadFile("../../trainer/train.go")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.go", string(real))
	for _, s := range []string{"import os", "x = f'''{a!r:>{w}}'''\n", "from\\\n os import x", "'\\", "\"\"\"a\"\"\"import os", "x = 0x_", "(((", "# coding: x"} {
		f.Add("a.py", s)
		f.Add("a.txt", s)
	}
	rules := Rules{
		Imports: imports("math"), MaxLiteralBytes: 100,
		Forbidden: []Pattern{{`x{3,}`, "no"}}, Protected: []Pattern{{`(?m)^A = .*$`, "stays"}},
	}
	f.Fuzz(func(t *testing.T, path, src string) {
		failure := rules.Check(path, []byte("A = 1\n"), []byte(src))
		if failure != nil {
			if failure.Reason != experiment.InvalidEdit || !strings.Contains(failure.Message, "(rule: ") || strings.Contains(failure.Message, "\x1b") {
				t.Errorf("refused with %+v", failure)
			}
			return
		}
		if len(src) > DefaultMaxBytes || strings.Contains(src, "\u202e") {
			t.Error("no text of bounded size, and accepted")
		}
		for _, line := range strings.Split(src, "\n") {
			if strings.HasSuffix(path, ".py") && strings.TrimSpace(line) == "import os" && !strings.ContainsAny(src, `"'\([{`) {
				t.Errorf("accepted with an import of os: %q", src)
			}
		}
	})
}
