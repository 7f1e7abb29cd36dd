package guard

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Text wants plain UTF-8 text of at most limit bytes, all of which can be seen:
// no control characters, and none that reorder what is shown or show nothing.
// What a person reads must be what the compiler reads (Boucher and Anderson
// 2021, "Trojan Source: Invisible Vulnerabilities").
func Text(path string, src []byte, limit int) *experiment.Failure {
	if len(src) > limit {
		return Refuse(path, 0, "size", "the file has %d bytes: at most %d are allowed", len(src), limit)
	}
	for n, line := range bytes.Split(src, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if !utf8.Valid(line) {
			return Refuse(path, n+1, "text", "not valid UTF-8: the file must be plain text")
		}
		for _, r := range string(line) {
			switch {
			case r == '\t':
			case unicode.Is(unicode.Cc, r):
				return Refuse(path, n+1, "text", "control character %U: the file must be plain text", r)
			case Hidden(r):
				return Refuse(path, n+1, "text", "the character %U cannot be seen, or changes the order in which others are: spell out what is meant", r)
			}
		}
	}
	return nil
}

// Hidden says whether a character shows nothing of its own in a line of text:
// bidirectional controls, zero-width spaces and joiners, soft hyphens, variation
// selectors, tags, fillers, line separators, and characters of private use.
func Hidden(r rune) bool {
	return r >= utf8.RuneSelf && (unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector))
}

// Plain makes a piece of what a program has written fit for a terminal, a
// prompt and a table: escape sequences are taken out whole, with what they
// carry (a title, a clipboard, an address), and so are control characters other
// than tab and line feed, C1 controls, and hidden characters. Bytes that are no
// UTF-8 become U+FFFD.
func Plain(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		if n := escape(s); n > 0 {
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if !unprintable(r) {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func unprintable(r rune) bool {
	return r != '\t' && r != '\n' && (unicode.Is(unicode.Cc, r) || Hidden(r))
}

// maxControlString bounds a control string that is never ended: what follows in
// its line is text again.
const maxControlString = 4096

// escape is the length of the escape sequence at the start of s (ECMA-48), 0 if
// there is none. It ends at the end of the line at the latest.
func escape(s string) int {
	var kind byte
	rest := s
	switch {
	case len(s) > 1 && s[0] == 0x1b:
		kind, rest = s[1], s[2:]
	case len(s) > 1 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0: // C1, in UTF-8
		kind, rest = s[1]-0x40, s[2:]
	default:
		return 0
	}
	head := len(s) - len(rest)
	switch kind {
	case '[': // CSI: parameters, intermediates, one final byte
		n := 0
		for n < len(rest) && rest[n] >= 0x20 && rest[n] < 0x40 {
			n++
		}
		if n < len(rest) && rest[n] >= 0x40 && rest[n] < 0x7f {
			n++
		}
		return head + n
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC: until BEL or ST
		return head + controlString(rest)
	}
	n := 0
	if s[0] == 0x1b { // two bytes, or intermediates and a final byte
		if kind < 0x20 || kind >= 0x7f {
			return 1
		}
		if kind < 0x30 {
			for n < len(rest) && rest[n] >= 0x20 && rest[n] < 0x30 {
				n++
			}
			n = min(n+1, len(rest))
			if n > 0 && (rest[n-1] < 0x30 || rest[n-1] >= 0x7f) {
				n--
			}
		}
	}
	return head + n
}

// controlString is the length of the text up to and with its terminator; 0 if
// it has none in its line.
func controlString(s string) int {
	for i := 0; i < min(len(s), maxControlString) && s[i] != '\n'; i++ {
		switch {
		case s[i] == 0x07:
			return i + 1
		case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\', s[i] == 0xc2 && i+1 < len(s) && s[i+1] == 0x9c:
			return i + 2
		}
	}
	return 0
}
