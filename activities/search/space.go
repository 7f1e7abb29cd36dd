package search

import (
	"fmt"
	"go/constant"
	"go/token"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is the kind of values that a constant may take.
type Kind int

// The kinds.
const (
	Real    Kind = iota // a range of real numbers
	Integer             // a range of integers
	Ordered             // a list of numbers: neighbours are alike
	Nominal             // a list of words: any two are equally far apart
)

// Dim is the set of values that one constant may take.
type Dim struct {
	Name    string
	Kind    Kind
	Lo, Hi  float64  // Real and Integer
	Log     bool     // Real and Integer
	Choices []string // Ordered (ascending) and Nominal: canonical literals
}

// Space is the dimensions of a file, in the order of its lines.
type Space []Dim

// Point gives each constant of a space a value: the canonical Go literal.
type Point map[string]string

// Key is the same for equal points of one space, and for them alone.
func (s Space) Key(p Point) string {
	var b strings.Builder
	for _, d := range s {
		b.WriteString(p[d.Name])
		b.WriteByte(0)
	}
	return b.String()
}

// Canonical checks a Go literal against d and returns the form in which equal
// values are equal strings: 1e4 becomes 10000.0, 0x10 becomes 16.
func (d Dim) Canonical(literal string) (string, error) {
	if len(d.Choices) > 0 {
		return d.choice(literal)
	}
	v, err := number(literal)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s is %s: %w", d.Name, literal, err)
	case d.Kind == Integer && v != math.Trunc(v):
		return "", fmt.Errorf("%s is %s: its range says int", d.Name, literal)
	case v < d.Lo || v > d.Hi:
		return "", fmt.Errorf("%s is %s: outside of its range %s..%s", d.Name, literal, plain(d.Lo), plain(d.Hi))
	}
	return d.literal(v), nil
}

func (d Dim) choice(literal string) (string, error) {
	want, _ := canonicalChoice(literal)
	v, numeric := Number(want)
	shown := make([]string, len(d.Choices))
	for i, c := range d.Choices {
		if x, ok := Number(c); c == want || ok && numeric && x == v {
			return c, nil
		}
		shown[i] = Plain(c)
	}
	return "", fmt.Errorf("%s is %s: not one of %s", d.Name, literal, strings.Join(shown, ", "))
}

// literal writes v as Go source of d's kind.
func (d Dim) literal(v float64) string {
	if d.Kind == Integer {
		return strconv.FormatInt(int64(v), 10)
	}
	text := plain(v)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// unit maps a canonical value of a Real, Integer or Ordered dimension to
// [0, 1], where equal distances mean equal steps.
func (d Dim) unit(literal string) float64 {
	switch d.Kind {
	case Ordered, Nominal:
		return (float64(slices.Index(d.Choices, literal)) + 0.5) / float64(len(d.Choices))
	case Integer:
		v, _ := number(literal)
		lo, hi := d.scale(d.Lo-0.5), d.scale(d.Hi+0.5) // with log, Lo is 1 or more
		return (d.scale(v) - lo) / (hi - lo)
	}
	v, _ := number(literal)
	return (d.scale(v) - d.scale(d.Lo)) / (d.scale(d.Hi) - d.scale(d.Lo))
}

func (d Dim) scale(v float64) float64 {
	if d.Log {
		return math.Log(v)
	}
	return v
}

// maxLevels bounds how many values of one dimension are considered; more would
// be finer than any measurement can tell apart.
const maxLevels = 200

// levels lists the values that d can be given, in ascending order: all choices,
// or round numbers spread over the range, its ends included.
func (d Dim) levels() []string {
	if len(d.Choices) > 0 {
		return d.Choices
	}
	var out []string
	n := maxLevels
	if d.Kind == Integer && d.Hi-d.Lo < maxLevels {
		n = int(d.Hi-d.Lo) + 1
	}
	for i := range n {
		f := float64(i) / float64(n-1)
		v := d.Lo + f*(d.Hi-d.Lo)
		if d.Log && n == maxLevels {
			v = math.Exp(d.scale(d.Lo) + f*(d.scale(d.Hi)-d.scale(d.Lo)))
		}
		if text := d.literal(d.round(v)); len(out) == 0 || out[len(out)-1] != text {
			out = append(out, text)
		}
	}
	return out
}

// round gives a number that reads well, in the range: in a linear range the
// power of ten that cuts it into 100 to 1,000 steps, in a logarithmic one two
// significant digits, or three where the first is 1.
func (d Dim) round(v float64) float64 {
	exponent := math.Floor(math.Log10((d.Hi - d.Lo) / 100))
	if d.Log {
		exponent = math.Floor(math.Log10(v)) - 1
		if v/math.Pow(10, exponent) < 20 {
			exponent--
		}
	}
	if d.Kind == Integer {
		exponent = max(exponent, 0)
	}
	// Dividing by a whole power of ten, not multiplying by a fraction, gives
	// the number that prints shortly.
	if p := math.Pow(10, math.Abs(exponent)); exponent < 0 {
		v = math.Round(v*p) / p
	} else {
		v = math.Round(v/p) * p
	}
	return min(max(v, d.Lo), d.Hi)
}

// plain writes a number as people do: without exponent while that is short.
func plain(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-5 || a >= 1e7) {
		text := strconv.FormatFloat(v, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(text, "e")
		n, _ := strconv.Atoi(exponent)
		return mantissa + "e" + strconv.Itoa(n)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Plain is a canonical literal as it stands in a sentence: no quotes, no ".0".
func Plain(literal string) string {
	if text, err := strconv.Unquote(literal); err == nil {
		return text
	}
	return strings.TrimSuffix(literal, ".0")
}

// Number is the value of a canonical literal, where it is a number.
func Number(literal string) (float64, bool) {
	v, err := number(literal)
	return v, err == nil
}

// number reads a Go integer or floating-point literal with an optional minus.
func number(text string) (float64, error) {
	digits, negative := strings.CutPrefix(text, "-")
	digits = strings.TrimSpace(digits)
	if digits == "" || !strings.Contains("0123456789.", digits[:1]) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	v, err := strconv.ParseFloat(digits, 64)
	if octal := len(digits) > 1 && digits[0] == '0' && digits[1] != '.'; err != nil || octal {
		val := constant.MakeFromLiteral(digits, token.INT, 0) // 0x10, 010, 1_000
		if val.Kind() == constant.Unknown {
			val = constant.MakeFromLiteral(digits, token.FLOAT, 0) // 1_0.5
		}
		if val.Kind() == constant.Unknown {
			return 0, fmt.Errorf("%q is not a number", text)
		}
		v, _ = constant.Float64Val(val)
	}
	if math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if negative && v != 0 {
		v = -v
	}
	return v, nil
}
