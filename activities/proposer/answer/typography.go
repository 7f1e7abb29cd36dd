package answer

import "strings"

// kinds is a set of kinds of characters that stand in for ASCII ones.
type kinds int

const (
	quotes kinds = 1 << iota
	dashes
	gaps      // spaces that are no space
	invisible // zero width
	ellipsis
	fullWidth
	everything kinds = 1<<iota - 1
)

// kindOf returns the kind of a character and what it stands in for; 0 for none.
// No character here can stand in a program outside of strings and comments.
func kindOf(r rune) (kinds, string) {
	switch {
	case r < 0x80:
		return 0, ""
	case strings.ContainsRune("“”„‟″", r):
		return quotes, `"`
	case strings.ContainsRune("‘’‚‛′", r):
		return quotes, "'"
	case strings.ContainsRune("‐‑‒–—―−", r):
		return dashes, "-"
	case r == 0xA0 || r >= 0x2000 && r <= 0x200A || r == 0x202F || r == 0x205F || r == 0x3000:
		return gaps, " "
	case r >= 0x200B && r <= 0x200D || r == 0x2060 || r == 0xFEFF || r == 0xAD:
		return invisible, ""
	case r == '…':
		return ellipsis, "..."
	case r >= 0xFF01 && r <= 0xFF5E:
		return fullWidth, string(r - 0xFF01 + '!')
	}
	return 0, ""
}

// toASCII replaces the characters of some kinds.
func toASCII(line string, these kinds) string {
	if these == 0 || !strings.ContainsFunc(line, func(r rune) bool { k, _ := kindOf(r); return k&these != 0 }) {
		return line
	}
	var b strings.Builder
	for _, r := range line {
		if k, plain := kindOf(r); k&these != 0 {
			b.WriteString(plain)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func kindsIn(lines []string) (found kinds) {
	for _, line := range lines {
		for _, r := range line {
			k, _ := kindOf(r)
			found |= k
		}
	}
	return found
}

// substituted returns the kinds of which the search lines have some, and the
// real lines none: the answer writes ASCII that way.
func substituted(search, real []string) kinds { return kindsIn(search) &^ kindsIn(real) }
