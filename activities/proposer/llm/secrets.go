package llm

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// minSecret is the length from which a value counts as a secret. Local servers
// are often given a word such as "none" for a key: taking such a word out of an
// answer would damage the answer.
const minSecret = 8

// secrets replaces what must never leave this process, in any form in which a
// server or a library may repeat it.
type secrets struct{ replacer *strings.Replacer }

func secretsOf(key string, e endpoint) secrets {
	var pairs []string
	add := func(value, name string) {
		if len(value) < minSecret {
			return
		}
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			pairs = append(pairs, form, "[$"+name+"]")
		}
	}
	add(key, EnvKey)
	if e.user != nil {
		password, _ := e.user.Password()
		add(base64.StdEncoding.EncodeToString([]byte(e.user.Username()+":"+password)), EnvBaseURL)
		add(password, EnvBaseURL)
		add(e.user.Username(), EnvBaseURL)
	}
	values, _ := url.ParseQuery(e.query)
	for _, list := range values {
		for _, value := range list {
			add(value, EnvBaseURL)
		}
	}
	add(e.query, EnvBaseURL)
	return secrets{strings.NewReplacer(pairs...)}
}

func (s secrets) redact(text string) string { return s.replacer.Replace(text) }

// escapes are the sequences that colour a terminal or move its cursor.
var escapes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|[@-Z\\\\-_])")

// cleanText removes what has no business in text that others wrote: terminal
// sequences, control and formatting characters, broken UTF-8. Line ends and
// tabs stay.
func cleanText(text string) string {
	text = escapes.ReplaceAllString(strings.ToValidUTF8(text, ""), "")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) || r == '\u2028' || r == '\u2029') {
			return -1
		}
		return r
	}, text)
}

// oneLine is clean text in one line of at most so many bytes.
func oneLine(text string, most int) string {
	return cut(strings.Join(strings.Fields(cleanText(text)), " "), most)
}

// cut shortens text to so many bytes, at the border of a character.
func cut(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	return strings.TrimSpace(strings.ToValidUTF8(text[:max(0, most-len(mark))], "")) + mark
}
