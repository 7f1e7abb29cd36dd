package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// pieces cuts a text as Train and Encoder do.
func pieces(text string) (all []string) {
	for b := []byte(text); len(b) > 0; {
		n := next(b)
		all, b = append(all, string(b[:n])), b[n:]
	}
	return all
}

func TestPieces(t *testing.T) {
	for text, want := range map[string][]string{
		"Hello, world":            {"Hello", ",", " world"},
		"func main() {\n\t\tx()}": {"func", " main", "()", " {\n", "\t", "\tx", "()}"},
		"a.b(c)":                  {"a", ".b", "(c", ")"},
		"12345 67":                {"123", "45", " ", "67"},
		"a   b":                   {"a", "  ", " b"},
		"a \n\n  b":               {"a", " \n\n", " ", " b"},
		"end  ":                   {"end", "  "},
		"end  \x00a":              {"end", "  ", "\x00", "a"},
		"\x00\x00":                {"\x00", "\x00"},
		"it's we'll I've 'x' 'Re": {"it", "'s", " we", "'ll", " I", "'ve", " '", "x", "'", " '", "Re"},
		"größe ١٢":                {"größe", " ", "١٢"},
		"e\u0301a":                {"e\u0301a"}, // a combining mark belongs to its letter
		"\xff\xfea":               {"\xff\xfe", "a"},
		"a\xe2\x82":               {"a", "\xe2\x82"}, // a cut character
		"\ufffd\ufffdx":           {"\ufffd\ufffd", "x"},
		"a\u00a0b":                {"a", "\u00a0b"},
		"=>\n\nx":                 {"=>\n\n", "x"},
		"\r\nx":                   {"\r\n", "x"},
	} {
		if got := pieces(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	for _, p := range pieces(strings.Repeat("a", 1000) + strings.Repeat(" ", 1000) + strings.Repeat("\n", 1000)) {
		if len(p) > maxPiece {
			t.Errorf("a piece of %d bytes, more than %d", len(p), maxPiece)
		}
	}
}

// The example of Sennrich et al., by hand. Pairs of equal counts go in the
// order of their ids.
func TestTrainByHand(t *testing.T) {
	text := strings.Repeat(" low", 5) + strings.Repeat(" lower", 2) + strings.Repeat(" newest", 6) + strings.Repeat(" widest", 3)
	// (e, s) 9, (s, t) 9, (w, e) 8, (space, l) 7, (l, o) 7, (o, w) 7, (space, n) 6.
	// "es" is first, as e is before s, and leaves (es, t) 9 and (w, e) 2. Then
	// space is before l and o; o is before the new " l"; and so on with 6 each.
	want := []string{"es", "est", " l", "ow", " low", " n", "ew"}
	v, err := Train([]byte(text), Bytes+len(want), 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.tokens[Bytes:]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ids := NewEncoder(v).Append(nil, []byte(" lowest new"))
	var tokens []string
	for _, id := range ids {
		tokens = append(tokens, v.Token(int(id)))
	}
	if want := []string{" low", "est", " n", "ew"}; !slices.Equal(tokens, want) {
		t.Errorf("encoded as %q, want %q", tokens, want)
	}
}

// Runs of one byte overlap with themselves.
func TestTrainRuns(t *testing.T) {
	v, err := Train([]byte(strings.Repeat("aaaaa.", 10)), Bytes+3, 1)
	if err != nil {
		t.Fatal(err)
	}
	// "aaaaa": a a a a a -> aa aa a; then (aa, a) and (aa, aa), 10 each: the
	// lower pair first -> aa aaa; then these two.
	if want := []string{"aa", "aaa", "aaaaa"}; !slices.Equal(v.tokens[Bytes:], want) {
		t.Errorf("got %q, want %q", v.tokens[Bytes:], want)
	}
}

// sample is text with the usual patterns, documents and awkward bytes.
func sample() []byte {
	var b bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&b, "func f%d(x int) error {\n\treturn errors.New(\"größer\", %d)\n}\n", i%97, i*i)
		if i%50 == 0 {
			b.WriteString("\x00\ufffd\xff\xc3\xe2\x82 \u200b日本語\n")
		}
	}
	return b.Bytes()
}

func TestTrainIsDeterministic(t *testing.T) {
	text := sample()
	first, err := Train(text, 700, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, cores := range []int{1, 2, 5} {
		if again, err := Train(text, 700, cores); err != nil || !slices.Equal(again.tokens, first.tokens) {
			t.Errorf("on %d cores the vocabulary is another one (%v)", cores, err)
		}
	}
	for id, token := range first.tokens[Bytes:] {
		if strings.Contains(token, "\x00") {
			t.Errorf("token %d is %q, with a zero byte", Bytes+id, token)
		}
	}
}

// The encoder does to a piece what training did to it.
func TestEncoderAgreesWithTraining(t *testing.T) {
	training := newTraining(countPieces(sample(), 1))
	for len(training.tokens) < 700 && training.merge() {
	}
	v, err := newVocabulary(training.tokens)
	if err != nil {
		t.Fatal(err)
	}
	e := NewEncoder(v)
	for _, w := range training.words {
		var piece []byte
		for _, id := range w.symbols {
			piece = append(piece, v.tokens[id]...)
		}
		for range 2 { // the second time from memory
			if got := e.Append(nil, piece); !slices.Equal(got, w.symbols) {
				t.Fatalf("%q is encoded as %v, training has it as %v", piece, got, w.symbols)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	text := sample()
	v, err := Train(text, 900, 2)
	if err != nil {
		t.Fatal(err)
	}
	ids := NewEncoder(v).Append(nil, text)
	if !bytes.Equal(decode(v, ids), text) || len(ids) > len(text)/2 {
		t.Errorf("%d bytes became %d tokens, and these not the same text", len(text), len(ids))
	}
	// Parts that end with a zero byte can be encoded by themselves.
	var parts []uint16
	blocks := Blocks(text, 1000)
	for _, b := range blocks {
		parts = NewEncoder(v).Append(parts, b)
	}
	if len(blocks) < 10 || !slices.Equal(parts, ids) {
		t.Errorf("encoded in %d blocks the text has other tokens", len(blocks))
	}
}

func decode(v *Vocabulary, ids []uint16) []byte {
	wide := make([]int32, len(ids))
	for i, id := range ids {
		wide[i] = int32(id)
	}
	return v.Decode(wide)
}

func FuzzRoundTrip(f *testing.F) {
	v, err := Train(sample(), 900, 1)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "\x00", "a\x00\x00b", "\ufffd", "\xef\xbf", "it's\r\n  12345", "\xff\xfe\xfd", strings.Repeat("ab ", 100)} {
		f.Add([]byte(seed))
	}
	e := NewEncoder(v)
	f.Fuzz(func(t *testing.T, text []byte) {
		ids := e.Append(nil, text)
		if got := decode(v, ids); !bytes.Equal(got, text) {
			t.Fatalf("%q came back as %q", text, got)
		}
		zeros := 0
		for _, id := range ids {
			if id == 0 {
				zeros++
			}
		}
		if zeros != bytes.Count(text, []byte{0}) {
			t.Fatalf("%q has %d zero tokens", text, zeros)
		}
	})
}

func TestTrainRefuses(t *testing.T) {
	text := []byte(strings.Repeat("ab", 9))
	for _, size := range []int{-1, 0, 255, MaxVocab + 1} {
		if _, err := Train(text, size, 1); err == nil || !strings.Contains(err.Error(), "not possible") {
			t.Errorf("size %d: %v", size, err)
		}
	}
	_, err := Train(text, 300, 1)
	if !errors.Is(err, ErrTooSmallText) || !strings.Contains(err.Error(), "ask for a smaller vocabulary") {
		t.Errorf("a small text: %v", err)
	}
	if v, err := Train(nil, Bytes, 1); err != nil || v.Size() != Bytes {
		t.Errorf("bytes need no text: %v", err)
	}
}

func TestMarshal(t *testing.T) {
	v, err := Train(sample(), 600, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(v.Marshal())
	if err != nil || !slices.Equal(again.tokens, v.tokens) {
		t.Fatalf("the vocabulary did not survive: %v", err)
	}
	for name, c := range map[string]struct {
		change func([]string) []string
		want   string
	}{
		"a byte missing":   {func(s []string) []string { return slices.Delete(s, 7, 8) }, "cannot encode byte 0x07"},
		"too few":          {func(s []string) []string { return s[:255] }, "not possible"},
		"twice":            {func(s []string) []string { s[300] = s[299]; return s }, "twice"},
		"a zero byte":      {func(s []string) []string { s[300] = "a\x00"; return s }, "none of them zero"},
		"empty":            {func(s []string) []string { s[300] = ""; return s }, "none of them zero"},
		"more than a byte": {func(s []string) []string { s[300] = "€"; return s }, "U+20AC"},
	} {
		tokens := c.change(slices.Clone(v.tokens))
		for id, token := range tokens {
			if token != "€" {
				tokens[id] = string(latin1(token))
			}
		}
		if _, err := Parse(encode(t, file{len(tokens), tokens})); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a word on %q", name, err, c.want)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"vocab":3,"tokens":[]}`, string(v.Marshal()[:500])} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func encode(t *testing.T, f file) []byte {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
