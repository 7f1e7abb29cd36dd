package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
	"github.com/autoresearch-go/autoresearch/trainer/tensor"
)

// Shape at which the tests' models run.
const (
	testB, testT = 4, 16
	testV, testC = 256, 8
)

// net is what a test's model is made of: random tables and matrices.
type net struct {
	d                *tensor.Device
	embed, head, mix *tensor.Tensor // [V, C], [V, C], [C, C]
	kernel           *tensor.Tensor // [3, C]
	later            *tensor.Tensor // [T] ids: the position after each
}

func newNet(d *tensor.Device, seed uint64) *net {
	rng := rand.New(rand.NewPCG(seed, 0))
	param := func(name string, shape ...int) *tensor.Tensor {
		p := d.Param(name, shape...)
		p.Normal(rng, 0.5)
		return p
	}
	next := make([]int32, testT)
	for t := range next {
		next[t] = int32(min(t+1, testT-1))
	}
	return &net{d, param("embed", testV, testC), param("head", testV, testC), param("mix", testC, testC), param("kernel", 3, testC), d.Ints(next, testT)}
}

// logits ends a model whose stream x is [B, T, C].
func (n *net) logits(x *tensor.Tensor) *tensor.Tensor { return x.MatMulT(n.head) }

// heads makes a stream [B, T, C] to two heads [B, T, 2, C/2].
func heads(x *tensor.Tensor) *tensor.Tensor { return x.Reshape(x.Dim(0), x.Dim(1), 2, testC/2) }

// stream is what a model does between embedding and head.
type stream func(n *net, x *tensor.Tensor) *tensor.Tensor

// honest models see what they may see.
var honest = map[string]stream{
	"bigram": func(n *net, x *tensor.Tensor) *tensor.Tensor { return x },
	"attention": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		h := heads(x.RMSNorm(1e-6))
		return x.Add(h.RoPE(1e4).Attention(h, h, 0).Reshape(x.Shape()...))
	},
	"windowed attention": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		h := heads(x)
		return h.Attention(h, h, 3).Reshape(x.Shape()...)
	},
	"convolution":   func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.CausalConv(n.kernel).Silu() },
	"shift":         func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Add(x.Shift(1, 1).MatMul(n.mix)) },
	"running total": func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.CumSum(1).RMSNorm(1e-6) },
	"shift after attention": func(n *net, x *tensor.Tensor) *tensor.Tensor { // more than RunAt thinks
		h := heads(x)
		return h.Attention(h, h, 0).Reshape(x.Shape()...).Shift(1, 1).Add(x)
	},
	"layers": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		for range 3 {
			h := heads(x.RMSNorm(1e-6))
			x = x.Add(h.Attention(h.Slice(2, 1, 2), h.Slice(2, 0, 1), 5).Reshape(x.Shape()...).MatMul(n.mix))
		}
		return x.Add(x.RMSNorm(1e-6).MatMul(n.mix).ReluSquare())
	},
	"top channels": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		values, ids := x.TopK(2)
		return x.ScatterAdd(2, ids, values)
	},
}

// cheats see the next token, in ways from plain to sly.
var cheats = map[string]stream{
	"shift back":  func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Add(x.Shift(1, -1)) },
	"times zero":  func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Add(x.Shift(1, -1).Scale(0)) },
	"mean over T": func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Sub(x.Mean(1).Reshape(x.Dim(0), 1, testC)) },
	"reversed total": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		return x.Sum(1).Reshape(x.Dim(0), 1, testC).Sub(x.CumSum(1))
	},
	"softmax over T": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		return x.Permute(0, 2, 1).Softmax().Permute(0, 2, 1)
	},
	"gather": func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Gather(1, n.later) },
	"convolution over a reversed axis": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		reversed := make([]int32, testT)
		for t := range reversed {
			reversed[t] = int32(testT - 1 - t)
		}
		ids := n.d.Ints(reversed, testT)
		return x.Gather(1, ids).CausalConv(n.kernel).Gather(1, ids)
	},
	"best of all positions": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		values, _ := x.Permute(0, 2, 1).TopK(1)
		return x.Add(values.Permute(0, 2, 1))
	},
	"attention to what comes": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		scores := x.MatMulT(x).Softmax() // [B, T, T], all positions
		return x.Add(scores.MatMul(x))
	},
	"shift back after attention": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		h := heads(x)
		return h.Attention(h, h, 0).Reshape(x.Shape()...).Shift(1, -1).Add(x)
	},
	"attention with what comes around it": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		h := heads(x)
		return h.Attention(h, h, 2).Reshape(x.Shape()...).Add(x.Shift(1, -1))
	},
	"attention over the flattened batch": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		h := x.Reshape(1, testB*testT, 2, testC/2)
		return h.Attention(h, h, 0).Reshape(x.Shape()...)
	},
	"the last token only": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		return x.Add(x.Shift(1, 1-testT))
	},
	"attention with a shifted value": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		h := heads(x)
		return h.Attention(h, heads(x.Shift(1, -1)), 0).Reshape(x.Shape()...)
	},
	"the flattened batch": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		flat := x.Reshape(1, testB*testT, testC)
		return flat.CumSum(1).Reshape(x.Shape()...)
	},
	"the mean of all rows": func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Sub(x.Mean(0).Reshape(1, testT, testC)) },
	"the row below":        func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Add(x.Shift(0, -1)) },
	"a where": func(n *net, x *tensor.Tensor) *tensor.Tensor {
		return x.Greater(x.Scale(2)).Where(x, x.Shift(1, -1))
	},
}

// Every row of a batch must be told from every other, in both directions.
func TestRowPairs(t *testing.T) {
	dir, _ := dataDir(t)
	for by := 1 - testB; by < testB; by++ {
		var f fault
		code, want := exitFault, reasonNotCausal
		if by == 0 {
			code, want = exitOK, ""
		}
		model := saveStream(t, 1, func(_ *net, x *tensor.Tensor) *tensor.Tensor { return x.Add(x.Shift(0, by)) })
		if call(t, code, &f, "check", "--model", model, "--data", dir); f.Reason != want {
			t.Errorf("a model that sees the row %d before: %+v, want reason %q", by, f, want)
		}
	}
	for rows := 1; rows < 50; rows++ {
		pairs, runs := rowPairs(rows)
		for a := range rows {
			for b := range a {
				if pairs[a] == pairs[b] || pairs[a][0] == pairs[a][1] || max(pairs[a][0], pairs[a][1]) >= runs {
					t.Fatalf("%d rows: rows %d and %d live in runs %v and %v of %d", rows, a, b, pairs[a], pairs[b], runs)
				}
			}
		}
	}
}

// save writes the model that f traces, and returns its path and digest.
func save(t *testing.T, seed uint64, f func(n *net, ids *tensor.Tensor) *tensor.Tensor) (path string) {
	t.Helper()
	d, err := tensor.Open(tensor.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n := newNet(d, seed)
	g, err := d.Trace(d.Ints(make([]int32, testB*testT), testB, testT), func(ids *tensor.Tensor) *tensor.Tensor { return f(n, ids) })
	if err != nil {
		t.Fatal(err)
	}
	return saveGraph(t, g)
}

func saveGraph(t testing.TB, g *tensor.Graph) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := g.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	content := tensor.SafeTensors{Floats: g.Weights(), Metadata: map[string]string{"graph": string(text)}}
	if err := tensor.WriteSafetensors(file, content); err != nil {
		t.Fatal(err)
	}
	return path
}

func saveStream(t *testing.T, seed uint64, s stream) string {
	return save(t, seed, func(n *net, ids *tensor.Tensor) *tensor.Tensor { return n.logits(s(n, n.embed.Embed(ids))) })
}

// text is n bytes with some structure.
func text(n int) []byte {
	rng := rand.New(rand.NewPCG(5, 5))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.IntN(97))
		if i > 0 && rng.IntN(2) == 0 {
			b[i] = b[i-1] + 1
		}
	}
	return b
}

// dataDir holds the same text as both splits. Its length makes the last window
// and the last batch incomplete.
func dataDir(t *testing.T) (string, []byte) {
	t.Helper()
	dir, b := t.TempDir(), text(5*testB*testT+2*testT+6)
	for _, name := range []string{"train.bin", "val.bin"} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, b
}

// opened is a split of bytes.
func opened(t testing.TB, b []byte) *data.Split {
	t.Helper()
	path := filepath.Join(t.TempDir(), "train.bin")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := data.OpenSplit(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// call runs a subcommand as main would and decodes what it prints.
func call(t *testing.T, wantCode int, result any, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != wantCode {
		t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, wantCode, &stdout, &stderr)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		t.Fatalf("%v: %v in %s", args, err, &stdout)
	}
}

func TestUniformModelIsEightBits(t *testing.T) {
	dir, b := dataDir(t)
	model := save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor { return n.embed.Embed(ids).MatMulT(n.head).Scale(0) })
	var s Score
	call(t, exitOK, &s, "score", "--model", model, "--data", dir)
	if s.ValBpb != 8 || s.Tokens != len(b)-1 || s.Bytes != s.Tokens || s.Context != testT || !s.Proved {
		t.Errorf("got %+v, want exactly 8 bits for each of %d bytes", s, len(b)-1)
	}
}

// corpusDir builds a corpus of documents as the command line does and returns
// it with the directories of its splits.
func corpusDir(t *testing.T, vocab int) (c data.Corpus, train, val string) {
	t.Helper()
	docs := func(n int) string {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, "Document %d says: „größer\ufffd“, and %d, and \xff\xfe\xc3.\n\x00", i, i*i)
		}
		path := filepath.Join(t.TempDir(), "docs")
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out := filepath.Join(t.TempDir(), "corpus")
	call(t, exitOK, &c, "data", "--docs", docs(2000), "--val-docs", docs(30), "--vocab", strconv.Itoa(vocab), "--name", "known", "--out", out)
	if c.Name != "known" || c.Vocab != vocab {
		t.Fatalf("built %+v", c)
	}
	return c, filepath.Join(out, "train"), filepath.Join(out, "val")
}

// --audit measures a second split as if it were validated on, and changes
// nothing else.
func TestAudit(t *testing.T) {
	dir, b := dataDir(t)
	audit, other := t.TempDir(), text(777)
	if err := os.WriteFile(filepath.Join(audit, "audit.bin"), other, 0o644); err != nil {
		t.Fatal(err)
	}
	asVal := t.TempDir()
	if err := os.WriteFile(filepath.Join(asVal, "val.bin"), other, 0o644); err != nil {
		t.Fatal(err)
	}
	model := saveStream(t, 1, honest["attention"])
	var plain, both, swapped Score
	call(t, exitOK, &plain, "score", "--model", model, "--data", dir)
	call(t, exitOK, &both, "score", "--model", model, "--data", dir, "--audit", audit)
	call(t, exitOK, &swapped, "score", "--model", model, "--data", asVal)
	if plain.AuditBpb != 0 || both.ValBpb != plain.ValBpb || both.Tokens != len(b)-1 || both.AuditBpb != swapped.ValBpb || both.AuditBpb == both.ValBpb {
		t.Errorf("%+v, with audit %+v; validated on the audit split %+v", plain, both, swapped)
	}
}

// A model that takes longer than it may is at fault.
func TestTooSlow(t *testing.T) {
	dir, _ := dataDir(t)
	model := saveStream(t, 1, honest["layers"])
	var f fault
	call(t, exitFault, &f, "score", "--model", model, "--data", dir, "--limit", "1e-9")
	if f.Reason != reasonTimeout || !strings.Contains(f.Message, "0.00 s are allowed") {
		t.Errorf("got %+v", f)
	}
	var s Score
	call(t, exitOK, &s, "score", "--model", model, "--data", dir, "--limit", "100")
	if s.ValSeconds <= 0 || s.ValSeconds > s.CPUSeconds {
		t.Errorf("got %+v", s)
	}
}

// tokenModel predicts the same of every token: logit(id) is what its logits are.
func tokenModel(t *testing.T, V int, logit func(id int) float64) string {
	table := make([]float32, V*V)
	for i := range table {
		table[i] = float32(logit(i % V))
	}
	return save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor {
		return n.d.Const("logits", table, V, V).Embed(ids)
	})
}

// Bits per byte count the bytes of the text, whatever the tokens: those of
// characters of several bytes, of U+FFFD and of bytes that are no characters.
// The first token is given, and so are its bytes.
func TestBitsPerByteOfAnyVocabulary(t *testing.T) {
	for _, V := range []int{256, 257, 300, 600} {
		c, _, val := corpusDir(t, V)
		split, err := data.OpenSplit(filepath.Join(val, "val.bin"))
		if err != nil {
			t.Fatal(err)
		}
		defer split.Close()
		first := len(split.Vocab().Token(int(split.At(0))))
		tokens, bytes := c.ValTokens-1, c.ValBytes-first

		// A model that knows nothing.
		var s Score
		call(t, exitOK, &s, "score", "--model", tokenModel(t, V, func(int) float64 { return 0 }), "--data", val)
		want := math.Log2(float64(V)) * float64(tokens) / float64(bytes)
		if s.Tokens != tokens || s.Bytes != bytes || math.Abs(s.ValBpb-want) > 1e-9 || math.Abs(s.Nats-math.Ln2*want*float64(bytes)) > 1e-6 {
			t.Errorf("V = %d: got %+v, want %v for %d tokens of %d bytes", V, s, want, tokens, bytes)
		}
		if V > 256 && (first < 2 && V > 300 || tokens >= bytes) {
			t.Fatalf("V = %d: the first token has %d bytes, %d tokens stand for %d: the test shows nothing", V, first, tokens, bytes)
		}

		// A model that gives each byte of a token 8 bits. All it loses to one on
		// bytes is that the shares of all tokens add up to more than 1.
		sum := 0.0
		for id := range V {
			sum += math.Exp2(-8 * float64(len(split.Vocab().Token(id))))
		}
		call(t, exitOK, &s, "score", "--model", tokenModel(t, V, func(id int) float64 {
			return -8 * math.Ln2 * float64(len(split.Vocab().Token(id)))
		}), "--data", val)
		if want := 8 + math.Log2(sum)*float64(tokens)/float64(bytes); math.Abs(s.ValBpb-want) > 1e-6 {
			t.Errorf("V = %d, 8 bits for each byte: got %v, want %v", V, s.ValBpb, want)
		}
	}
}

// A model for another vocabulary is at fault, whichever of its ends is wrong.
func TestWrongVocabulary(t *testing.T) {
	_, train, val := corpusDir(t, 300)
	bytesDir, _ := dataDir(t)
	flat := func(int) float64 { return 0 }
	for name, c := range map[string]struct{ model, train, val, want string }{
		"bytes":         {tokenModel(t, 256, flat), train, val, "run.Vocab()"},
		"300 for bytes": {tokenModel(t, 300, flat), bytesDir, bytesDir, "run.Vocab()"},
		"few embeddings": {save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor {
			return n.embed.Embed(ids).MatMulT(n.d.Const("wide", make([]float32, 300*testC), 300, testC))
		}), train, val, "running the model"},
	} {
		for command, dir := range map[string]string{"check": c.train, "score": c.val} {
			var f fault
			call(t, exitFault, &f, command, "--model", c.model, "--data", dir)
			if f.Reason != reasonNotExportable || !strings.Contains(f.Message, c.want) {
				t.Errorf("%s, %s: %+v, want a word on %q", name, command, f, c.want)
			}
		}
	}
}

// A table of bigram counts must cost what adding up its logarithms by hand says.
func TestBigramModelByHand(t *testing.T) {
	dir, b := dataDir(t)
	counts := make([]float64, testV*testV)
	for i := range counts {
		counts[i] = 0.1
	}
	for i := range b[1:] {
		counts[int(b[i])*testV+int(b[i+1])]++
	}
	logs, want := make([]float32, len(counts)), 0.0
	for i := range counts {
		logs[i] = float32(math.Log(counts[i])) // unnormalized: the softmax is ours
	}
	for i := range b[1:] {
		row := counts[int(b[i])*testV : (int(b[i])+1)*testV]
		sum := 0.0
		for _, c := range row {
			sum += c
		}
		want -= math.Log2(row[b[i+1]] / sum)
	}
	want /= float64(len(b) - 1)
	model := save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor {
		return n.d.Const("logs", logs, testV, testV).Embed(ids)
	})
	var s Score
	call(t, exitOK, &s, "score", "--model", model, "--data", dir, "--cores", "2")
	if math.Abs(s.ValBpb-want) > 1e-6 {
		t.Errorf("val_bpb is %.9f, by hand it is %.9f", s.ValBpb, want)
	}
}

func TestHonestModelsPass(t *testing.T) {
	dir, _ := dataDir(t)
	for name, s := range honest {
		t.Run(name, func(t *testing.T) {
			model := saveStream(t, 1, s)
			var c Check
			call(t, exitOK, &c, "check", "--model", model, "--data", dir)
			var proved, again Score
			call(t, exitOK, &proved, "score", "--model", model, "--data", dir)
			call(t, exitOK, &again, "score", "--model", model, "--data", dir, "--proved", c.GraphDigest)
			if again.Proved || !proved.Proved || proved.ValBpb != again.ValBpb || proved.ValBpb < 1 {
				t.Errorf("%+v, and with --proved %+v", proved, again)
			}
		})
	}
}

func TestCheatsAreCaught(t *testing.T) {
	dir, _ := dataDir(t)
	for name, s := range cheats {
		t.Run(name, func(t *testing.T) {
			model := saveStream(t, 1, s)
			for _, command := range []string{"check", "score"} {
				var f fault
				call(t, exitFault, &f, command, "--model", model, "--data", dir)
				if f.Reason != reasonNotCausal || f.Message == "" {
					t.Errorf("%s: %+v", command, f)
				}
			}
		})
	}
}

// Some positions are no proof, but they are spread over the context, and a model
// that sees ahead everywhere is caught at any.
func TestCuts(t *testing.T) {
	dir, _ := dataDir(t)
	var c Check
	call(t, exitOK, &c, "check", "--model", saveStream(t, 1, honest["layers"]), "--data", dir, "--cuts", "3")
	if c.Cuts != 3 || c.GraphDigest == "" {
		t.Errorf("%+v", c)
	}
	for name, s := range cheats {
		var f fault
		call(t, exitFault, &f, "check", "--model", saveStream(t, 1, s), "--data", dir, "--cuts", "1")
		if f.Reason != reasonNotCausal {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for cuts, want := range map[int][]int{0: {0, 1, 2, 3, 4, 5, 6}, 1: {0, 6}, 2: {0, 6}, 3: {0, 3, 6}, 6: {0, 2, 3, 4, 5, 6}, 7: {0, 1, 2, 3, 4, 5, 6}, 99: {0, 1, 2, 3, 4, 5, 6}} {
		if got := positions(8, cuts); !slices.Equal(got, want) {
			t.Errorf("%d cuts of a context of 8: %v, want %v", cuts, got, want)
		}
	}
	if got := positions(1, 0); len(got) != 0 {
		t.Errorf("a context of one token has no later one, and %v", got)
	}
}

// The poison arrives: in an honest model the logits right at the cut are NaN,
// and those before it are not. Without this the proof would prove nothing.
func TestPoisonWorks(t *testing.T) {
	for name, s := range honest {
		m, err := evaluation{model: saveStream(t, 1, s), cores: 1}.loadModel(testV)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		for cut := range testT {
			ids := m.sample(opened(t, text(999)))
			for i := range ids {
				if i%testT >= cut {
					ids[i] = tensor.PoisonID
				}
			}
			logits, err := m.forward(ids)
			if err != nil {
				t.Fatal(err)
			}
			for i := range ids {
				if at := i % testT; allFinite(logits[i*m.V:(i+1)*m.V]) != (at < cut) && at <= cut {
					t.Fatalf("%s: poisoned from %d on, the logits at %d are finite: %v", name, cut, at, at >= cut)
				}
			}
		}
	}
}

// The digest is of the structure: other weights do not change it, another
// attribute does.
func TestDigest(t *testing.T) {
	dir, _ := dataDir(t)
	digest := func(seed uint64, s stream) string {
		var c Check
		call(t, exitOK, &c, "check", "--model", saveStream(t, seed, s), "--data", dir)
		return c.GraphDigest
	}
	shift := func(by int) stream {
		return func(n *net, x *tensor.Tensor) *tensor.Tensor { return x.Add(x.Shift(1, by)) }
	}
	a, b, c := digest(1, shift(1)), digest(2, shift(1)), digest(1, shift(2))
	if a != b || a == c {
		t.Errorf("digests: %s, with other weights %s, with another shift %s", a, b, c)
	}
}

func TestBadModels(t *testing.T) {
	dir, _ := dataDir(t)
	good, err := os.ReadFile(saveStream(t, 1, honest["bigram"]))
	if err != nil {
		t.Fatal(err)
	}
	file := func(b []byte) string {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ path, reason string }{
		"absent":           {filepath.Join(t.TempDir(), "none"), reasonNotExportable},
		"empty":            {file(nil), reasonNotExportable},
		"cut short":        {file(good[:len(good)-100]), reasonNotExportable},
		"garbage":          {file(bytes.Repeat([]byte("autoresearch"), 99)), reasonNotExportable},
		"other op":         {file(bytes.Replace(good, []byte("matmul_t"), []byte("matmul_x"), 1)), reasonNotExportable},
		"directory":        {t.TempDir(), reasonNotExportable},
		"other vocabulary": {save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor { return n.embed.Embed(ids).MatMul(n.mix) }), reasonNotExportable},
		"nan": {save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor {
			return n.logits(n.embed.Embed(ids).Scale(0).Log().Sub(n.embed.Embed(ids).Scale(0).Log()))
		}), reasonNaN},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"check", "score"} {
				var f fault
				call(t, exitFault, &f, command, "--model", c.path, "--data", dir)
				if f.Reason != c.reason || f.Message == "" {
					t.Errorf("%s: %+v, want reason %s", command, f, c.reason)
				}
			}
		})
	}
}

// Logits that are finite on the sample and not on the rest must not pass.
func TestNaNInTheMiddle(t *testing.T) {
	dir, b := dataDir(t)
	copy(b[3*testB*testT:], "\xff\xff") // nowhere else
	if err := os.WriteFile(filepath.Join(dir, "val.bin"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, value := range []float32{float32(math.Inf(1)), float32(math.Inf(-1))} {
		table := make([]float32, testV*testV)
		table[255*testV+255] = value
		model := save(t, 1, func(n *net, ids *tensor.Tensor) *tensor.Tensor {
			return n.d.Const("table", table, testV, testV).Embed(ids)
		})
		var f fault
		call(t, exitFault, &f, "score", "--model", model, "--data", dir)
		if f.Reason != reasonNaN {
			t.Errorf("a logit of %v: %+v", value, f)
		}
	}
}

// Our own troubles are no verdict on the model.
func TestOurErrors(t *testing.T) {
	dir, _ := dataDir(t)
	model := saveStream(t, 1, honest["bigram"])
	single := t.TempDir()
	if err := os.WriteFile(filepath.Join(single, "val.bin"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no command":   {},
		"guess":        {"guess"},
		"val.bin":      {"score", "--model", model, "--data", t.TempDir()},
		"audit.bin":    {"score", "--model", model, "--data", dir, "--audit", dir},
		"train.bin":    {"check", "--model", model, "--data", t.TempDir()},
		"--model":      {"score", "--data", dir},
		"golang-src":   {"data", "--source", "/nowhere/at/all", "--out", filepath.Join(t.TempDir(), "c")},
		"--out":        {"data", "--source", dir},
		"unexpected":   {"score", "--model", model, "--data", dir, "more"},
		"not defined":  {"check", "--proved", "x"},
		"not possible": {"data", "--source", dir, "--vocab", "255", "--out", filepath.Join(t.TempDir(), "c")},
		"--val-docs":   {"data", "--docs", model, "--out", filepath.Join(t.TempDir(), "c")},
		"single token": {"score", "--model", model, "--data", single},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitError || stdout.Len() > 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: exit code %d, %s%s; want a word on %q", args, code, &stdout, &stderr, want)
		}
	}
}

func TestExpNegative(t *testing.T) {
	for x := 0.0; x > -699; x -= 0.0137 {
		if got, want := expNegative(x), math.Exp(x); math.Abs(got/want-1) > 1e-11 {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	if expNegative(0) != 1 || expNegative(-1e30) != 0 || !math.IsNaN(expNegative(math.NaN())) {
		t.Error("exp at its ends")
	}
}
