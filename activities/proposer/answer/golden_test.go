package answer_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/answer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

var update = flag.Bool("update", false, "rewrite what the golden files want")

// goldenCase is a file in testdata: a comment that says what it is, the editable
// files (none: trainer/train.go as it stands in testdata), the answer, and what
// is wanted. In the comment, "crlf: answer" and "crlf: file" change line ends,
// "use: diff" reads with Diff, and "bare: answer" cuts the last line end.
type goldenCase struct {
	name    string
	archive *txtar.Archive
	files   map[string][]byte
	answer  string
	want    string
}

func loadGolden(t testing.TB) []goldenCase {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	var out []goldenCase
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c := goldenCase{name: strings.TrimSuffix(filepath.Base(name), ".txtar"), archive: a, files: map[string][]byte{}}
		for _, f := range a.Files {
			switch f.Name {
			case "answer":
				c.answer = string(f.Data)
			case "want":
				c.want = string(f.Data)
			default:
				c.files[f.Name] = f.Data
			}
		}
		if len(c.files) == 0 {
			c.files["trainer/train.go"] = trainGo(t)
		}
		if c.has("crlf: file") {
			for path, data := range c.files {
				c.files[path] = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
			}
		}
		if c.has("bare: answer") {
			c.answer = strings.TrimSuffix(c.answer, "\n")
		}
		if c.has("crlf: answer") {
			c.answer = strings.ReplaceAll(c.answer, "\n", "\r\n")
		}
		out = append(out, c)
	}
	return out
}

func (c goldenCase) has(directive string) bool {
	return slices.Contains(strings.Split(string(c.archive.Comment), "\n"), directive)
}

func trainGo(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/train.go")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGolden(t *testing.T) {
	cases := loadGolden(t)
	if len(cases) < 70 {
		t.Errorf("%d golden files, there should be 70 or more", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := c.outcome(t)
			if *update {
				c.rewrite(t, got)
			} else if got != c.want {
				t.Errorf("%s, rewrite with -update and review:\n%s", c.name, diff.Diff("want", []byte(c.want), "got", []byte(got)))
			}
		})
	}
}

// outcome writes what an answer comes to as a person reads it.
func (c goldenCase) outcome(t *testing.T) string {
	var a answer.Answer
	if c.has("use: diff") {
		a.Edits, a.Failure = answer.Diff(c.answer, c.files)
	} else {
		a = answer.Parse(c.answer, c.files)
	}
	var b strings.Builder
	for _, part := range [][2]string{{"title", a.Title}, {"hypothesis", a.Hypothesis}, {"expected", a.Expected}} {
		if part[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", part[0], part[1])
		}
	}
	if a.Failure != nil {
		if a.Failure.Reason != experiment.InvalidEdit {
			t.Errorf("the reason is %q", a.Failure.Reason)
		}
		fmt.Fprintf(&b, "failure: %s\n", a.Failure.Message)
		return b.String()
	}
	after, failure := proposer.ApplyEdits(c.files, a.Edits)
	if failure != nil {
		t.Fatalf("the edits do not apply: %s", failure.Message)
	}
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		d := string(diff.Diff(path, c.files[path], path, after[path]))
		b.WriteString(strings.ReplaceAll(d, "\r\n", "\\r\n"))
	}
	return b.String()
}

func (c goldenCase) rewrite(t *testing.T, want string) {
	t.Helper()
	c.archive.Files = slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	c.archive.Files = append(c.archive.Files, txtar.File{Name: "want", Data: []byte(want)})
	if err := os.WriteFile("testdata/"+c.name+".txtar", txtar.Format(c.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
