package answer

import (
	"regexp"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// said returns the part of an answer that is meant for us: normal line ends,
// without reasoning and the control tokens that some servers let through.
func said(text string) (string, *experiment.Failure) {
	text, failure := plain(text)
	if failure != nil {
		return "", failure
	}
	if strings.TrimSpace(text) == "" {
		return "", refuse("the answer is empty. %s", askBlocks)
	}
	text, open := withoutReasoning(lastChannel(text))
	text = headerTag.ReplaceAllString(controlToken.ReplaceAllString(text, ""), "$1: $2")
	switch {
	case open:
		return "", refuse("the answer ends within its reasoning: the closing tag is missing, so it was probably cut off. Think less, then answer.")
	case strings.TrimSpace(text) == "":
		return "", refuse("the answer is nothing but reasoning. %s", askBlocks)
	}
	if escapedMarker.MatchString(text) {
		text = unescapeHTML(text)
	}
	return text, nil
}

// plain makes text of what came over the wire.
func plain(text string) (string, *experiment.Failure) {
	if len(text) > maxAnswer {
		return "", refuse("the answer has %d bytes, at most %d are read. Answer with SEARCH/REPLACE blocks for the lines that change.", len(text), maxAnswer)
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.TrimPrefix(text, "\uFEFF")
	return strings.ReplaceAll(text, "\r\n", "\n"), nil
}

var (
	// Tags stand at the start of a line; code does not have them there.
	openTag  = regexp.MustCompile(`(?im)^[ \t]*<(think|thinking|thought|reasoning|reflection|scratchpad)>`)
	closeTag = regexp.MustCompile(`(?i)</(think|thinking|thought|reasoning|reflection|scratchpad)>`)
	// <|im_end|>, <｜end▁of▁sentence｜>, </s> on the last line.
	controlToken = regexp.MustCompile(`(?m)<[|｜][a-zA-Z_▁]{1,40}[|｜]>[ \t]*$|\n?</s>\s*\z`)
	finalChannel = regexp.MustCompile(`<\|channel\|>\s*final[^<\n]*<\|message\|>`)
	anyChannel   = regexp.MustCompile(`\A\s*(<\|start\|>assistant)?<\|channel\|>\s*(analysis|commentary)`)

	headerTag     = regexp.MustCompile(`(?im)^[ \t]*<(title|hypothesis|expected)>(.*?)(?:</\w+>)?[ \t]*$`)
	escapedMarker = regexp.MustCompile(`(?m)^[ \t]*(&lt;){5,9}`)
)

// lastChannel returns the final message of a server that does not take its
// model's channels apart. An analysis without a final message is all reasoning.
func lastChannel(text string) string {
	if at := finalChannel.FindAllStringIndex(text, -1); len(at) > 0 {
		return text[at[len(at)-1][1]:]
	}
	if anyChannel.MatchString(text) {
		return ""
	}
	return text
}

// withoutReasoning cuts <think> parts out. A closing tag without an opening one
// ends a reasoning whose start was in the prompt.
func withoutReasoning(text string) (rest string, open bool) {
	var out strings.Builder
	at := 0 // text before it is dealt with
	opens := openTag.FindAllStringIndex(text, -1)
	for _, end := range closeTag.FindAllStringIndex(text, -1) {
		for len(opens) > 0 && opens[0][0] < at {
			opens = opens[1:]
		}
		if len(opens) == 0 || end[0] < opens[0][0] {
			out.Reset()
		} else {
			out.WriteString(text[at:opens[0][0]] + "\n")
		}
		at = end[1]
	}
	if n := len(opens); n > 0 && opens[n-1][0] >= at {
		return "", true
	}
	out.WriteString(text[at:])
	return out.String(), false
}

var entities = strings.NewReplacer(
	"&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&apos;", "'", "&nbsp;", " ", "&#160;", " ", "&amp;", "&",
)

// unescapeHTML undoes what a chat page does to code. Only complete entities
// count: &params is Go, not a paragraph sign.
func unescapeHTML(text string) string { return entities.Replace(text) }
