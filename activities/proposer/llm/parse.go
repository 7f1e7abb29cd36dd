package llm

import (
	"regexp"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

type parsed struct {
	Title, Hypothesis, Expected string
	Edits                       []experiment.Edit
	Failure                     *experiment.Failure
}

var (
	block  = regexp.MustCompile(`(?s)(\S+)\n<<<<<<< SEARCH\n(.*?)\n=======\n(.*?)\n>>>>>>> REPLACE`)
	header = regexp.MustCompile(`(?m)^(Title|Hypothesis|Expected): *(.*)$`)
)

// parse stands in for answer.Parse.
var parse = func(text string, files map[string][]byte) (p parsed) {
	for _, m := range header.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "Title":
			p.Title = m[2]
		case "Hypothesis":
			p.Hypothesis = m[2]
		case "Expected":
			p.Expected = m[2]
		}
	}
	for _, m := range block.FindAllStringSubmatch(strings.ReplaceAll(text, "\r\n", "\n"), -1) {
		p.Edits = append(p.Edits, experiment.Edit{Path: m[1], Search: m[2], Replace: m[3]})
	}
	if len(p.Edits) == 0 {
		p.Failure = &experiment.Failure{Reason: experiment.InvalidEdit, Message: "no edit in the answer"}
	}
	return p
}
