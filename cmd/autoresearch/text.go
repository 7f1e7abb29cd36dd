package main

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// printable makes text from elsewhere (titles, logs, error messages of a
// candidate) safe for a terminal: one line, no escape sequences, no secrets,
// and ASCII where the locale can show nothing else. It goes before clip, which
// would leave the beginning of a secret.
func (s style) printable(text string) string {
	if s.hide != nil {
		text = s.hide(text)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		case r > unicode.MaxASCII && !s.utf8:
			return '?'
		}
		return r
	}, text)
}

// columns is how many terminal columns text takes; it has no escape sequences.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// clip shortens text to at most max columns, the last of which then say so.
func (s style) clip(text string, max int) string {
	if columns(text) <= max {
		return text
	}
	end := "..."
	if s.utf8 {
		end = "…"
	}
	if max <= columns(end) {
		end = ""
	}
	room, n := max-columns(end), 0
	for i, r := range text {
		if n += runeColumns(r); n > room {
			return text[:i] + end
		}
	}
	return text
}

// wrap breaks text at spaces into lines of at most max columns. The last of at
// most n lines takes the rest.
func wrap(text string, max, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) > max && len(lines) < n-1:
			lines, line = append(lines, line), "  "+word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// span is a duration as people say it: 7.5s, 42s, 3m05s,
// 8h02m.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 2*time.Minute: // "60s of 60s" reads better than 1m00s
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// seconds is span for the numbers of a measurement.
func seconds(s float64) string {
	if math.IsNaN(s) || s > 1e9 {
		return "-"
	}
	return span(time.Duration(s * float64(time.Second)))
}

// count is a large number in three digits: 8.1k, 12.5M.
func count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1fG", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0fk", n/1e3)
	case n >= 1e3:
		return fmt.Sprintf("%.1fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

// plural is "1 experiment", "2 experiments".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
