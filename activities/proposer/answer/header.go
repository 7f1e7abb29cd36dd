package answer

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Limits of a header, in characters.
const (
	maxTitle      = 100
	maxHypothesis = 1000
	maxExpected   = 500
)

// key is a line that begins a part of the header: "Title: x", "**Title:** x",
// "## Title", `"title": "x",`, "- Title - x".
var key = regexp.MustCompile(`(?i)^[\s#*_>{"'\x60-]*(?:\d+[.)]\s*)?(title|hypothesis|rationale|expected(?:[ _](?:effect|outcome|result|results|improvement|impact))?|prediction)["'*_\x60]*\s*(?:(:|=|\s[-–—])["'*_\x60]*\s*(.*)|$)`)

// header reads title, hypothesis and expectation out of the prose. What has no
// key is the first heading, or the first sentence.
func (p *page) header() Answer {
	if o := p.object; o != nil {
		return Answer{Title: bounded(o.Title, maxTitle), Hypothesis: bounded(o.Hypothesis, maxHypothesis), Expected: bounded(firstOf(o.Expected, o.Effect), maxExpected)}
	}
	var a Answer
	var into *string
	limit := 0
	found := map[*string]bool{}
	var rest []string
	for i, line := range p.lines {
		meta := !p.prose[i] && p.inMetadata(i)
		if !p.prose[i] && !meta {
			into = nil
			continue
		}
		if field, text, max := a.field(line); field != nil && !found[field] {
			into, limit, found[field] = field, max, true
			if *into = text; field == &a.Title && text != "" {
				into = nil
			}
			continue
		}
		switch text := strings.TrimSpace(line); {
		case into != nil && text == "" && *into != "":
			into = nil
		case into != nil && (strings.HasPrefix(text, "#") || pathAlone(line) != "" || setting.MatchString(line)):
			into = nil
			rest = append(rest, line)
		case strings.Trim(text, "{}[],") == "":
		case into != nil && len(*into) < 4*limit:
			*into = strings.TrimSpace(*into + " " + text)
		case into == nil && !meta:
			rest = append(rest, line)
		}
	}
	a.Title = bounded(a.Title, maxTitle)
	a.Hypothesis, a.Expected = bounded(a.Hypothesis, maxHypothesis), bounded(a.Expected, maxExpected)
	if a.Title == "" {
		a.Title = bounded(heading(rest), maxTitle)
	}
	if a.Title == "" {
		p.guessed = true
		if a.Hypothesis == "" {
			a.Hypothesis = bounded(prose(rest), maxHypothesis)
		}
		a.Title = bounded(firstOf(firstSentence(a.Hypothesis), prose(rest)), maxTitle)
	}
	return a
}

// field returns the part that a line begins, with its text on that line.
func (a *Answer) field(line string) (into *string, text string, limit int) {
	m := key.FindStringSubmatch(clip(line, 4*maxHypothesis))
	if m == nil {
		return nil, "", 0
	}
	text = strings.Trim(m[3], " \t\"',*")
	switch name := strings.ToLower(m[1]); name {
	case "title":
		return &a.Title, text, maxTitle
	case "hypothesis", "rationale":
		return &a.Hypothesis, text, maxHypothesis
	}
	return &a.Expected, text, maxExpected
}

// inMetadata says whether a line is in a fence that holds a header: JSON, YAML
// or plain text.
func (p *page) inMetadata(i int) bool {
	if p.within[i] == 0 {
		return false
	}
	f := p.fences[p.within[i]-1]
	return !f.edits && !programming(f.info)
}

var generic = regexp.MustCompile(`(?i)^#+ +(the )?(proposal|proposed|proposed changes?|changes?|edits?|answer|response|solution|summary|analysis|code|implementation|conclusion|explanation|plan)\W*$`)

// heading returns the first heading that says something.
func heading(lines []string) string {
	for _, l := range lines {
		if rest := strings.TrimLeft(l, "#"); rest != l && strings.HasPrefix(rest, " ") && !generic.MatchString(l) {
			return rest
		}
	}
	return ""
}

// courtesy begins a sentence that says nothing.
var courtesy = regexp.MustCompile(`(?i)^(sure|certainly|of course|okay|ok|alright|great|absolutely|here('s| is| are)|i('ll| will| have|'ve)|let me|let's|below|looking at|based on|after|thanks?|option|path|file)\b`)

// prose returns the first sentence that says something.
func prose(lines []string) string {
	for _, l := range lines {
		l = strings.Trim(l, " \t*->")
		if strings.HasPrefix(l, "#") || pathAlone(l) != "" || !strings.Contains(l, " ") || setting.MatchString(l) {
			continue
		}
		for i := 0; l != "" && i < 5; i++ {
			s := firstSentence(l)
			if !courtesy.MatchString(s) && !strings.HasSuffix(s, ":") {
				return s
			}
			l = strings.Trim(strings.TrimPrefix(l, s), " *")
		}
	}
	return ""
}

var sentenceEnd = regexp.MustCompile(`[.!?:](\s|$)`)

func firstSentence(text string) string {
	if at := sentenceEnd.FindStringIndex(text); at != nil {
		return text[:at[0]+1]
	}
	return text
}

var dressing = strings.NewReplacer("**", "", "__", "", "`", "")

// bounded makes one plain line of at most n characters.
func bounded(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, clip(text, 8*n))
	text = strings.Join(strings.Fields(dressing.Replace(text)), " ")
	text = strings.Trim(text, " *#,_")
	if n := len(text); n > 1 && text[0] == text[n-1] && strings.IndexByte("\"'", text[0]) >= 0 {
		text = text[1 : n-1]
	}
	if n == maxTitle {
		text = strings.TrimRight(text, ".:; ")
	}
	if r := []rune(text); len(r) > n {
		text = strings.TrimSpace(string(r[:n-1])) + "…"
	}
	return text
}

// titleOf says what edits do, where the answer does not: "change Depth = 4; …".
func titleOf(edits []experiment.Edit) string {
	if len(edits) == 0 {
		return "an answer without a title"
	}
	var news []string
	for _, e := range edits {
		if text := newLine(e); text != "" && len(news) < 5 {
			news = append(news, text)
		}
	}
	switch {
	case edits[0].Search == "":
		return bounded("rewrite "+edits[0].Path, maxTitle)
	case len(news) == 0:
		return bounded("remove lines of "+edits[0].Path, maxTitle)
	}
	return bounded("change "+strings.Join(news, "; "), maxTitle)
}

// newLine returns the first line of code that an edit adds, without a comment.
func newLine(e experiment.Edit) string {
	olds, news := strings.Split(e.Search, "\n"), strings.Split(e.Replace, "\n")
	for _, s := range script(olds, news) {
		if s.search < 0 && !idle(news[s.replace]) {
			text, _, _ := strings.Cut(collapse(clip(news[s.replace], 1000)), " //")
			return text
		}
	}
	return ""
}
