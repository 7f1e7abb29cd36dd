package harness

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
)

// corpusDir writes a training split of single bytes.
func corpusDir(t testing.TB, text []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train.bin"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tokenDir writes a training split of the tokens of v.
func tokenDir(t testing.TB, v *bpe.Vocabulary, ids []uint16) string {
	t.Helper()
	var raw []byte
	for _, id := range ids {
		raw = binary.LittleEndian.AppendUint16(raw, id)
	}
	dir := corpusDir(t, raw)
	if err := os.WriteFile(filepath.Join(dir, "tokens.json"), v.Marshal(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openTest(t testing.TB, dir string, seed uint64) *loader {
	t.Helper()
	l, err := openLoader(dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// numbered is documents of the given lengths, each with its zero byte. Their
// bytes tell where they are: no 8 of them occur twice.
func numbered(lengths ...int) []byte {
	rng := rand.New(rand.NewPCG(9, 9))
	var text []byte
	for _, n := range lengths {
		for range n - 1 {
			text = append(text, byte(1+rng.IntN(255)))
		}
		text = append(text, 0)
	}
	return text
}

// lengths gives n documents of least to most bytes.
func lengths(n, least, most int) []int {
	rng := rand.New(rand.NewPCG(8, 8))
	all := make([]int, n)
	for i := range all {
		all[i] = least + rng.IntN(most-least+1)
	}
	return all
}

// corpora are texts of documents that are short, long and mixed against a
// context of 32.
var corpora = map[string][]byte{
	"short":        numbered(lengths(3000, 4, 32)...),
	"tiny":         numbered(lengths(9000, 1, 3)...),
	"long":         numbered(lengths(60, 100, 3000)...),
	"mixed":        numbered(append(lengths(800, 2, 40), lengths(20, 300, 900)...)...),
	"one document": numbered(20_000),
	"no end":       bytes.TrimRight(numbered(20_000), "\x00"),
	"exactly T":    numbered(lengths(600, 32, 32)...),
}

// In an epoch every token but less than a row is a target once, and has the
// token before it in the text as its input.
func TestEpochCoversEveryTokenOnce(t *testing.T) {
	const T = 32
	for name, text := range corpora {
		t.Run(name, func(t *testing.T) {
			l := openTest(t, corpusDir(t, text), 3)
			p := newPacker(l.Split, l.docs, l.seed, T)
			x, y := make([]int32, T), make([]int32, T)
			for epoch := range int64(3) {
				targets := make([]int, len(text))
				for row := range p.rows() {
					p.fill(epoch*p.rows()+row, x, y)
					at := 0
					for _, s := range p.row {
						for i := s.at; i < s.at+s.n; i++ {
							targets[i]++
							before := byte(0)
							if i > 0 {
								before = text[i-1]
							}
							if y[at] != int32(text[i]) || x[at] != int32(before) {
								t.Fatalf("target %d is %d after %d, the text has %d after %d", i, y[at], x[at], text[i], before)
							}
							at++
						}
					}
					if at != T {
						t.Fatalf("row %d has %d targets", row, at)
					}
				}
				missing := 0
				for i, n := range targets {
					if n > 1 {
						t.Fatalf("token %d is a target %d times in epoch %d", i, n, epoch)
					}
					missing += 1 - n
				}
				if missing >= T {
					t.Errorf("%d tokens are left out, a row has %d", missing, T)
				}
			}
		})
	}
}

// Where documents are short, most stay whole; where they are long, nearly
// all rows are one piece.
func TestPackingFits(t *testing.T) {
	const T = 32
	pieces := func(name string) (rows, whole, cut float64) {
		text := corpora[name]
		l := openTest(t, corpusDir(t, text), 3)
		p := newPacker(l.Split, l.docs, l.seed, T)
		x, y := make([]int32, T), make([]int32, T)
		for row := range p.rows() {
			p.fill(row, x, y)
			if len(p.row) == 1 {
				rows++
			}
			for _, s := range p.row {
				if starts := s.at == 0 || text[s.at-1] == 0; starts && text[s.at+s.n-1] == 0 {
					whole++
				} else {
					cut++
				}
			}
		}
		return rows / float64(p.rows()), whole, cut
	}
	if _, whole, cut := pieces("short"); cut > 0.25*whole { // laid end to end, a piece in almost every row would be cut
		t.Errorf("of short documents %v are whole and %v pieces are not", whole, cut)
	}
	if single, _, _ := pieces("long"); single < 0.9 {
		t.Errorf("of long documents %.0f %% of the rows are one piece", 100*single)
	}
}

// An epoch is even until the buffer is emptied at its end: it holds back no
// beginnings and ends of documents at first, which a short run would never see.
func TestEpochIsEven(t *testing.T) {
	const T = 32
	text := numbered(lengths(3000, 40, 400)...)
	l := openTest(t, corpusDir(t, text), 3)
	p := l.packer(T)
	x, y := make([]int32, T), make([]int32, T)
	ends := make([]float64, 10)
	for row := range p.rows() {
		p.fill(row, x, y)
		for _, id := range y {
			if id == 0 {
				ends[10*row/p.rows()]++
			}
		}
	}
	if ends := ends[:8]; slices.Min(ends) < 250 || slices.Max(ends) > 350 {
		t.Errorf("the tenths of an epoch have %v ends of documents, want about 300", ends)
	}
}

// Most windows of short documents begin where a document does.
func TestShortDocumentsArePacked(t *testing.T) {
	const T = 32
	l := openTest(t, corpusDir(t, corpora["short"]), 3)
	x, y := make([]int32, 1000*T), make([]int32, 1000*T)
	if err := l.batch(0, T, x, y); err != nil {
		t.Fatal(err)
	}
	starts := 0
	for row := range 1000 {
		if x[row*T] == 0 {
			starts++
		}
	}
	if starts < 600 {
		t.Errorf("%d of 1000 windows begin with a document", starts)
	}
}

// A window depends on seed, T and its number, and on nothing else: not on the
// batch it is in, nor on what was drawn before.
func TestWindowsAreAFunctionOfTheirNumber(t *testing.T) {
	for _, name := range []string{"short", "long"} {
		t.Run(name, func(t *testing.T) { testWindows(t, corpusDir(t, corpora[name])) })
	}
}

func testWindows(t *testing.T, dir string) {
	const T = 32
	draw := func(l *loader, first int64, B int) []int32 {
		x, y := make([]int32, B*T), make([]int32, B*T)
		if err := l.batch(first, T, x, y); err != nil {
			t.Fatal(err)
		}
		return append(x, y...)
	}
	straight := openTest(t, dir, 1)
	rows := newPacker(straight.Split, straight.docs, 1, T).rows()
	want := map[int64][]int32{}
	for i := range 2*rows + 50 {
		want[i] = draw(straight, i, 1)
	}
	for _, i := range []int64{rows + 7, 3, 4, 4, rows - 1, rows, 0, 2*rows + 49, 2 * rows} {
		if !slices.Equal(draw(straight, i, 1), want[i]) {
			t.Errorf("window %d is another one after going to and fro", i)
		}
		if !slices.Equal(draw(openTest(t, dir, 1), i, 1), want[i]) {
			t.Errorf("window %d is another one in a run that begins there", i)
		}
	}
	batch := draw(openTest(t, dir, 1), rows-2, 4) // across two epochs
	for row := range 4 {
		if i := rows - 2 + int64(row); !slices.Equal(batch[row*T:(row+1)*T], want[i][:T]) {
			t.Errorf("window %d is another one in a batch", i)
		}
	}
	if other := draw(openTest(t, dir, 2), 5, 1); slices.Equal(other, want[5]) {
		t.Error("two seeds gave the same window")
	}
	if slices.Equal(want[5], want[rows+5]) {
		t.Error("two epochs gave the same window")
	}
	l := openTest(t, dir, 1) // another context in between changes nothing
	draw(l, 0, 2)
	x := make([]int32, 2*T)
	if err := l.batch(2, 2*T, x, slices.Clone(x)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(draw(l, 3, 1), want[3]) {
		t.Error("window 3 is another one after a window of another length")
	}
}

// Windows of long documents are the text itself, from anywhere, each place as
// often as another.
func TestUniformWindows(t *testing.T) {
	const T = 32
	text := corpora["long"]
	l := openTest(t, corpusDir(t, text), 1)
	x, y := make([]int32, T), make([]int32, T)
	var hits [16]int
	for i := range int64(16_000) {
		if err := l.batch(i, T, x, y); err != nil {
			t.Fatal(err)
		}
		window := make([]byte, T+1)
		for k := range T {
			window[k], window[k+1] = byte(x[k]), byte(y[k])
		}
		at := bytes.Index(text, window)
		if at < 0 || !slices.Equal(x[1:], y[:T-1]) {
			t.Fatalf("window %d is not in the text, with its successor", i)
		}
		hits[16*at/len(text)]++
	}
	if slices.Min(hits[:]) < 850 || slices.Max(hits[:]) > 1150 {
		t.Errorf("16 parts of the text were drawn %v times, want about 1000", hits)
	}
}

// Tokens of two bytes come out as tokens of one byte do.
func TestWideTokens(t *testing.T) {
	for _, name := range []string{"short", "long"} {
		t.Run(name, func(t *testing.T) { testWide(t, corpora[name]) })
	}
}

func testWide(t *testing.T, text []byte) {
	const T = 32
	v, err := bpe.Train([]byte(strings.Repeat("abcabd", 99)), 258, 1)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uint16, len(text))
	for i, c := range text {
		ids[i] = uint16(c)
	}
	narrow, wide := openTest(t, corpusDir(t, text), 1), openTest(t, tokenDir(t, v, ids), 1)
	if narrow.Vocab().Size() != 256 || wide.Vocab().Size() != 258 || narrow.Len() != wide.Len() {
		t.Fatalf("vocabularies of %d and %d, %d and %d tokens", narrow.Vocab().Size(), wide.Vocab().Size(), narrow.Len(), wide.Len())
	}
	for i := range int64(200) {
		var batches [2][]int32
		for k, l := range []*loader{narrow, wide} {
			x, y := make([]int32, T), make([]int32, T)
			if err := l.batch(i, T, x, y); err != nil {
				t.Fatal(err)
			}
			batches[k] = append(x, y...)
		}
		if !slices.Equal(batches[0], batches[1]) {
			t.Fatalf("window %d: %v and %v", i, batches[0], batches[1])
		}
	}
}

// A run on tokens of more than a byte trains, exports and writes text, and a
// batch that the data cannot fill ends it with a failure that says so.
func TestRunOnAnyVocabulary(t *testing.T) {
	text := []byte(strings.Repeat("one bear and two bears and three bears.\x00", 200))
	v, err := bpe.Train(text, 270, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := tokenDir(t, v, bpe.NewEncoder(v).Append(nil, text))
	var d Done
	start(t, "plain", t.TempDir(), dir, "--steps", "150").wait(ExitOK).json("done.json", &d)
	if d.Parameters != 2*270*testC || !strings.HasPrefix(d.Sample, "one bear and") || strings.Count(d.Sample, "bear") < 2 || d.FinalLoss > 3 {
		t.Errorf("done.json: %+v", d)
	}
	small := tokenDir(t, v, bpe.NewEncoder(v).Append(nil, text[:60]))
	r := start(t, "plain", t.TempDir(), small, "--steps", "150").wait(ExitError)
	wantFailure(t, r, ReasonError, "fewer than one batch of 4 windows of 16")
	foreign := tokenDir(t, v, slices.Repeat([]uint16{270}, 2000))
	r = start(t, "plain", t.TempDir(), foreign, "--steps", "150").wait(ExitError)
	wantFailure(t, r, ReasonError, "the vocabulary ends at 269")
}

func TestLoaderRefuses(t *testing.T) {
	l := openTest(t, corpusDir(t, numbered(1000)), 1)
	x := make([]int32, 2048)
	if err := l.batch(0, 64, x, x); err == nil || !strings.Contains(err.Error(), "fewer than one batch of 32 windows of 64") {
		t.Errorf("a corpus smaller than a batch: %v", err)
	}
	v, err := bpe.Train([]byte(strings.Repeat("abcabd", 99)), 258, 1)
	if err != nil {
		t.Fatal(err)
	}
	empty, half, foreign := corpusDir(t, nil), tokenDir(t, v, []uint16{1, 2, 3}), tokenDir(t, v, []uint16{1, 2, 258, 257})
	if err := os.WriteFile(filepath.Join(half, "train.bin"), []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := tokenDir(t, v, []uint16{1, 2})
	if err := os.WriteFile(filepath.Join(broken, "tokens.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, dir := range map[string]string{
		"no such file": t.TempDir(), "empty": empty, "whole number of tokens": half,
		"token 2 has the id 258, and the vocabulary ends at 257": foreign, "tokens.json": broken,
	} {
		if _, err := openLoader(dir, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a word on %q", err, want)
		}
	}
}

func TestPrompt(t *testing.T) {
	for text, want := range map[string]string{
		"Once upon a time.\x00Once upon a time.\x00":   "Once upon a ",
		"// Licence\n\npackage a\n\nfunc f() {}\n\x00": "func",
		"short\x00short\x00":                           "short",
	} {
		if ids := openTest(t, corpusDir(t, []byte(text)), 5).prompt(12); fmt.Sprintf("%c", ids) != fmt.Sprintf("%c", []rune(want)) {
			t.Errorf("%q: the prompt is %c, want %q", text, ids, want)
		}
	}
}

func TestExportBatch(t *testing.T) {
	for _, c := range []struct{ most, T, V, want int }{
		{8, 256, 256, 8}, {8, 256, 4096, 8}, {8, 512, 8192, 4}, {8, 2048, 8192, 1}, {8, 16384, 65536, 1}, {2, 512, 8192, 2},
	} {
		if got := exportBatch(c.most, c.T, c.V); got != c.want {
			t.Errorf("at most %d rows of %d tokens, V = %d: got %d, want %d", c.most, c.T, c.V, got, c.want)
		}
	}
}

// BenchmarkBatch reports what a token of a batch costs.
func BenchmarkBatch(b *testing.B) {
	for name, text := range map[string][]byte{
		"short": numbered(lengths(100_000, 20, 400)...),
		"long":  numbered(lengths(5000, 500, 8000)...),
	} {
		b.Run(name, func(b *testing.B) {
			const B, T = 8, 256
			l, first := openTest(b, corpusDir(b, text), 1), int64(0)
			x, y := make([]int32, B*T), make([]int32, B*T)
			for b.Loop() {
				if err := l.batch(first, T, x, y); err != nil {
					b.Fatal(err)
				}
				first += B
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(B*T), "ns/token")
		})
	}
}
