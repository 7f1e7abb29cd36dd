package main

import (
	"fmt"
	"io"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// claim is a keep and what it was said to be better than.
type claim struct {
	of, over int
	state    string  // confirmed, provisional, rolled back or void
	gain     float64 // as the campaign measured it when it was kept
	title    string
}

// claimsOf lists the keeps of a campaign in the order in which they were kept. A
// simplification claims no gain and is none.
func claimsOf(results []experiment.Result, all bool) []claim {
	type fate struct {
		state string
		over  int
	}
	fates, void := map[int]fate{}, map[int]bool{}
	for _, r := range results {
		for _, n := range r.Voids {
			void[n] = true
		}
	}
	for _, r := range results {
		if r.Check == nil || void[r.Experiment] {
			continue
		}
		switch r.Reason {
		case experiment.Confirmed:
			for i, c := range r.Line {
				if i > 0 && c.Experiment == r.Check.Of {
					fates[r.Check.Of] = fate{"confirmed", r.Line[i-1].Experiment}
				}
			}
		case experiment.Refuted:
			fates[r.Check.Of] = fate{state: "rolled back"}
		}
	}
	var out []claim
	for _, r := range results {
		if r.Reason != experiment.Improved || r.Check != nil || r.Against == nil || r.ValBpb == nil {
			continue
		}
		c := claim{of: r.Experiment, over: r.Against.Experiment, state: "provisional", gain: r.Against.ValBpb - *r.ValBpb, title: r.Title}
		if f, ok := fates[r.Experiment]; ok {
			c.state = f.state
			if f.state == "confirmed" {
				c.over = f.over
			}
		}
		if all || c.state == "confirmed" || len(r.Line) == 0 { // a policy that confirms nothing claims every keep
			out = append(out, c)
		}
	}
	return out
}

// comparison is Student's (Welch's) interval of the difference of two means.
type comparison struct{ gain, low, high float64 }

func compare(over, of []float64) comparison {
	a, va := moments(over)
	b, vb := moments(of)
	se := math.Sqrt(va + vb)
	dof := (va + vb) * (va + vb) / (va*va/float64(len(over)-1) + vb*vb/float64(len(of)-1))
	if se == 0 {
		return comparison{a - b, a - b, a - b}
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: dof}.Quantile(0.975) * se
	return comparison{a - b, a - b - half, a - b + half}
}

// moments are the mean and the variance of that mean.
func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	n := float64(len(v))
	return mean, variance / (n - 1) / n
}

// truth is what the fresh seeds say of a claim: true or false where the interval
// is clear of zero, otherwise the likelier of the two.
func (c comparison) truth() string {
	switch {
	case c.low > 0:
		return "true"
	case c.high <= 0:
		return "false"
	case c.gain > 0:
		return "likely true"
	}
	return "likely false"
}

// report prints one line a claim, and the share of false ones.
func report(out io.Writer, campaign experiment.Campaign, results []experiment.Result, claims []claim, scores map[int][]float64) {
	fmt.Fprintf(out, "| keep | over | state | claimed gain | gain by fresh seeds | 95 %% interval | seeds | claim | title |\n|---|---|---|---|---|---|---|---|---|\n")
	wrong, confirmed := 0, 0
	for _, c := range claims {
		of, over := scores[c.of], scores[c.over]
		if len(of) < 2 || len(over) < 2 {
			fmt.Fprintf(out, "| #%d | #%d | %s | %+.4f | - | - | %d, %d | not measured: its runs fail | %s |\n", c.of, c.over, c.state, c.gain, len(of), len(over), c.title)
			continue
		}
		k := compare(over, of)
		if c.state == "confirmed" || len(results[0].Line) == 0 {
			confirmed++
			if k.gain <= 0 {
				wrong++
			}
		}
		fmt.Fprintf(out, "| #%d | #%d | %s | %+.4f | %+.4f | %+.4f to %+.4f | %d, %d | %s | %s |\n",
			c.of, c.over, c.state, c.gain, k.gain, k.low, k.high, len(of), len(over), k.truth(), c.title)
	}
	stated := "the policy states no rate"
	if n := len(results); n > 0 && results[n-1].FalseKeepRate > 0 {
		stated = fmt.Sprintf("stated: at most %.0f %%", 100*results[n-1].FalseKeepRate)
	}
	share := 0.0
	if confirmed > 0 {
		share = 100 * float64(wrong) / float64(confirmed)
	}
	fmt.Fprintf(out, "\ncampaign %s: of %d keeps that are claimed, %d are no better by fresh seeds: %.1f %%; %s\n", campaign.Tag(), confirmed, wrong, share, stated)
}
