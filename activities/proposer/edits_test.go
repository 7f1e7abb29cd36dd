package proposer_test

import (
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestApplyEdits(t *testing.T) {
	const unix, dos = "a := 1\nb := 2\nc := aa\n", "a := 1\r\nb := 2\r\n"
	edit := func(search, replace string) []experiment.Edit {
		return []experiment.Edit{{Path: "f.go", Search: search, Replace: replace}}
	}
	for _, c := range []struct {
		name, file string
		edits      []experiment.Edit
		want       string // the file afterwards, or
		fails      []string
	}{
		{name: "one line", file: unix, edits: edit("b := 2", "b := 3"), want: "a := 1\nb := 3\nc := aa\n"},
		{name: "removal", file: unix, edits: edit("b := 2\n", ""), want: "a := 1\nc := aa\n"},
		{name: "whole file", file: unix, edits: edit("", "x\n"), want: "x\n"},
		{name: "in order", file: unix, edits: append(edit("b := 2", "b := 5"), edit("b := 5", "b := 6")...), want: "a := 1\nb := 6\nc := aa\n"},
		{name: "dos file, unix edit", file: dos, edits: edit("a := 1\nb", "a := 7\n\nb"), want: "a := 7\r\n\r\nb := 2\r\n"},
		{name: "unix file, dos edit", file: unix, edits: edit("a := 1\r\nb", "a := 7\r\nb"), want: "a := 7\nb := 2\nc := aa\n"},
		{name: "mixed file", file: dos + unix[14:] + "d\n", edits: edit("aa\nd", "e\nd"), want: dos + "c := e\nd\n"},
		{name: "whole dos file", file: dos, edits: edit("", "x\ny\n"), want: "x\r\ny\r\n"},

		{name: "no edits", file: unix, fails: []string{"no edits"}},
		{name: "absent", file: unix, edits: edit("b  := 2 // two", "x"), fails: []string{"f.go: ", "does not stand", "line 2:\nb := 2"}},
		{name: "nothing like it", file: unix, edits: edit("func main() {}", "x"), fails: []string{"No lines"}},
		{name: "twice", file: unix, edits: edit(" := ", "="), fails: []string{"stands 3 times", "line 1"}},
		{name: "overlapping", file: "aaa", edits: edit("aa", "b"), fails: []string{"stands 2 times"}},
		{name: "same", file: unix, edits: edit("b := 2", "b := 2"), fails: []string{"nothing changes"}},
		{name: "same whole file", file: dos, edits: edit("", strings.ReplaceAll(dos, "\r", "")), fails: []string{"nothing changes"}},
		{name: "undone", file: unix, edits: append(edit("b := 2", "b := 3"), edit("b := 3", "b := 2")...), fails: []string{"undo each other"}},
		{name: "other file", file: unix, edits: []experiment.Edit{{Path: "../g.go", Replace: "x"}}, fails: []string{"../g.go: not a file", "f.go"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string][]byte{"f.go": []byte(c.file)}
			got, failure := proposer.ApplyEdits(files, c.edits)
			if string(files["f.go"]) != c.file {
				t.Errorf("the parent's file was changed to %q", files["f.go"])
			}
			if len(c.fails) == 0 {
				if failure != nil || string(got["f.go"]) != c.want {
					t.Errorf("got %q, %+v; want %q", got["f.go"], failure, c.want)
				}
				return
			}
			if failure == nil || failure.Reason != experiment.InvalidEdit {
				t.Fatalf("got %q, %+v; want invalid-edit", got["f.go"], failure)
			}
			for _, part := range c.fails {
				if !strings.Contains(failure.Message, part) {
					t.Errorf("message %q does not say %q", failure.Message, part)
				}
			}
		})
	}
}
