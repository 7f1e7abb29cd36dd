package answer

import (
	"encoding/json"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// object is an answer in JSON, with the names that models use.
type object struct {
	Title      string       `json:"title"`
	Hypothesis string       `json:"hypothesis"`
	Expected   string       `json:"expected"`
	Effect     string       `json:"expected_effect"`
	Path       string       `json:"path"`
	File       string       `json:"file"`
	Edits      []objectEdit `json:"edits"`
	Changes    []objectEdit `json:"changes"`
	Code       string       `json:"code"`
	Content    string       `json:"content"`
}

type objectEdit struct {
	Path     string  `json:"path"`
	File     string  `json:"file"`
	FilePath string  `json:"file_path"`
	Search   string  `json:"search"`
	Old      string  `json:"old"`
	OldText  string  `json:"old_string"`
	Replace  *string `json:"replace"`
	New      *string `json:"new"`
	NewText  *string `json:"new_string"`
}

// parseObject reads an answer that is a JSON object with edits or code in it,
// in a fence or not. Nothing and no failure: it is something else, though a
// header may be JSON.
func parseObject(text string) (*object, *experiment.Failure) {
	body := strings.TrimSpace(text)
	if ticks, info := fenceLine(first(strings.SplitN(body, "\n", 2))); ticks != "" && (info == "" || strings.EqualFold(info, "json")) {
		body = strings.TrimSpace(body[strings.IndexByte(body+"\n", '\n')+min(1, len(body)-len(ticks)-len(info)):])
		body = strings.TrimSpace(strings.TrimSuffix(body, ticks))
	}
	if !strings.HasPrefix(body, "{") {
		return nil, nil
	}
	var o object
	err := json.NewDecoder(strings.NewReader(body)).Decode(&o)
	if err != nil {
		o = object{}
		err = json.NewDecoder(strings.NewReader(escapeControls(body))).Decode(&o)
	}
	switch {
	case err != nil && strings.Contains(body, "<<<<<") || err != nil && !strings.Contains(body, `"edits"`) && !strings.Contains(body, `"code"`):
		return nil, nil
	case err != nil:
		return nil, refuse("the answer is JSON that cannot be read: %v. Answer in plain text: a line Title:, a line Hypothesis:, then SEARCH/REPLACE blocks.", err)
	case len(o.Edits) == 0 && len(o.Changes) == 0 && o.Code == "" && o.Content == "":
		return nil, nil
	}
	return &o, nil
}

// edits reads the edits of a JSON answer, or the text that it holds.
func (o *object) edits(files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	list := append(o.Edits, o.Changes...)
	text := o.Code + o.Content
	if len(list) == 0 {
		return textOf(text, o.Path+o.File, files)
	}
	if text != "" {
		return nil, refuse("the JSON has both edits and code. Answer with one of them.")
	}
	var blocks []block
	for i, e := range list {
		replace := e.Replace
		for _, other := range []*string{e.New, e.NewText} {
			if replace == nil {
				replace = other
			}
		}
		if replace == nil {
			return nil, refuse("edit %d of the JSON has no \"replace\".", i+1)
		}
		path := firstOf(e.Path, e.File, e.FilePath, o.Path, o.File)
		blocks = append(blocks, block{name: "edit " + itoa(i+1), what: "search text", path: path, search: linesOf(firstOf(e.Search, e.Old, e.OldText)), replace: linesOf(*replace)})
	}
	return apply(blocks, files)
}

// textOf reads code in a string: blocks, a diff, or a whole file.
func textOf(text, path string, files map[string][]byte) ([]experiment.Edit, *experiment.Failure) {
	p := read(strings.ReplaceAll(text, "\r\n", "\n"))
	if p.object != nil {
		return nil, refuse("the JSON holds JSON. %s", askBlocks)
	}
	if len(p.blocks) > 0 || p.failure != nil || len(p.fences) > 0 || diffStart(p.lines) >= 0 {
		return p.edits(files)
	}
	whole := &page{fences: []fence{{path: path, lines: p.lines, closed: true}}}
	return whole.wholeFiles(whole.fences, files)
}

// linesOf splits a text; its last line end is none of its lines.
func linesOf(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// escapeControls repairs JSON whose strings have raw line feeds and tabs.
func escapeControls(text string) string {
	var b strings.Builder
	inside, escaped := false, false
	for _, r := range text {
		switch {
		case inside && !escaped && r == '\n':
			b.WriteString(`\n`)
			continue
		case inside && !escaped && r == '\t':
			b.WriteString(`\t`)
			continue
		case !escaped && r == '"':
			inside = !inside
		}
		escaped = inside && !escaped && r == '\\'
		b.WriteRune(r)
	}
	return b.String()
}
