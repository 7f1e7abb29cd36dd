package repo_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/repo"
)

func TestMerge(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	r := open(t, home)
	const base = "one\ntwo\nthree\nfour\nfive\n"
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(base) }
	for _, c := range []struct {
		name, ours, base, theirs, want string
		conflicts                      []repo.Conflict
	}{
		{"apart", change("one", "1"), base, change("five", "5"), change("one", "1", "five", "5"), nil},
		{"only theirs", base, base, change("two", "2"), change("two", "2"), nil},
		{"only ours", change("two", "2"), base, base, change("two", "2"), nil},
		{"the same", change("two", "2"), base, change("two", "2"), change("two", "2"), nil},
		{"the same and more", change("two", "2"), base, change("two", "2", "five", "5"), change("two", "2", "five", "5"), nil},
		{"one line, twice", change("three", "3"), base, change("three", "III"), "", []repo.Conflict{{"3\n", "III\n"}}},
		{"neighbours", change("three", "3"), base, change("four", "4"), "", []repo.Conflict{{"3\nfour\n", "three\n4\n"}}},
		{"two places", change("one", "1", "five", "5") + strings.Repeat(".\n", 9) + "1\n", base + strings.Repeat(".\n", 9) + "one\n", change("one", "I") + strings.Repeat(".\n", 9) + "I\n", "",
			[]repo.Conflict{{"1\n", "I\n"}, {"1\n", "I\n"}}},
		{"removed here", change("three\n", ""), base, change("three", "3"), "", []repo.Conflict{{"", "3\n"}}},
		{"dos", strings.ReplaceAll(change("one", "1"), "\n", "\r\n"), strings.ReplaceAll(base, "\n", "\r\n"), strings.ReplaceAll(change("five", "5"), "\n", "\r\n"),
			strings.ReplaceAll(change("one", "1", "five", "5"), "\n", "\r\n"), nil},
		{"no last newline", change("one", "1"), base, strings.TrimSuffix(base, "\n"), strings.TrimSuffix(change("one", "1"), "\n"), nil},
		{"from nothing", "a\n", "", "b\n", "", []repo.Conflict{{"a\n", "b\n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, conflicts, err := r.Merge(t.Context(), []byte(c.ours), []byte(c.base), []byte(c.theirs))
			if err != nil || string(got) != c.want || !reflect.DeepEqual(conflicts, c.conflicts) {
				t.Errorf("got %q, %q, %v; want %q, %q", got, conflicts, err, c.want, c.conflicts)
			}
		})
	}
	if _, _, err := r.Merge(t.Context(), []byte("a\x00\n"), []byte("b\n"), []byte("c\n")); err == nil || !strings.Contains(err.Error(), "merging") {
		t.Errorf("binary files give %v", err)
	}
	left, err := filepath.Glob(filepath.Join(home, "repo.git", "merge-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(home, "repo.git")); err != nil {
		t.Error(err) // or the check above looks in the wrong place
	}
}
