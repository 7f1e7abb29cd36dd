package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// The output rules:
//
//  1. Data goes to standard output, everything else to standard error. A pipe
//     never sees a notice, a progress bar or a hint.
//  2. Messages are lower case, without a final period, and name the thing they
//     are about. An error is one line "error: ..." and one line "hint: ...";
//     lines of a file that it quotes are indented below it.
//  3. With --json, data is JSON: one object, or one object a line for lists.
//     Fields are snake_case and are the design's terms. Errors are an object
//     too, on standard error, {"error", "hint", "code"}, and so are notices,
//     {"note"}.
//  4. Color and redrawn lines appear on a terminal only, and never with
//     --no-color, NO_COLOR or TERM=dumb. Meaning never rests on color alone.
//  5. Outside a UTF-8 locale everything that we draw is ASCII.
//  6. val_bpb has four decimals, a difference its sign, a commit seven digits.
//  7. A key is never written, whoever quotes it: see [app.hide].

// style says what may be written.
type style struct {
	color bool
	utf8  bool
	hide  func(string) string // takes secrets out of foreign text; nil is none
}

// styleOf follows rules 4 and 5 for the stream w.
func (a *app) styleOf(w io.Writer) style {
	_, terminal := a.size(w)
	plain := a.noColor || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb"
	return style{color: terminal && !plain, utf8: a.utf8(), hide: a.hide}
}

// utf8 tells whether the locale can show more than ASCII.
func (a *app) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := a.getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// The few colors, by meaning.
const (
	good  = "32" // keep, ok
	bad   = "31" // crash, FAIL, error
	mild  = "33" // warn
	faint = "2"  // discard, hints
	loud  = "1"  // headings
)

// paint colors s where that is allowed.
func (s style) paint(color, text string) string {
	if !s.color || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// note writes one line for people, as {"note": ...} with --json.
func (a *app) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if a.json {
		b, _ := json.Marshal(map[string]string{"note": text})
		text = string(b)
	}
	a.screen.print(a.stderr, a.hide(text))
}

// hide takes the secrets of this process out of a text. Short ones stay: they
// are the "none" that a server without keys is given.
func (a *app) hide(text string) string {
	for _, name := range []string{"OPENAI_API_KEY", "TEMPORAL_API_KEY"} {
		if v := a.getenv(name); len(v) >= 8 {
			text = strings.ReplaceAll(text, v, "[$"+name+"]")
		}
	}
	return text
}

// height is that of the terminal w; 0 where it is not known.
func (a *app) height(w io.Writer) int {
	if a.rows == nil {
		return 0
	}
	return a.rows(w)
}

// line writes one line of data.
func (a *app) line(text string) { a.screen.print(a.stdout, a.hide(text)) }

// object writes v as one line of JSON, or as indented JSON for a person.
func (a *app) object(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	a.line(string(b))
	return nil
}

// report writes err by rules 2 and 3 and returns the exit status.
func (a *app) report(err error) exitCode {
	f := classify(err)
	message, hint := strings.TrimSpace(f.Error()), strings.TrimSpace(f.hint)
	if a.json {
		b, _ := json.Marshal(struct {
			Error string   `json:"error"`
			Hint  string   `json:"hint"`
			Code  exitCode `json:"code"`
		}{message, hint, f.code})
		a.screen.print(a.stderr, a.hide(string(b)))
		return f.code
	}
	s := a.styleOf(a.stderr)
	a.note("%s %s", s.paint(bad, "error:"), quoting(message, s))
	if hint != "" {
		a.note("%s %s", s.paint(faint, "hint:"), hint)
	}
	return f.code
}

// quoting makes a message safe for a terminal. The lines that it quotes, such as
// those that a patch does not fit, stand below it, indented.
func quoting(message string, s style) string {
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		lines[i] = s.printable(line)
	}
	return strings.Join(lines, "\n    ")
}

// bpb prints a score that may be missing.
func bpb(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *v)
}
