package probe

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs keeps the list in docs/probe.md true; with UPDATE_DOCS=1 it writes it.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/probe.md", "<!-- the corpus -->\n", "<!-- end of the corpus -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the list of cheats, between %q and %q", path, begin, end)
	}
	list := corpus(t)
	var b strings.Builder
	fmt.Fprintf(&b, "%d cheats:\n\n| cheat | what it tries | what must catch it, each by itself |\n|---|---|---|\n", len(list))
	for _, c := range list {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.Title, strings.Join(c.Layers(), "; "))
	}
	want := before + begin + b.String() + end + after
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s does not list the corpus as it is; write it with: UPDATE_DOCS=1 go test ./activities/probe -run TestDocs", path)
	}
}
