package answer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/proposer/answer"
)

const (
	largeFile   = 64 << 10
	largeAnswer = 256 << 10
)

// hostile are pairs of a file of 64 KiB and an answer of 256 KiB that ask for
// the most work that we could think of.
func hostile() map[string][2]string {
	fill := func(size int, piece string) string { return strings.Repeat(piece, size/len(piece)) }
	blocks := func(n int, search, replace func(i int) string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<<<<<<< SEARCH\n%s\n=======\n%s\n>>>>>>> REPLACE\n", search(i), replace(i))
		}
		return b.String()
	}
	var program, padded strings.Builder
	program.WriteString("package main\n\n")
	padded.WriteString("package main\n\n")
	for i := 0; program.Len() < largeFile-100; i++ {
		fmt.Fprintf(&program, "func f%d(x, y, z float64) float64 { return x*%d + y*z }\n", i, i)
	}
	for i := 0; padded.Len() < largeFile-100; i++ {
		fmt.Fprintf(&padded, "\t\tv%d   =   %d   *   (  a  +  b  )\n", i, i)
	}
	text := func(s string) func(int) string { return func(int) string { return s } }
	lines := strings.Split(program.String(), "\n")
	return map[string][2]string{
		"same lines":        {fill(largeFile, "x\n"), blocks(1, text(fill(120<<10, "x\n")), text(fill(120<<10, "y\n")))},
		"same but for last": {fill(largeFile, "x\n"), blocks(60, text(fill(3900, "x\n")+"y"), text("z"))},
		"blank lines":       {fill(largeFile, "\n"), blocks(2, text(fill(60<<10, " \n")+"x"), text(fill(60<<10, "\n")))},
		"absent":            {program.String(), blocks(60, func(i int) string { return strings.Join(lines[i:i+60], "!\n") }, text("z"))},
		"loose":             {padded.String(), blocks(64, func(i int) string { return fmt.Sprintf("v%d = %d * ( a + b )", 20*i, 20*i) }, func(i int) string { return fmt.Sprintf("v%d = 2", i) })},
		"typographic":       {padded.String(), blocks(64, func(i int) string { return fmt.Sprintf("v%d\u00a0= %d\u00a0* ( a + b )", 20*i, 20*i) }, func(i int) string { return fmt.Sprintf("v%d = 2", i) })},
		"aligned": {program.String(), blocks(60, func(i int) string {
			return lines[10*i+1] + "\n" + strings.Join(lines[10*i+2:10*i+380], "\n")[:3500] + "\n" + lines[10*i+400]
		}, text("z"))},
		"part of line":     {fill(largeFile, "abc "), blocks(60, text("abc abc abc"), text("z"))},
		"one long line":    {fill(largeFile, "abc "), fill(largeAnswer, "word ")},
		"open markers":     {program.String(), fill(largeAnswer, "<<<<<<< SEARCH\n")},
		"odd markers":      {program.String(), fill(largeAnswer, "<<<<<<< "+fill(150, "a-.: /")+"\"\n")},
		"fences":           {program.String(), fill(largeAnswer, "```go\npackage main\n```\n")},
		"few fences":       {program.String(), fill(largeAnswer, "```go\npackage main\n"+fill(5000, "x = y\n")+"```\n")},
		"elisions":         {program.String(), blocks(1, text(fill(120<<10, "// ...\n")), text(fill(120<<10, "// ...\n")))},
		"filled in":        {program.String(), blocks(1, text(strings.Join(lines[:1000], "\n")), text(fill(100<<10, lines[3]+"\n...\n"+lines[900]+"\n")))},
		"whole":            {program.String(), "```go\npackage main\n" + fill(largeAnswer-100, "// rest of code\nx\n") + "```\n"},
		"hunks":            {program.String(), fill(largeAnswer, "@@ -1,999999 +1,999999 @@\n+x\n")},
		"one hunk":         {program.String(), "--- a\n+++ b\n@@ -1,99999 +1,99999 @@\n" + fill(largeAnswer-100, "+x\n-y\n")},
		"titles":           {program.String(), fill(largeAnswer, "Title: a\n")},
		"settings":         {program.String(), fill(largeAnswer, "- `a` = `1 -> 2 -> 3`\n")},
		"numbers":          {program.String(), blocks(60, text(fill(3900, "1| x\n")), text("1| y"))},
		"entities":         {program.String(), blocks(60, text(fill(3900, "&lt;")), text("&amp;"))},
		"thoughts":         {program.String(), fill(largeAnswer, "<think>\n")},
		"ends of thoughts": {program.String(), fill(largeAnswer, "</think>")},
		"json":             {program.String(), `{"edits": ` + fill(largeAnswer-100, "[")},
		"escaped json":     {program.String(), `{"code": "` + fill(largeAnswer-100, "\n\t\\n")},
		"indentation":      {fill(60<<10, "\t") + "x\ny", blocks(1, text("x\ny"), text(fill(200<<10, "z\n")))},
	}
}

// BenchmarkHostile says what an answer can cost at most.
func BenchmarkHostile(b *testing.B) {
	cases := hostile()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		for _, path := range []string{"a.go", "a.py"} {
			b.Run(name+"/"+path, func(b *testing.B) {
				files := map[string][]byte{path: []byte(cases[name][0])}
				for b.Loop() {
					answer.Parse(cases[name][1], files)
				}
			})
		}
	}
}

// A quadratic step would take minutes here; the limit leaves room for a slow,
// busy machine.
func TestHostileAnswersAreCheap(t *testing.T) {
	for name, c := range hostile() {
		for _, mode := range []byte{0, useDiff, asPython} {
			path := "a.go"
			if mode == asPython {
				path = "a.py"
			}
			files := map[string][]byte{path: []byte(c[0])}
			began := time.Now()
			a := parse(c[1], files, mode)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s, mode %d: %v", name, mode, took)
			}
			check(t, a, c[1], files, mode)
		}
	}
}
