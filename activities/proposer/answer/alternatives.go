package answer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// label begins one of several proposals to choose from.
var label = regexp.MustCompile(`(?i)^[\s#*_>-]*(?:\d+[.)]\s*)?((?:option|alternative|variant|approach|proposal|choice|version|idea|candidate|experiment)\s+#?(?:[a-h]|[1-9]|one|two|three)\b|alternatively\b|or alternatively\b|or instead\b|another option\b|another approach\b)`)

// unlabelled is what stands before the first label.
const unlabelled = "the first one"

// alternatives refuses an answer that leaves the choice to us: edits under two
// labels of proposals.
func (p *page) alternatives() *experiment.Failure {
	edits := map[int]bool{} // lines of the answer where an edit begins
	for _, b := range p.blocks {
		edits[b.at] = true
	}
	for _, f := range p.fences {
		edits[f.at] = !f.edits && len(f.lines) > 0
	}
	var names []string // labels that have an edit
	current := unlabelled
	for i, line := range p.lines {
		if m := label.FindStringSubmatch(clip(line, 200)); m != nil && p.prose[i] {
			current = strings.ToLower(strings.Join(strings.Fields(m[1]), " "))
		}
		if edits[i] && !slices.Contains(names, current) {
			names = append(names, current)
		}
	}
	if len(names) < 2 {
		return nil
	}
	return refuse("the answer offers several proposals (%s), and only one can be tried. Choose one and answer with it alone.", strings.Join(names, ", "))
}

// nothing says why an answer has no edits.
func (p *page) nothing(files map[string][]byte) *experiment.Failure {
	names := strings.Join(editable(files), ", ")
	for _, f := range p.fences {
		if len(f.lines) == 0 || !programming(f.info) {
			continue
		}
		if !f.closed {
			return refuse("the code fence is not closed, so the answer was probably cut off. %s", askBlocks)
		}
		return refuse("the code in the answer (%s) is neither a SEARCH/REPLACE block nor the whole file%s, so it has no place in %s. %s", excerpt(f.lines), why(f, files), names, askBlocks)
	}
	if name, line := p.unclear(files); name != "" {
		return refuse("the line %q sets %s to something that is no single number or string, so it is not read as a setting. Write each constant as NAME = value, alone on its line. %s", clip(line, 100), name, askBlocks)
	}
	return refuse("the answer has no edits, only prose. Propose one change to %s. %s", names, askBlocks)
}

// why says what keeps a fence from being the only editable file.
func why(f fence, files map[string][]byte) string {
	if names := f.candidates(files); len(names) == 1 {
		if reason := notWhole(f.lines, newFile(names[0], string(files[names[0]]))); reason != "" {
			return " (" + reason + ")"
		}
	}
	return ""
}

func excerpt(lines []string) string {
	lines, _, _ = trim(lines)
	return fmt.Sprintf("%d lines, beginning with %q", len(lines), clip(strings.Trim(first(lines), blank), 80))
}
