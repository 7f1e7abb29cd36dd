package bpe

import (
	"unicode"
	"unicode/utf8"
)

// maxPiece bounds a piece, so that a megabyte without a space costs no more
// to encode than other text. Words are shorter.
const maxPiece = 64

// kind is what a character is to the splitter.
type kind uint8

const (
	other kind = iota // punctuation, symbols, bytes that are no UTF-8
	letter
	digit
	newline
	space
	zero
)

// ascii holds the kinds of single bytes.
var ascii = func() (table [utf8.RuneSelf]kind) {
	for c := range table {
		switch {
		case c == 0:
			table[c] = zero
		case c == '\n' || c == '\r':
			table[c] = newline
		case unicode.IsSpace(rune(c)):
			table[c] = space
		case unicode.IsLetter(rune(c)):
			table[c] = letter
		case unicode.IsDigit(rune(c)):
			table[c] = digit
		}
	}
	return table
}()

// first returns the kind and the length of the first character of b; an empty
// text looks like one that a zero byte ends.
func first(b []byte) (kind, int) {
	if len(b) == 0 {
		return zero, 0
	}
	if b[0] < utf8.RuneSelf {
		return ascii[b[0]], 1
	}
	r, n := utf8.DecodeRune(b)
	switch {
	case r == utf8.RuneError && n == 1:
		return other, 1
	case unicode.IsLetter(r) || unicode.IsMark(r):
		return letter, n
	case unicode.IsNumber(r):
		return digit, n
	case unicode.IsSpace(r):
		return space, n
	}
	return other, n
}

// run returns the end of the characters of kind k from b[at] on, at most most
// of them.
func run(b []byte, at int, k kind, most int) int {
	for ; most > 0 && at < maxPiece; most-- {
		found, n := first(b[at:])
		if found != k || n == 0 {
			break
		}
		at += n
	}
	return at
}

// next returns the length of the first piece of a text that is not empty. The
// rules are those of GPT-4's tokenizer in spirit, tried in this order:
//
//	a zero byte, alone
//	an English contraction: 's 't 'd 'm 'll 've 're
//	letters, with one character before them that is no letter, digit or newline
//	one to three digits
//	punctuation, with a space before it and the newlines after it
//	white space up to its last newline
//	white space, but for the last character if a word or a sign follows
func next(b []byte) int {
	k, n := first(b)
	switch k {
	case zero:
		return 1
	case letter:
		return run(b, n, letter, maxPiece)
	case digit:
		return run(b, n, digit, 2)
	case newline:
		return blank(b)
	}
	if c := contraction(b); c > 0 {
		return c
	}
	after, _ := first(b[n:])
	switch {
	case after == letter:
		return run(b, n, letter, maxPiece)
	case k == other || b[0] == ' ' && after == other:
		return run(b, run(b, n, other, maxPiece), newline, maxPiece)
	}
	return blank(b)
}

// contraction returns the length of the contraction that b begins with, or 0.
func contraction(b []byte) int {
	if b[0] != '\'' || len(b) < 2 {
		return 0
	}
	lower := func(i int) byte {
		if i < len(b) {
			return b[i] | 0x20
		}
		return 0
	}
	switch c := lower(1); c {
	case 's', 't', 'd', 'm':
		return 2
	case 'l', 'v', 'r':
		if want := map[byte]byte{'l': 'l', 'v': 'e', 'r': 'e'}[c]; lower(2) == want {
			return 3
		}
	}
	return 0
}

// blank returns the length of the piece of white space that b begins with.
func blank(b []byte) int {
	end, last, lines := 0, 0, 0 // of the run, of its last character, of its last newline
	for end < maxPiece {
		k, n := first(b[end:])
		if k != space && k != newline {
			if k != zero && lines == 0 && last < end && last > 0 {
				return last
			}
			break
		}
		last = end
		if end += n; k == newline {
			lines = end
		}
	}
	if lines > 0 {
		return lines
	}
	return end
}
