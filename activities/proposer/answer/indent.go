package answer

import (
	"path"
	"strings"
)

// shift says how the indentation of an answer becomes that of the file. It is
// learned from the lines that the search text and the file share.
type shift struct {
	known    map[string]string // indentations seen on both sides
	uniform  bool
	identity bool                               // both sides are indented alike
	absurd   bool                               // deeper than maxIndent
	flat     bool                               // the answer has the same indentation everywhere
	rule     func(indent string) (string, bool) // for indentations that were not seen
	first    *string                            // of a first line that lost its own
}

// maxIndent is the deepest indentation that is shifted: a bound on what an
// answer of many short lines can become.
const maxIndent = 64

// shiftOf compares the indentation of search lines with that of real lines.
func shiftOf(search, real []string) shift {
	var pairs [][2]string
	lead := -1 // the pair of the first line
	for i := range search {
		if strings.Trim(search[i], blank) == "" || strings.Trim(real[i], blank) == "" {
			continue
		}
		if i == 0 {
			lead = len(pairs)
		}
		pairs = append(pairs, [2]string{indentOf(search[i]), indentOf(real[i])})
	}
	s := shiftOfPairs(pairs)
	if !s.uniform && lead == 0 && pairs[0][0] == "" && len(pairs) > 1 {
		if rest := shiftOfPairs(pairs[1:]); rest.uniform && rest.identity {
			rest.first = &pairs[0][1]
			return rest
		}
	}
	return s
}

func shiftOfPairs(pairs [][2]string) shift {
	s := shift{known: map[string]string{}, uniform: true, identity: true, flat: true}
	for _, p := range pairs {
		s.flat = s.flat && p[0] == pairs[0][0]
		s.absurd = s.absurd || max(len(p[0]), len(p[1])) > maxIndent
		s.identity = s.identity && p[0] == p[1]
		if real, ok := s.known[p[0]]; ok && real != p[1] {
			s.uniform = false
		}
		s.known[p[0]] = p[1]
	}
	if s.uniform {
		s.rule = ruleOf(pairs)
		s.uniform = s.rule != nil
	}
	return s
}

// ruleOf returns the simplest rule that explains all pairs, or nil.
func ruleOf(pairs [][2]string) func(string) (string, bool) {
	if len(pairs) == 0 {
		return func(s string) (string, bool) { return s, true }
	}
	answer, real := pairs[0][0], pairs[0][1]
	var rules []func(string) (string, bool)
	if more, ok := strings.CutSuffix(real, answer); ok {
		rules = append(rules, func(s string) (string, bool) { return more + s, true })
	}
	if less, ok := strings.CutSuffix(answer, real); ok {
		rules = append(rules, func(s string) (string, bool) { return strings.CutPrefix(s, less) })
	}
	for _, unit := range []int{4, 2, 8, 3} { // the same depth, in other units
		rules = append(rules, tabs(unit, 0), notabs(unit, 0))
	}
	for _, unit := range []int{4, 2, 8} { // and shifted
		depth := strings.Count(real, "\t") - len(answer)/unit
		rules = append(rules, tabs(unit, depth), notabs(unit, len(real)/unit-strings.Count(answer, "\t")))
	}
	for _, rule := range rules {
		fits := true
		for _, p := range pairs {
			got, ok := rule(p[0])
			fits = fits && ok && got == p[1]
		}
		if fits {
			return rule
		}
	}
	return nil
}

// tabs writes every unit spaces as a tab, and shifts by some.
func tabs(unit, shift int) func(string) (string, bool) {
	return func(s string) (string, bool) {
		s = strings.ReplaceAll(s, "\t", strings.Repeat(" ", unit))
		n := len(s)/unit + shift
		if strings.Trim(s, " ") != "" || n < 0 {
			return "", false
		}
		return strings.Repeat("\t", n) + strings.Repeat(" ", len(s)%unit), true
	}
}

// notabs writes every tab as unit spaces, and shifts by some.
func notabs(unit, shift int) func(string) (string, bool) {
	return func(s string) (string, bool) {
		n := len(s) + shift
		if strings.Trim(s, "\t") != "" || n < 0 {
			return "", false
		}
		return strings.Repeat(" ", n*unit), true
	}
}

func indentOf(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " \t"))] }

// fits says whether a shift will do at a level. Where indentation has no meaning
// the answer may also have none at all, once white space does not count.
func (s shift) fits(l level, name string) bool {
	return !s.absurd && (s.uniform || s.flat && l >= spaces && path.Ext(name) == ".go")
}

// line shifts a line that is new; front says that it is the first one.
func (s shift) line(line string, front bool) string {
	old := indentOf(line)
	rest := line[len(old):]
	if strings.Trim(rest, blank) == "" {
		return ""
	}
	if front && s.first != nil && old == "" {
		return *s.first + rest
	}
	if real, ok := s.known[old]; ok {
		return real + rest
	}
	if s.rule != nil {
		if real, ok := s.rule(old); ok {
			return real + rest
		}
	}
	return line
}
