// Package guard holds the static rules for files that a proposer edits: what
// can be told from the text of a program before any of it runs.
//
// [Rules] are those that a target's manifest states. The built-in targets call
// the pieces: [Text], [ParseGo], [GoImports], [GoDirectives], [GoData].
// Everything here is a pure function of its arguments.
//
// The rules are the first line and not the last. They answer at once, with a
// line and a reason that the proposer can act on, where a sandbox gives a crash
// and an evaluation a bad score. For Go without unsafe they also hold: code that
// imports numerics only can open no file and no connection. For Python they do
// not: an object leads to every module there is, so the list of imports keeps
// honest programs in order, and the sandbox keeps the others in.
//
// # Errors
//
// A file that breaks a rule gives an *experiment.Failure with the reason
// invalid-edit. It names path, line and rule, and goes back to the proposer.
// [Rules.Validate] says what is wrong with the rules themselves.
package guard

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// DefaultMaxBytes bounds a file where its rules do not say: a program, not data.
const DefaultMaxBytes = 64 << 10

// Rules are the static rules of a target for the files that a candidate may
// edit. The zero value asks for text of at most DefaultMaxBytes.
type Rules struct {
	// Language is "go", "python" or "text", for all files; empty goes by the
	// ending of each file's name, and text is what is neither .go nor .py.
	Language string `json:"language,omitempty"`
	// MaxBytes bounds the size of a file; 0 is DefaultMaxBytes.
	MaxBytes int `json:"max_bytes,omitempty"`
	// MaxLiteralBytes bounds the data in the literals of a file in Go or Python:
	// strings and characters as they stand, numbers at four bits a digit. 0 is
	// no bound. Where a language model knows the validation text by heart, 1 KiB
	// keeps it from bringing it along.
	MaxLiteralBytes int `json:"max_literal_bytes,omitempty"`
	// Imports lists what a file in Go or Python may import; absent is anything,
	// an empty list is nothing. "torch" in Python stands for torch.nn, too; a
	// path in Go stands for itself alone. With it come the rules that such a
	// list is worth nothing without: no compiler directives in Go, no exec,
	// eval, __import__ and the like in Python.
	Imports *[]string `json:"imports,omitempty"`
	// Forbidden patterns must not match a file.
	Forbidden []Pattern `json:"forbidden,omitempty"`
	// Protected patterns must match the same texts, in the same order, as in the
	// file of the parent: `(?m)^TIME_BUDGET\b.*$` keeps a line as it is, and a
	// second one out.
	Protected []Pattern `json:"protected,omitempty"`
}

// Pattern is a regular expression (syntax of Go's package regexp) with the
// reason that a proposer is told. Comments of Go and Python are not matched.
type Pattern struct {
	Pattern string `json:"pattern"`
	Reason  string `json:"reason"`
}

// Validate says what is wrong with the rules, naming the field.
func (r Rules) Validate() error {
	switch {
	case !slices.Contains([]string{"", languageGo, languagePython, languageText}, r.Language):
		return fmt.Errorf("language is %q: it is go, python or text, or left out to go by the names of the files", r.Language)
	case r.MaxBytes < 0 || r.MaxBytes > DefaultMaxBytes:
		return fmt.Errorf("max_bytes is %d: 1 to %d, or left out for the latter", r.MaxBytes, DefaultMaxBytes)
	case r.MaxLiteralBytes < 0:
		return fmt.Errorf("max_literal_bytes is %d: it must not be negative", r.MaxLiteralBytes)
	case r.Language == languageText && (r.Imports != nil || r.MaxLiteralBytes > 0):
		return fmt.Errorf("imports and max_literal_bytes need the language go or python: what is text has neither")
	}
	if r.Imports != nil {
		for _, name := range *r.Imports {
			if name == "" || strings.ContainsAny(name, " \t\n\"`'*") {
				return fmt.Errorf("imports: %q is no name of a package", name)
			}
		}
	}
	for field, list := range map[string][]Pattern{"forbidden": r.Forbidden, "protected": r.Protected} {
		for i, p := range list {
			if err := p.validate(); err != nil {
				return fmt.Errorf("%s[%d]: %w", field, i, err)
			}
		}
	}
	return nil
}

func (p Pattern) validate() error {
	re, err := regexp.Compile(p.Pattern)
	switch {
	case err != nil:
		return fmt.Errorf("pattern: %w", err)
	case re.MatchString(""):
		return fmt.Errorf("pattern %q matches the empty text, and so every file", p.Pattern)
	case p.Reason == "":
		return fmt.Errorf("pattern %q has no reason: a proposer has to be told what to do instead", p.Pattern)
	}
	return nil
}

// Check applies the rules to the file at path. base is the same file in the
// parent; nil when there is none, and then nothing in it is protected.
func (r Rules) Check(path string, base, src []byte) *experiment.Failure {
	if err := r.Validate(); err != nil {
		return Refuse(path, 0, "rules", "the target's rules cannot be used: %v", err)
	}
	limit := r.MaxBytes
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if f := Text(path, src, limit); f != nil {
		return f
	}
	code := string(src)
	var f *experiment.Failure
	switch r.languageOf(path) {
	case languageGo:
		code, f = r.checkGo(path, src)
	case languagePython:
		code, f = r.checkPython(path, src)
	}
	if f == nil {
		f = r.checkForbidden(path, code)
	}
	if f == nil && base != nil {
		f = r.checkProtected(path, r.code(path, base), code)
	}
	return f
}

const (
	languageGo     = "go"
	languagePython = "python"
	languageText   = "text"
)

func (r Rules) languageOf(name string) string {
	switch ext := path.Ext(name); {
	case r.Language != "":
		return r.Language
	case ext == ".go":
		return languageGo
	case ext == ".py":
		return languagePython
	}
	return languageText
}

// code is the text of a file with its comments blanked out. A parent that
// cannot be read is taken as it stands.
func (r Rules) code(path string, src []byte) string {
	switch r.languageOf(path) {
	case languageGo:
		return goCode(src)
	case languagePython:
		if tokens, err := pythonTokens(string(src)); err == nil {
			return pythonCode(string(src), tokens)
		}
	}
	return string(src)
}

func (r Rules) checkForbidden(path, code string) *experiment.Failure {
	for _, p := range r.Forbidden {
		if at := regexp.MustCompile(p.Pattern).FindStringIndex(code); at != nil {
			return Refuse(path, lineAt(code, at[0]), "forbidden", "%s is not allowed here: %s", quote(code[at[0]:at[1]]), p.Reason)
		}
	}
	return nil
}

func (r Rules) checkProtected(path, base, code string) *experiment.Failure {
	for _, p := range r.Protected {
		want, got := matches(p, base), matches(p, code)
		for i := range max(len(want), len(got)) {
			switch {
			case i >= len(got):
				return Refuse(path, want[i].line, "protected", "%s, as it stands there in the parent, must stay: %s", quote(want[i].text), p.Reason)
			case i >= len(want):
				return Refuse(path, got[i].line, "protected", "%s is not in the parent and must not be added: %s", quote(got[i].text), p.Reason)
			case want[i].text != got[i].text:
				return Refuse(path, got[i].line, "protected", "%s must stay %s: %s", quote(got[i].text), quote(want[i].text), p.Reason)
			}
		}
	}
	return nil
}

// match is what a pattern matches, and the line where it begins.
type match struct {
	text string
	line int
}

// matches lists them without the blank lines before them and the blanks behind
// them, which a comment may have left.
func matches(p Pattern, code string) (list []match) {
	for _, at := range regexp.MustCompile(p.Pattern).FindAllStringIndex(code, -1) {
		text := code[at[0]:at[1]]
		for {
			line, rest, more := strings.Cut(text, "\n")
			if !more || strings.TrimSpace(line) != "" {
				break
			}
			text = rest
		}
		list = append(list, match{strings.TrimRight(text, " \t\r\n"), lineAt(code, at[1]-len(text))})
	}
	return list
}

// Refuse makes the failure for a file that breaks a rule. Line 0 stands for the
// whole file.
func Refuse(path string, line int, rule, format string, args ...any) *experiment.Failure {
	at := path
	if line > 0 {
		at = fmt.Sprintf("%s:%d", path, line)
	}
	return &experiment.Failure{Reason: experiment.InvalidEdit, Message: at + ": " + fmt.Sprintf(format, args...) + " (rule: " + rule + ")"}
}

func lineAt(text string, offset int) int { return 1 + strings.Count(text[:offset], "\n") }

// quote shows a piece of a file in a message of one line.
func quote(s string) string {
	const most = 80
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}
