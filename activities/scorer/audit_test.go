package scorer

import (
	"math"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

func logs(probabilities ...float64) []float32 {
	out := make([]float32, len(probabilities))
	for i, p := range probabilities {
		out[i] = float32(math.Log(p))
	}
	return out
}

func TestAdd(t *testing.T) {
	inf := math.Inf(1)
	nan := logs(0.5, 0.25, 0.25, 0)
	nan[3] = float32(math.NaN())
	up := logs(0.5, 0.25, 0.25, 0)
	up[3] = float32(inf)
	for name, c := range map[string]struct {
		claimed float64
		row     []float32
		target  int32
		reason  experiment.Reason
		says    string
	}{
		"honest":                     {math.Ln2, logs(0.5, 0.25, 0.25, 0), 0, "", ""},
		"rounding":                   {math.Ln2 + 0.009, logs(0.5, 0.25, 0.25, 0), 0, "", ""},
		"rounding of the sum":        {math.Ln2, logs(0.5003, 0.25015, 0.25015, 0), 0, "", ""},
		"too good":                   {math.Ln2 - 0.011, logs(0.5, 0.25, 0.25, 0), 0, experiment.Tampered, "window 3, position 4: the program claimed"},
		"too bad":                    {math.Ln2 + 0.011, logs(0.5, 0.25, 0.25, 0), 0, experiment.Tampered, "the same numbers again"},
		"impossible after all":       {1, logs(0.5, 0.25, 0.25, 0), 3, experiment.Tampered, "gives it +Inf"},
		"adds up to more":            {math.Ln2, logs(0.5, 0.5, 0.5, 0.5), 0, experiment.Tampered, "add up to 2"},
		"all certain":                {0, logs(1, 1, 1, 1), 2, experiment.Tampered, "add up to 4"},
		"adds up to less":            {math.Ln2, logs(0.5, 0.1, 0.1, 0.1), 0, experiment.Tampered, "add up to 0.8"},
		"no probability at all":      {math.Ln2, logs(0, 0, 0, 0), 0, experiment.Tampered, "not to 1"},
		"logits, not logarithms":     {math.Ln2, []float32{3, 1, 1, 1}, 0, experiment.Tampered, "softmax"},
		"NaN":                        {math.Ln2, nan, 0, experiment.NaN, "token 3 is NaN"},
		"infinite":                   {math.Ln2, up, 0, experiment.NaN, "+Inf"},
		"large losses may differ":    {100, []float32{0, float32(math.Inf(-1)), -100.5, float32(math.Inf(-1))}, 2, "", ""},
		"but not by everything":      {100, []float32{0, float32(math.Inf(-1)), -101.5, float32(math.Inf(-1))}, 2, experiment.Tampered, "claimed"},
		"a huge answer, small claim": {0.5, []float32{0, float32(math.Inf(-1)), -900, float32(math.Inf(-1))}, 2, experiment.Tampered, "claimed"},
	} {
		a := NewAudit(4, tolerances["float32"], 1e-6)
		f := a.Add(Cut{3, 4}, c.claimed, c.row, c.target)
		switch {
		case c.reason == "" && f != nil:
			t.Errorf("%s: %+v", name, f)
		case c.reason != "" && (f == nil || f.Reason != c.reason || !strings.Contains(f.Message, c.says)):
			t.Errorf("%s: %+v, want %s: ...%s", name, f, c.reason, c.says)
		case c.reason != "" && (a.Add(Cut{}, math.Ln2, logs(0.5, 0.5, 0, 0), 0) == nil || a.Decide().Failure == nil):
			t.Errorf("%s is forgotten", name)
		}
	}
}

func TestDecide(t *testing.T) {
	tol := tolerances["float32"]
	run := func(n int, difference func(i int) float64) Finding {
		a := NewAudit(256, tol, 1e-6)
		for i := range n {
			a.compare(Cut{i, 0}, 2, 2+difference(i))
		}
		return a.Decide()
	}
	sign := func(i int) float64 { return float64(1 - 2*(i%2)) }
	for name, c := range map[string]struct {
		n          int
		difference func(i int) float64
		says       string // "" passes
	}{
		"exact":                     {1000, func(int) float64 { return 0 }, ""},
		"noise":                     {1000, func(i int) float64 { return 0.001 * sign(i) }, ""},
		"many small":                {10000, func(int) float64 { return 0.0009 }, "too good by 0.0009"},
		"many small, few cuts":      {20, func(int) float64 { return 0.0009 }, ""},
		"small lies under noise":    {10000, func(i int) float64 { return 0.0003 + 0.001*sign(i) }, "too good"},
		"claims that are too bad":   {10000, func(int) float64 { return -0.0009 }, ""},
		"noise that is no rounding": {10000, func(i int) float64 { return 0.005 * sign(i) }, "root mean square"},
		"nothing asked":             {0, nil, "nothing was asked"},
		"one large":                 {1000, func(i int) float64 { return map[int]float64{500: 0.02}[i] }, "claimed"},
	} {
		f := run(c.n, c.difference)
		if c.says == "" && f.Failure != nil || c.says != "" && (f.Failure == nil || f.Failure.Reason != experiment.Tampered || !strings.Contains(f.Failure.Message, c.says)) {
			t.Errorf("%s: %+v, failure %+v; want %q", name, f, f.Failure, c.says)
		}
	}
	f := run(1000, func(i int) float64 { return 0.001 * sign(i) })
	if f.Cuts != 1000 || math.Abs(f.Spread-0.001) > 1e-9 || math.Abs(f.MeanGap) > 1e-9 || !strings.Contains(f.Worst, "window") {
		t.Errorf("got %+v", f)
	}
}

func TestClaims(t *testing.T) {
	c := Claims{2, 2, []float32{1, 2, 10, 0.5}}
	l := c.Loss(256)
	if l.Plain != 13.5 || math.Abs(l.Clamped-(3.5+math.Log(256))) > 1e-12 {
		t.Errorf("loss %+v", l)
	}
	if c.At(Cut{1, 0}) != 10 {
		t.Error("the claim at a cut is another")
	}
	before := c.Digest()
	c.Nats[3] = math.Nextafter32(0.5, 1)
	other := Claims{1, 4, []float32{1, 2, 10, 0.5}}
	if c.Digest() == before || other.Digest() == before {
		t.Error("other claims have the same digest")
	}
	for _, bad := range []struct {
		v      float32
		reason experiment.Reason
	}{{float32(math.NaN()), experiment.NaN}, {float32(math.Inf(1)), experiment.NaN}, {-0.1, experiment.Tampered}, {1e30, experiment.NaN}} {
		c.Nats[2] = bad.v
		if f := c.check(); f == nil || f.Reason != bad.reason || !strings.Contains(f.Message, "window 1, position 0") {
			t.Errorf("%v: %+v", bad.v, f)
		}
	}
	c.Nats[2] = -1e-7
	if f := c.check(); f != nil || c.Nats[2] != 0 {
		t.Errorf("rounding below 0: %+v, %v", f, c.Nats[2])
	}
}

func TestToleranceOf(t *testing.T) {
	for _, name := range []string{"float32", "bfloat16"} {
		if v, err := ToleranceOf(name); err != nil || !(v.Bias < v.Spread && v.Spread < v.Outlier) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := ToleranceOf("float8"); err == nil || !strings.Contains(err.Error(), "bfloat16") {
		t.Errorf("float8: %v", err)
	}
}
