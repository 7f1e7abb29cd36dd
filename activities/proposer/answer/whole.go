package answer

import (
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

const (
	// A file with fewer of its lines than this is taken for an abridged one. The
	// largest simplification in a real campaign kept more than three quarters.
	minKept = 0.6
	// Below this many lines nobody abridges.
	shortFile = 10
)

var packageLine = regexp.MustCompile(`^package\s+(\w+)`)

// notWhole says why lines cannot be the whole of a file, or "".
func notWhole(lines []string, f *file) string {
	if i := novel(lines, f.lines); i >= 0 {
		return "line " + itoa(i+1) + " leaves code out (" + strings.TrimSpace(clip(lines[i], 80)) + "), and code that is left out would be lost"
	}
	if path.Ext(f.path) == ".go" {
		had, has := packageOf(f.lines), packageOf(lines)
		if had != "" && has == "" {
			return "there is no package clause"
		}
		if had != has {
			return "its package is " + has + ", and the file's is " + had
		}
	}
	if path.Ext(f.path) != ".go" && !beginsLike(lines, f.lines) {
		return "it does not begin like the file"
	}
	is, was := codeLines(lines), codeLines(f.lines)
	if is == 0 && was > 0 || was >= shortFile && float64(is) < minKept*float64(was) {
		return "it has " + itoa(is) + " lines of code, and the file has " + itoa(was)
	}
	return ""
}

// looksWhole says whether a fence is meant to be a whole file: it has the
// package clause, or the file's first line of code where there are no packages.
func looksWhole(lines []string, f *file) bool {
	if path.Ext(f.path) == ".go" {
		return packageOf(lines) != ""
	}
	kept := map[string]bool{}
	for _, l := range f.lines {
		kept[collapse(l)] = true
	}
	code, same := 0, 0
	for _, l := range lines {
		if l = collapse(l); !idle(l) {
			if code++; kept[l] {
				same++
			}
		}
	}
	was := codeLines(f.lines)
	return was == 0 || 2*code >= was && 2*same >= code
}

// beginsLike says whether the first line of code is one of the first few.
func beginsLike(lines, real []string) bool {
	front := firstCode(real, 5)
	return len(front) == 0 || slices.ContainsFunc(firstCode(lines, 1), func(l string) bool { return slices.Contains(front, l) })
}

func firstCode(lines []string, n int) (out []string) {
	for _, l := range lines {
		if len(out) < n && !idle(l) {
			out = append(out, collapse(l))
		}
	}
	return out
}

func packageOf(lines []string) string {
	for _, l := range lines {
		if m := packageLine.FindStringSubmatch(l); m != nil {
			return m[1]
		}
	}
	return ""
}

func codeLines(lines []string) (n int) {
	for _, l := range lines {
		if !idle(l) {
			n++
		}
	}
	return n
}

func wholeEdit(f *file, lines []string) experiment.Edit {
	lines, _, _ = trim(lines)
	return experiment.Edit{Path: f.path, Replace: strings.Join(lines, "\n") + "\n"}
}

// wholeFences lists the fences that look like whole files, by the file that
// they are for.
func (p *page) wholeFences(files map[string][]byte) []fence {
	var out []fence
	for _, f := range p.fences {
		if f.edits || isDiff(f) {
			continue
		}
		for _, name := range f.candidates(files) {
			if looksWhole(f.lines, newFile(name, string(files[name]))) {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// candidates are the files that a fence can be for: the one that it names, else
// any. A name that may not be edited is kept for the failure.
func (f fence) candidates(files map[string][]byte) []string {
	for _, written := range []string{f.path, f.mention} {
		if name, ok := resolve(written, files); written != "" && ok {
			return []string{name}
		}
	}
	return editable(files)
}

// wholeFiles reads fences as whole files: at most one text for each file.
func (p *page) wholeFiles(fences []fence, files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	var edits []experiment.Edit
	var failure *experiment.Failure
	texts := map[string]string{}
	for _, fence := range fences {
		name, f, problem := p.wholeFile(fence, files)
		if problem != nil {
			failure = problem
			continue
		}
		e := wholeEdit(f, fence.lines)
		text, _ := replaced(f.raw, e)
		switch old, ok := texts[name]; {
		case text == f.raw, ok && old == text: // the old file for comparison; the same again
			continue
		case ok:
			return nil, refuse("the answer has two different whole files for %s. Answer with one change.", name)
		}
		texts[name] = text
		edits = append(edits, e)
	}
	switch {
	case failure != nil:
		return nil, failure
	case len(edits) == 0:
		return nil, refuse("the whole file in the answer is the file as it stands, so nothing changes.")
	case !p.covered(fences):
		return nil, refuse("the answer has a whole file and, in another fence, code that is not part of it. Answer with the whole file alone, or with SEARCH/REPLACE blocks.")
	}
	return edits, nil
}

func (p *page) wholeFile(fence fence, files map[string][]byte) (string, *file, *experiment.Failure) {
	names := fence.candidates(files)
	if _, ok := resolve(fence.path, files); fence.path != "" && !ok {
		return "", nil, refuse("the whole file is for %s, which is not a file that may be edited; these are: %s.", fence.path, strings.Join(editable(files), ", "))
	}
	if len(names) > 1 {
		return "", nil, refuse("the answer does not say which file the code is for: write the path on the line above it, one of %s.", strings.Join(names, ", "))
	}
	f := newFile(names[0], string(files[names[0]]))
	if !fence.closed {
		return "", nil, refuse("%s: the code fence is not closed, so the answer was probably cut off. Answer with SEARCH/REPLACE blocks for the lines that change.", f.path)
	}
	if why := notWhole(fence.lines, f); why != "" {
		return "", nil, refuse("%s: the code is not the whole file: %s. %s", f.path, why, askBlocks)
	}
	return names[0], f, nil
}

// covered says whether the other fences are illustrations: most of their lines
// are in one of the whole files, or they are too short to matter.
func (p *page) covered(whole []fence) bool {
	known := map[string]bool{}
	for _, f := range whole {
		for _, l := range f.lines {
			known[collapse(l)] = true
		}
	}
	for _, f := range p.fences {
		if slices.ContainsFunc(whole, func(w fence) bool { return w.at == f.at }) || !programming(f.info) {
			continue
		}
		code, same := 0, 0
		for _, l := range f.lines {
			if !idle(l) {
				if code++; known[collapse(l)] {
					same++
				}
			}
		}
		if code >= 3 && 2*same < code {
			return false
		}
	}
	return true
}

// programming says whether the info of a fence leaves open that it is code.
func programming(info string) bool {
	word, _, _ := strings.Cut(strings.ToLower(info), " ")
	return !slices.Contains([]string{"text", "txt", "bash", "sh", "console", "shell", "json", "yaml", "yml", "markdown", "md", "math", "latex", "tsv", "csv"}, word)
}

// bareFile reads an answer without fences that is a Go file but for a header:
// from the comment above the package clause to the end, which must parse.
func (p *page) bareFile(files map[string][]byte) ([]experiment.Edit, *experiment.Failure, bool) {
	if p.code < 0 || len(files) != 1 {
		return nil, nil, false
	}
	f := newFile(editable(files)[0], string(files[editable(files)[0]]))
	lines := p.lines[p.code:]
	if why := notWhole(lines, f); why != "" {
		return nil, refuse("%s: the code is not the whole file: %s. %s", f.path, why, askBlocks), true
	}
	e := wholeEdit(f, lines)
	if _, err := parser.ParseFile(token.NewFileSet(), f.path, e.Replace, parser.SkipObjectResolution); err != nil {
		return nil, refuse("the answer is a Go file without a code fence, and does not parse: %v. %s", err, askBlocks), true
	}
	if text, _ := replaced(f.raw, e); text == f.raw {
		return nil, refuse("the whole file in the answer is the file as it stands, so nothing changes."), true
	}
	return []experiment.Edit{e}, nil, true
}
