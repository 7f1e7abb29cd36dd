package main

import (
	"fmt"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// eventLine is a decided experiment in one line:
//
//	#3 keep 2.4312 (-0.0611) raise MatrixLR from 0.02 to 0.031
//	#4 discard 2.4471 (+0.0159 worse) lower Depth from 4 to 3
//	#5 crash (oom) raise Batch from 64 to 512
//	#6 confirm #3: refuted 2.4702 (+0.0390) raise MatrixLR from 0.02 to 0.031
func eventLine(r experiment.Result, s style) string {
	if r.Check != nil {
		return checkLine(r, s)
	}
	verdict := s.paint(verdictColor(r.Verdict), string(r.Verdict))
	parts := []string{fmt.Sprintf("#%d", r.Experiment), verdict}
	if r.ValBpb != nil {
		parts = append(parts, bpb(r.ValBpb))
	}
	if aside := eventAside(r, s); aside != "" {
		parts = append(parts, "("+aside+")")
	}
	if r.Reason != experiment.Baseline {
		parts = append(parts, s.printable(r.Title))
	}
	return strings.Join(parts, " ")
}

// checkLine is a check: what it measures again, and whether that stands. The
// difference is to the incumbent that it was decided against.
func checkLine(r experiment.Result, s style) string {
	outcome := string(r.Reason)
	parts := []string{fmt.Sprintf("#%d %s: %s", r.Experiment, r.Check.Title(), s.paint(verdictColor(r.Verdict), outcome))}
	if r.ValBpb != nil {
		parts = append(parts, bpb(r.ValBpb))
	}
	if r.Against != nil && r.ValBpb != nil {
		parts = append(parts, fmt.Sprintf("(%+.4f)", *r.ValBpb-r.Against.ValBpb))
	}
	if title := checkTitle(r); title != "" {
		parts = append(parts, s.printable(title))
	}
	return strings.Join(parts, " ")
}

// eventAside is what stands in parentheses: the difference to the incumbent it
// was decided against, and the reason unless the verdict says it all.
func eventAside(r experiment.Result, s style) string {
	var parts []string
	if r.Against != nil && r.ValBpb != nil {
		parts = append(parts, fmt.Sprintf("%+.4f", *r.ValBpb-r.Against.ValBpb))
	}
	if r.Reason != experiment.Improved {
		parts = append(parts, string(r.Reason))
	}
	if r.Reason == experiment.Baseline && r.NoiseAfter.StdDev > 0 {
		sign := "+/-"
		if s.utf8 {
			sign = "±"
		}
		return fmt.Sprintf("baseline, noise %s%.4f", sign, r.NoiseAfter.StdDev)
	}
	return strings.Join(parts, " ")
}

func verdictColor(v experiment.Verdict) string {
	switch v {
	case experiment.Keep:
		return good
	case experiment.Crash:
		return bad
	}
	return faint
}
