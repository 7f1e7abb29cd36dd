package guard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// pythonToken is a token, as far as the rules need to know: names with
// keywords, numbers, strings, single characters, and the ends of statements.
type pythonToken struct {
	kind   byte // 'n' name, '0' number, 's' string, '#' comment, ';' end of a statement, 'o' any other character
	text   string
	offset int
	line   int
}

// pythonLexer splits a file in Python. It knows just enough to tell code from
// comments and strings, and where statements end.
type pythonLexer struct {
	src       string
	at, line  int
	depth     int // of brackets
	tokens    []pythonToken
	unclosed  int // line of a string that does not end; 0 for none
	backslash bool
}

// pythonTokens returns the tokens of a file, or an error that names a line.
func pythonTokens(src string) ([]pythonToken, error) {
	l := &pythonLexer{src: src, line: 1}
	for l.at < len(l.src) && l.unclosed == 0 {
		l.next()
	}
	if l.unclosed > 0 {
		return nil, fmt.Errorf("the string that begins in line %d does not end", l.unclosed)
	}
	return l.tokens, nil
}

var (
	pythonName   = regexp.MustCompile(`^[\pL_][\pL\pN\pM\p{Pc}]*`)
	pythonNumber = regexp.MustCompile(`^(0[xXoObB][0-9a-fA-F_]+|(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?[\d_]+)?[jJ]?)`)
	pythonString = regexp.MustCompile(`^([rRbBuUfFtT]{0,3})("""|'''|"|')`)
)

func (l *pythonLexer) next() {
	rest := l.src[l.at:]
	switch c := rest[0]; {
	case c == '\n':
		if l.depth == 0 {
			l.emit(';', 0)
		}
		l.line++
		l.at++
	case c == ' ' || c == '\t' || c == '\r':
		l.at++
	case strings.HasPrefix(rest, "\\\n"):
		l.line++
		l.at += 2
	case strings.HasPrefix(rest, "\\\r\n"):
		l.line++
		l.at += 3
	case c == '#':
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		l.emit('#', end)
	case pythonString.MatchString(rest):
		l.str(rest)
	case pythonName.MatchString(rest):
		l.emit('n', len(pythonName.FindString(rest)))
	case pythonNumber.MatchString(rest):
		l.emit('0', len(pythonNumber.FindString(rest)))
	default:
		l.other(rest)
	}
}

func (l *pythonLexer) other(rest string) {
	_, n := utf8.DecodeRuneInString(rest)
	kind := byte('o')
	switch rest[0] {
	case '(', '[', '{':
		l.depth++
	case ')', ']', '}':
		l.depth = max(0, l.depth-1)
	case ';':
		kind = ';'
	}
	l.emit(kind, n)
}

// emit adds a token of n bytes and moves past it.
func (l *pythonLexer) emit(kind byte, n int) {
	l.tokens = append(l.tokens, pythonToken{kind, l.src[l.at : l.at+n], l.at, l.line})
	l.at += n
}

// str reads a string with its prefix and quotes.
func (l *pythonLexer) str(rest string) {
	m := pythonString.FindStringSubmatch(rest)
	quotes := m[2]
	i, lines := len(m[0]), 0
	for {
		switch {
		case i >= len(rest), rest[i] == '\n' && len(quotes) == 1:
			l.unclosed = l.line
			return
		case rest[i] == '\\' && i+1 < len(rest): // in a raw string, too, it keeps a quote from ending it
			if rest[i+1] == '\n' {
				lines++
			}
			i += 2
			continue
		case strings.HasPrefix(rest[i:], quotes):
			l.emit('s', i+len(quotes))
			l.line += lines
			return
		case rest[i] == '\n':
			lines++
		}
		i++
	}
}

// pythonCode is the text with comments blanked out.
func pythonCode(src string, tokens []pythonToken) string {
	code := []byte(src)
	for _, t := range tokens {
		if t.kind == '#' {
			blank(code, t.offset, len(t.text))
		}
	}
	return string(code)
}

// pythonEncoding matches a declaration that lets Python read a file as another
// text than the one that is checked here (PEP 263).
var pythonEncoding = regexp.MustCompile(`^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)`)

// pythonWays are the names that lead around a list of imports.
var pythonWays = []string{
	"__import__", "__builtins__", "__loader__", "__spec__", "__subclasses__", "__globals__", "__getattribute__",
	"builtins", "importlib", "eval", "exec", "compile", "globals", "breakpoint",
}

var anyName = regexp.MustCompile(`[\pL_][\pL\pN_]*`)

func (r Rules) checkPython(path string, src []byte) (string, *experiment.Failure) {
	for i, line := range strings.SplitN(string(src), "\n", 3)[:min(2, 1+strings.Count(string(src), "\n"))] {
		if m := pythonEncoding.FindStringSubmatch(line); m != nil && !slices.Contains([]string{"utf-8", "utf8"}, strings.ToLower(m[1])) {
			return "", Refuse(path, i+1, "text", "the encoding %q is not allowed: the file is read as UTF-8", m[1])
		}
	}
	tokens, err := pythonTokens(string(src))
	if err != nil {
		return "", Refuse(path, 0, "syntax", "%v", err)
	}
	for _, t := range tokens {
		if t.kind == 'n' && !ascii(t.text) {
			return "", Refuse(path, t.line, "names", "the name %q has letters beyond ASCII, which Python may take for others: spell it out", t.text)
		}
	}
	if r.Imports != nil {
		if f := pythonImports(path, tokens, *r.Imports); f != nil {
			return "", f
		}
	}
	if r.MaxLiteralBytes > 0 {
		if f := pythonData(path, tokens, r.MaxLiteralBytes); f != nil {
			return "", f
		}
	}
	return pythonCode(string(src), tokens), nil
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// pythonImports finds every import statement by its keyword, which can stand
// nowhere else, and every name that imports without one.
func pythonImports(path string, tokens []pythonToken, allowed []string) *experiment.Failure {
	code := slices.DeleteFunc(slices.Clone(tokens), func(t pythonToken) bool { return t.kind == '#' })
	for i, t := range code {
		switch {
		case t.kind == 'n' && t.text == "import":
			for _, module := range imported(code, i) {
				if !slices.ContainsFunc(allowed, func(a string) bool { return module == a || strings.HasPrefix(module, a+".") }) {
					return Refuse(path, t.line, "imports", "import of %s is not allowed: only %s may be imported", module, strings.Join(allowed, ", "))
				}
			}
		case t.kind == 'n' && slices.Contains(pythonWays, t.text) && !attribute(code, i):
			return Refuse(path, t.line, "imports", "%s is not allowed: it leads around the list of imports", t.text)
		case t.kind == 's' && formatted(t.text):
			for _, name := range anyName.FindAllString(t.text, -1) {
				if strings.HasPrefix(name, "__") && slices.Contains(pythonWays, name) {
					return Refuse(path, t.line, "imports", "%s is not allowed: it leads around the list of imports", name)
				}
			}
		}
	}
	return nil
}

// attribute says whether a plain name belongs to an object, as in model.eval()
// and torch.compile(), and so is another thing than the function of that name.
func attribute(code []pythonToken, i int) bool {
	return i > 0 && code[i-1].text == "." && !strings.HasPrefix(code[i].text, "__")
}

// formatted says whether there may be code in a string.
func formatted(literal string) bool {
	prefix, _, _ := strings.Cut(literal, literal[len(literal)-1:])
	return strings.ContainsAny(prefix, "fFtT")
}

// imported lists the modules of the import statement with its keyword at i.
func imported(code []pythonToken, i int) (modules []string) {
	from := i
	for from > 0 && code[from-1].kind != ';' && (code[from-1].kind == 'n' || code[from-1].text == ".") && code[from].text != "from" {
		from--
	}
	if code[from].text == "from" {
		return []string{join(code[from+1 : i])}
	}
	start := i + 1
	for j := i + 1; ; j++ {
		end := j == len(code) || code[j].kind == ';'
		if end || code[j].text == "," {
			modules = append(modules, join(code[start:j]))
			start = j + 1
		}
		if end {
			return modules
		}
	}
}

// join puts a dotted name together, up to its "as".
func join(tokens []pythonToken) string {
	var b strings.Builder
	for _, t := range tokens {
		if t.text == "as" {
			break
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// pythonData adds up the bytes of strings, docstrings included, and half a byte
// for each digit and each number.
func pythonData(path string, tokens []pythonToken, limit int) *experiment.Failure {
	total := 0 // half bytes
	for _, t := range tokens {
		switch t.kind {
		case 's':
			total += 2 * max(0, len(t.text)-2)
		case '0':
			total += 1 + digits(t.text)
		}
		if total/2 > limit {
			return Refuse(path, t.line, "data", "up to here the file carries %d bytes in its literals: at most %d are allowed", total/2, limit)
		}
	}
	return nil
}
