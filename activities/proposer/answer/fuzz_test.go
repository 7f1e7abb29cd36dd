package answer_test

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/answer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// What the fuzzer varies beside the texts.
const (
	useDiff = 1 << iota
	asPython
	secondFile
	crlfFile
)

// FuzzParse holds any answer to any file against what Parse and Diff promise.
func FuzzParse(f *testing.F) {
	for _, c := range loadGolden(f) {
		paths := slices.Sorted(maps.Keys(c.files))
		mode := byte(0)
		if c.has("use: diff") {
			mode |= useDiff
		}
		if strings.HasSuffix(paths[0], ".py") {
			mode |= asPython
		}
		text := c.files[paths[0]]
		if len(text) > 4<<10 { // small texts fuzz faster
			text = slices.Concat([]byte("package main\n"), text[1300:4<<10])
		}
		f.Add(c.answer, string(text), mode)
		f.Add(c.answer, string(text), mode|secondFile|crlfFile)
	}
	f.Fuzz(func(t *testing.T, text, file string, mode byte) {
		if len(file) > 64<<10 {
			t.Skip("no such files")
		}
		path := "trainer/train.go"
		if mode&asPython != 0 {
			path = "train.py"
		}
		if mode&crlfFile != 0 {
			file = strings.ReplaceAll(file, "\n", "\r\n")
		}
		files := map[string][]byte{path: []byte(file)}
		if mode&secondFile != 0 {
			files["trainer/schedule.go"] = []byte("package main\n\nconst Rate = 0.1\n\nfunc schedule() float64 {\n\treturn 1\n}\n")
		}
		once := parse(text, files, mode)
		if again := parse(text, files, mode); !reflect.DeepEqual(once, again) {
			t.Fatalf("two readings:\n%+v\n%+v", once, again)
		}
		check(t, once, text, files, mode)
	})
}

func parse(text string, files map[string][]byte, mode byte) answer.Answer {
	if mode&useDiff == 0 {
		return answer.Parse(text, files)
	}
	edits, failure := answer.Diff(text, files)
	return answer.Answer{Title: "a diff", Edits: edits, Failure: failure}
}

// check holds an answer against the promises of the package.
func check(t *testing.T, a answer.Answer, text string, files map[string][]byte, mode byte) {
	t.Helper()
	if a.Title == "" || strings.ContainsAny(a.Title, "\n\r\t") || utf8.RuneCountInString(a.Title) > 100 || !utf8.ValidString(a.Title) {
		t.Errorf("title %q", a.Title)
	}
	if utf8.RuneCountInString(a.Hypothesis) > 1000 || utf8.RuneCountInString(a.Expected) > 500 {
		t.Errorf("a header of %d and %d bytes", len(a.Hypothesis), len(a.Expected))
	}
	if a.Failure != nil {
		m := a.Failure.Message
		if len(a.Edits) > 0 || m == "" || len(m) > 4000 || a.Failure.Reason != experiment.InvalidEdit {
			t.Errorf("%d edits and failure %s %q", len(a.Edits), a.Failure.Reason, m)
		}
		return
	}
	size := 0
	for _, e := range a.Edits {
		size += len(e.Search) + len(e.Replace)
	}
	if size > 16<<20 {
		t.Errorf("edits of %d bytes", size)
	}
	after, failure := proposer.ApplyEdits(files, a.Edits)
	if failure != nil {
		t.Fatalf("edits %+v do not apply: %s", a.Edits, failure.Message)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(files))) {
		t.Errorf("the files are %v", slices.Sorted(maps.Keys(after)))
	}
	for path, old := range files {
		if utf8.Valid(old) && !utf8.Valid(after[path]) {
			t.Errorf("%s is no longer valid UTF-8", path)
		}
	}
	outside(t, a.Edits, files)
}

// outside checks edit by edit that all text outside of the search text stays.
func outside(t *testing.T, edits []experiment.Edit, files map[string][]byte) {
	t.Helper()
	now := maps.Clone(files)
	for _, e := range edits {
		before := now[e.Path]
		after, failure := proposer.ApplyEdits(now, []experiment.Edit{e})
		if failure != nil {
			t.Fatalf("edit %+v does not apply: %s", e, failure.Message)
		}
		if e.Search != "" {
			search := []byte(e.Search)
			if crlf := bytes.ReplaceAll(search, []byte("\n"), []byte("\r\n")); bytes.Contains(before, []byte("\r\n")) && bytes.Contains(before, crlf) {
				search = crlf
			}
			at := bytes.Index(before, search)
			if at < 0 || bytes.Contains(before[at+1:], search) {
				t.Fatalf("%q does not stand once in %q", search, before)
			}
			head, tail := before[:at], before[at+len(search):]
			if !bytes.HasPrefix(after[e.Path], head) || !bytes.HasSuffix(after[e.Path], tail) || len(after[e.Path]) < len(head)+len(tail) {
				t.Fatalf("edit %+v changes text outside of its search text", e)
			}
		}
		now = after
	}
}
