package answer

import (
	"regexp"
	"strings"

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
			*into = text
			continue
		}
		switch text := strings.TrimSpace(line); {
		case into != nil && text == "" && *into != "":
			into = nil
		case into != nil && (strings.HasPrefix(text, "#") || pathAlone(line) != ""):
			into = nil
			rest = append(rest, line)
		case into != nil && len(*into) < 4*limit:
			*into = strings.TrimSpace(*into + " " + text)
		case into == nil && !meta:
			rest = append(rest, line)
		}
	}
	a.Title = bounded(a.Title, maxTitle)
	a.Hypothesis, a.Expected = bounded(a.Hypothesis, maxHypothesis), bounded(a.Expected, maxExpected)
	if a.Title == "" {
		a.Title = bounded(firstOf(heading(rest), firstSentence(a.Hypothesis), prose(rest)), maxTitle)
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
	for _, f := range p.fences {
		if i > f.at && i <= f.at+len(f.lines) {
			return !f.edits && !programming(f.info) || strings.HasPrefix(strings.ToLower(f.info), "yaml")
		}
	}
	return false
}

// heading returns the first heading.
func heading(lines []string) string {
	for _, l := range lines {
		if rest := strings.TrimLeft(l, "#"); rest != l && strings.HasPrefix(rest, " ") {
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
		if pathAlone(l) != "" || !strings.Contains(l, " ") || setting.MatchString(l) {
			continue
		}
		for i := 0; l != "" && i < 5; i++ {
			s := firstSentence(l)
			if !courtesy.MatchString(s) {
				return s
			}
			l = strings.TrimSpace(strings.TrimPrefix(l, s))
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
	text = strings.Join(strings.Fields(dressing.Replace(clip(text, 8*n))), " ")
	text = strings.Trim(text, " \"'*#,_")
	if n == maxTitle {
		text = strings.TrimRight(text, ".:; ")
	}
	if r := []rune(text); len(r) > n {
		text = strings.TrimSpace(string(r[:n-1])) + "…"
	}
	return text
}

// titleOf says what edits do, where the answer does not.
func titleOf(edits []experiment.Edit) string {
	if len(edits) == 0 {
		return "an answer without a title"
	}
	e := edits[0]
	if e.Search == "" {
		return bounded("rewrite "+e.Path, maxTitle)
	}
	olds, news := strings.Split(e.Search, "\n"), strings.Split(e.Replace, "\n")
	for _, s := range script(olds, news) {
		if s.search < 0 {
			if text := bounded(strings.SplitN(collapse(news[s.replace]), " // ", 2)[0], maxTitle-8); !idle(text) {
				return "change: " + text
			}
		}
	}
	return bounded("remove lines of "+e.Path, maxTitle)
}
