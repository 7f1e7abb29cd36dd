package proposer_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
)

func TestEditsBetween(t *testing.T) {
	long := ""
	for i := range 40 {
		long += fmt.Sprintf("line %d\n", i)
	}
	const twins = "func a() {\n\treturn 1\n}\n\nfunc b() {\n\treturn 1\n}\n" // twelve lines more make edits shorter than the file
	for _, c := range []struct {
		name, old, want string
		searches        []string // "" is a whole file
	}{
		{"one line", long, strings.Replace(long, "line 7\n", "line seven\n", 1), []string{"line 7"}},
		{"first and last", long, "a\n" + strings.Replace(long, "line 39\n", "z\n", 1), []string{"line 0", "line 39"}},
		{"a prefix of others", long, strings.Replace(long, "line 1\n", "line one\n", 1), []string{"line 1\n"}},
		{"removal", long, strings.Replace(long, "line 7\n", "", 1), []string{"line 7\n"}},
		{"insertion", long, strings.Replace(long, "line 7\n", "line 7\nnew\n", 1), []string{"line 7\nline 8"}},
		{"at the end", long, long + "new\n", []string{"line 39"}},
		{"twins", twins + long, strings.Replace(twins, "b() {\n\treturn 1", "b() {\n\treturn 2", 1) + long, []string{"func b() {\n\treturn 1\n}"}},
		{"all lines", "a\nb\n", "c\nd\n", []string{""}},
		{"last newline", long, strings.TrimSuffix(long, "\n"), []string{"line 39\n"}},
		{"from nothing", "", "a\n", []string{""}},
		{"to nothing", "a\n", "", []string{""}},
		{"dos", strings.ReplaceAll(long, "\n", "\r\n"), strings.ReplaceAll(strings.Replace(long, "line 7\n", "seven\n", 1), "\n", "\r\n"), []string{"line 7\r"}},
	} {
		edits := proposer.EditsBetween(map[string][]byte{"f": []byte(c.old), "g": []byte("same")}, map[string][]byte{"f": []byte(c.want), "g": []byte("same")})
		var searches []string
		for _, e := range edits {
			searches = append(searches, e.Search)
		}
		if fmt.Sprintf("%q", searches) != fmt.Sprintf("%q", c.searches) {
			t.Errorf("%s: searches for %q; want %q", c.name, searches, c.searches)
		}
		wantEdits(t, c.old, c.want)
	}
}

// wantEdits applies the edits between two texts.
func wantEdits(t *testing.T, old, want string) {
	t.Helper()
	before := map[string][]byte{"f": []byte(old)}
	edits := proposer.EditsBetween(before, map[string][]byte{"f": []byte(want)})
	if old == want {
		if len(edits) > 0 {
			t.Errorf("no change is %+v", edits)
		}
		return
	}
	got, failure := proposer.ApplyEdits(before, edits)
	if failure != nil || string(got["f"]) != want {
		t.Errorf("from %q to %q: edits %+v give %q, %+v", old, want, edits, got["f"], failure)
	}
}

// Files of a few different lines are full of places that look alike.
func TestEditsBetweenAnyTexts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		var b strings.Builder
		for range rng.IntN(12) {
			b.WriteString([]string{"a\n", "b\n", "\n", "aa\n", "c"}[rng.IntN(5)])
		}
		return b.String()
	}
	for range 5000 {
		wantEdits(t, text(), text())
		if t.Failed() {
			return
		}
	}
	pad := strings.Repeat("0123456789\n", 100) + "the end\n" // so that edits are shorter than the file
	for range 5000 {
		wantEdits(t, text()+pad, text()+pad)
		if t.Failed() {
			return
		}
	}
}
