package answer_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/activities/proposer/answer"
)

var rounds = flag.Int("rounds", 2000, "random edits of TestDistortedAnswers")

// TestDistortedAnswers makes random edits, writes each as an answer, distorts it
// as models do, and reads it. What comes out must be the intended file, or a
// failure; never another file. The log has the rates.
func TestDistortedAnswers(t *testing.T) {
	python, err := os.ReadFile("testdata/train.py")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"trainer/train.go": string(trainGo(t)), "train.py": string(python)} {
		t.Run(path, func(t *testing.T) {
			tally := map[string]*[outcomes]int{}
			for seed := range *rounds {
				w := &writer{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), path: path, file: text}
				got, detail := w.round()
				for _, name := range w.groups() {
					if tally[name] == nil {
						tally[name] = new([outcomes]int)
					}
					tally[name][got]++
				}
				if got == wrong {
					t.Fatalf("seed %d, %v:\n%s", seed, w.names, detail)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(tally)) {
				n := tally[name]
				t.Logf("%-28s %5d intended, %4d but for white space of new lines, %4d refused", name, n[intended], n[spaced], n[refused])
			}
			if form := tally["form only"]; 20*form[refused] > form[refused]+form[intended]+form[spaced] {
				t.Errorf("answers with right content: %d refused", form[refused])
			}
			if plain := tally["plain"]; plain == nil || plain[refused]+plain[spaced] > 0 {
				t.Errorf("undistorted answers: %v", plain)
			}
		})
	}
}

// groups are the lines of the log that a round counts for.
func (w *writer) groups() []string {
	out := []string{"all"}
	if len(w.names) == 1 {
		out = append(out, w.names[0])
	}
	if !slices.ContainsFunc(w.names, func(n string) bool {
		return strings.HasPrefix(n, "misremembered") || strings.HasPrefix(n, "forgotten") || strings.HasPrefix(n, "elided")
	}) {
		out = append(out, "form only")
	}
	return out
}

// Outcomes of a round.
const (
	intended = iota
	spaced   // the intended file, but for white space within or before new lines that means nothing
	refused
	wrong
	outcomes
)

// writer writes one distorted answer.
type writer struct {
	*rand.Rand
	path, file string
	names      []string // of the distortions
	search     []string
	replace    []string
}

func (w *writer) chance(p float64) bool { return w.Float64() < p }

// round makes an edit and an answer, reads it, and compares.
func (w *writer) round() (outcome int, detail string) {
	lines := strings.Split(strings.TrimSuffix(w.file, "\n"), "\n")
	want := w.edit(lines)
	chosen := w.Perm(len(distortions))[:w.IntN(4)]
	slices.Sort(chosen) // some only make sense before others
	for _, i := range chosen {
		if d := distortions[i]; d.apply(w) {
			w.names = append(w.names, d.name)
		}
	}
	text := w.wrap()
	if len(w.names) == 0 {
		w.names = []string{"plain"}
	}
	files := map[string][]byte{w.path: []byte(w.file)}
	a := answer.Parse(text, files)
	if a.Failure != nil {
		return refused, ""
	}
	after, failure := proposer.ApplyEdits(files, a.Edits)
	if failure != nil {
		return wrong, failure.Message
	}
	got := string(after[w.path])
	switch {
	case got == want:
		return intended, ""
	case w.normal(got) == w.normal(want):
		return spaced, ""
	}
	return wrong, fmt.Sprintf("%s\n--- want\n%s\n--- got\n%s", text, around(want, w.file), around(got, w.file))
}

// around shows where a text differs from the file.
func around(text, file string) string {
	a, b := strings.Split(text, "\n"), strings.Split(file, "\n")
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return strings.Join(a[max(i-3, 0):min(i+15, len(a))], "\n")
}

var runs = regexp.MustCompile(`(\S)[ \t]+`)

// normal takes out the white space that means nothing: blank lines and runs, and
// in Go the indentation.
func (w *writer) normal(text string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasSuffix(w.path, ".go") {
			line = strings.TrimLeft(line, " \t")
		}
		if line = runs.ReplaceAllString(strings.TrimRight(line, " \t\r"), "$1 "); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// edit chooses lines that stand once, with context, and changes some of them.
func (w *writer) edit(lines []string) (want string) {
	for {
		size := 1 + w.IntN(5)
		from := w.IntN(len(lines) - size)
		old := lines[from : from+size]
		news, ok := w.change(old)
		if !ok || slices.Equal(old, news) {
			continue
		}
		before, after := w.IntN(4), w.IntN(4)
		a, z := max(from-before, 0), min(from+size+after, len(lines))
		w.search = slices.Clone(lines[a:z])
		w.replace = slices.Concat(lines[a:from], news, lines[from+size:z])
		if strings.TrimSpace(strings.Join(w.search, "")) == "" || strings.Count("\n"+w.file, "\n"+strings.Join(w.search, "\n")+"\n") != 1 {
			continue
		}
		return strings.Join(slices.Concat(lines[:from], news, lines[from+size:]), "\n") + "\n"
	}
}

var words = regexp.MustCompile(`[A-Za-z]\w{2,}|\d+\.?\d*`)

// change edits lines in one of the ways that experiments do.
func (w *writer) change(old []string) (news []string, ok bool) {
	news = slices.Clone(old)
	i := w.IntN(len(old))
	indent := old[i][:len(old[i])-len(strings.TrimLeft(old[i], " \t"))]
	if strings.TrimSpace(old[i]) == "" {
		return nil, false
	}
	unit := "\t"
	if strings.HasSuffix(w.path, ".py") {
		unit = "    "
	}
	switch w.IntN(5) {
	case 0: // another word or number
		at := words.FindAllStringIndex(old[i], -1)
		if len(at) == 0 {
			return nil, false
		}
		p := at[w.IntN(len(at))]
		news[i] = old[i][:p[0]] + []string{"0.5", "scaled", "2"}[w.IntN(3)] + old[i][p[1]:]
	case 1: // new lines
		news = slices.Insert(news, i, indent+"fresh := scale(x, 0.5)", indent+"use(fresh)")
	case 2: // fewer lines
		news = slices.Delete(news, i, i+1)
	case 3: // a condition around a line
		news = slices.Replace(news, i, i+1, indent+"if ready && x < 3 {", unit+old[i], indent+"}")
	case 4: // other lines
		news = slices.Replace(news, i, len(news), indent+`note("changed", 'x', a - b)`)
	}
	return news, true
}

// distortion is something that models do to code. It says whether it could.
type distortion struct {
	name  string
	apply func(w *writer) bool
}

func (w *writer) both(f func(string) string) bool {
	changed := false
	for _, part := range [][]string{w.search, w.replace} {
		for i, l := range part {
			part[i] = f(l)
			changed = changed || part[i] != l
		}
	}
	return changed
}

// shown distorts characters, if the search text has some of them: what only the
// new lines have stays as it is (rule 7).
func (w *writer) shown(f func(string) string) bool {
	return slices.ContainsFunc(w.search, func(l string) bool { return f(l) != l }) && w.both(f)
}

var distortions = []distortion{
	{"misremembered context", func(w *writer) bool { return w.misremember(true) }},
	{"misremembered line", func(w *writer) bool { return w.misremember(false) }},
	{"forgotten context", func(w *writer) bool {
		for i, l := range w.search {
			if i > 0 && i < len(w.search)-1 && i < len(w.replace)-1 && w.replace[i] == l && w.chance(0.5) {
				w.search, w.replace = slices.Delete(w.search, i, i+1), slices.Delete(w.replace, i, i+1)
				return true
			}
		}
		return false
	}},
	{"elided context", func(w *writer) bool {
		if len(w.search) < 4 || len(w.replace) < 4 || w.search[1] != w.replace[1] || w.search[0] != w.replace[0] || w.search[2] != w.replace[2] {
			return false
		}
		w.search, w.replace = slices.Clone(w.search), slices.Clone(w.replace)
		w.search[1], w.replace[1] = "\t// ... existing code ...", "\t// ... existing code ..."
		return true
	}},
	{"elided replacement", func(w *writer) bool {
		n := len(w.replace)
		if n < 4 {
			return false
		}
		w.replace = slices.Concat(w.replace[:1], []string{"\t// ... rest unchanged ..."}, w.replace[n-1:])
		return true
	}},
	{"trailing white space", func(w *writer) bool {
		return w.both(func(l string) string { return l + strings.Repeat(" ", w.IntN(3)) })
	}},
	{"spaces for tabs", func(w *writer) bool {
		return w.both(func(l string) string { return strings.ReplaceAll(l, "\t", "    ") })
	}},
	{"dedented", func(w *writer) bool {
		unit := "\t"
		if strings.HasSuffix(w.path, ".py") {
			unit = "    "
		}
		for _, l := range slices.Concat(w.search, w.replace) {
			if strings.TrimSpace(l) != "" && !strings.HasPrefix(l, unit) {
				return false
			}
		}
		return w.both(func(l string) string { return strings.TrimPrefix(l, unit) })
	}},
	{"over-indented", func(w *writer) bool {
		return w.both(func(l string) string { return "    " + l })
	}},
	{"collapsed runs", func(w *writer) bool {
		return w.both(func(l string) string { return runs.ReplaceAllString(l, "$1 ") })
	}},
	{"typographic quotes", func(w *writer) bool {
		return w.shown(func(l string) string { return strings.NewReplacer(`"`, "”", "'", "’").Replace(l) })
	}},
	{"dashes", func(w *writer) bool {
		return w.shown(func(l string) string { return strings.ReplaceAll(l, " - ", " – ") })
	}},
	{"no-break spaces", func(w *writer) bool {
		return w.shown(func(l string) string { return strings.ReplaceAll(l, " = ", "\u00a0=\u00a0") })
	}},
	{"entities", func(w *writer) bool {
		return w.shown(func(l string) string {
			return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(l)
		})
	}},
	{"line numbers", func(w *writer) bool {
		for _, part := range [][]string{w.search, w.replace} {
			for i, l := range part {
				part[i] = fmt.Sprintf("%4d| %s", 100+i, l)
			}
		}
		return true
	}},
	{"blank lines around", func(w *writer) bool {
		w.search, w.replace = slices.Concat([]string{""}, w.search, []string{"", ""}), slices.Concat([]string{""}, w.replace, []string{"", ""})
		return true
	}},
	{"fences inside", func(w *writer) bool {
		w.search, w.replace = slices.Concat([]string{"```go"}, w.search, []string{"```"}), slices.Concat([]string{"```go"}, w.replace, []string{"```"})
		return true
	}},
	{"first line stripped", func(w *writer) bool {
		if len(w.replace) == 0 || w.search[0] != w.replace[0] || len(w.search) < 2 || !strings.ContainsAny(w.search[0][:min(1, len(w.search[0]))], " \t") {
			return false
		}
		w.search[0] = strings.TrimLeft(w.search[0], " \t")
		w.replace[0] = w.search[0]
		return true
	}},
}

// misremember changes a word of a line: the same in both parts, or of a line
// that is not in the replacement.
func (w *writer) misremember(context bool) bool {
	i := w.IntN(len(w.search))
	old := w.search[i]
	at := words.FindStringIndex(old)
	if at == nil || len(w.search) < 4 {
		return false
	}
	line := old[:at[0]] + "other" + old[at[1]:]
	j := slices.Index(w.replace, old)
	if (j >= 0) != context {
		return false
	}
	w.search[i] = line
	if context {
		w.replace[j] = line
	}
	return true
}

// wrap writes the answer around the block.
func (w *writer) wrap() string {
	pick := func(texts ...string) string { return texts[w.IntN(len(texts))] }
	n := 5 + w.IntN(5)
	block := strings.Repeat("<", n) + pick(" SEARCH", " search", "SEARCH:", " ORIGINAL", " SEARCH  ") + "\n" +
		lines(w.search) + strings.Repeat("=", n) + pick("", " ") + "\n" +
		lines(w.replace) + strings.Repeat(">", n) + pick(" REPLACE", " Replace", " UPDATED", " REPLACE ") + "\n"
	path := pick("", w.path+"\n", "`"+w.path+"`\n", "**File:** "+w.path+"\n", "./"+w.path+"\n\n", "/repo/"+w.path+":\n")
	text := pick("", "Title: a change\n", "**Title:** a change\nHypothesis: it helps\n\n", "Sure, here is my idea.\n\n", "<think>\nno\n"+block+"\n</think>\n")
	text += pick(path+block, path+"```go\n"+block+"```\n", "```\n"+path+block+"```\n")
	if w.chance(0.1) {
		text += "\nTo repeat:\n" + block
	}
	text += pick("", "\nThis should help.\n")
	if w.chance(0.2) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

func lines(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return strings.Join(l, "\n") + "\n"
}
