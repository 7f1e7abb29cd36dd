package main

import (
	"fmt"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// What fresh seeds say is shown apart from what is kept: a score that was
// selected for being low is optimistic, and only runs that had no part in
// selecting it give a number to publish.

// provisionalNote is for campaigns whose policy confirms nothing.
const provisionalNote = "keeps are provisional: the campaign's policy does not measure them again, and the lowest of many noisy scores looks better than it is"

// fresh is "1.7312 ± 0.0041, 4 fresh seeds, confirmed": the mean and the 95 %
// confidence interval. What was not selected, the baseline, has its runs.
func fresh(in experiment.Incumbent, s style) string {
	e := in.Fresh
	if e == nil {
		return fmt.Sprintf("%.4f, %s", in.ValBpb, plural(in.Runs, "seed"))
	}
	text := fmt.Sprintf("%.4f %s %.4f, %s", e.ValBpb, plusMinus(s), (e.High-e.Low)/2, plural(e.Runs, "fresh seed"))
	if in.Confirmed {
		text += ", confirmed"
	}
	return text
}

func plusMinus(s style) string {
	if s.utf8 {
		return "±"
	}
	return "+/-"
}

// standing is what has become of an experiment, as one would say it.
func standing(now ledger.Standing) string {
	switch now {
	case ledger.Provisional:
		return "a provisional keep: fresh seeds have not confirmed it yet"
	case ledger.Sound:
		return "a keep that fresh seeds have confirmed"
	case ledger.RolledBack:
		return "rolled back: fresh seeds have not found it better, or what it was made from"
	case ledger.Void:
		return "void: the slot that measured it had drifted"
	}
	return ""
}

// confirmedLines are what 'best' says of fresh seeds, by heading.
func confirmedLines(st experiment.Status, s style) (lines [][2]string) {
	add := func(heading, text string) { lines = append(lines, [2]string{heading, text}) }
	in := st.Confirmed
	if in == nil {
		return nil
	}
	add("confirmed", fmt.Sprintf("%s  #%d %s", s.paint(good, fresh(*in, s)), in.Experiment, s.printable(in.Title)))
	if rate := st.FalseKeepRate; rate > 0 {
		add("claim", fmt.Sprintf("at most %.3g %% of the confirmed keeps are expected to be no improvement", 100*rate))
	}
	if v := st.RawMinimum; v != nil {
		add("lowest", fmt.Sprintf("%.4f of all single scores, which luck has flattered", *v))
	}
	if a := in.Audit; a != nil {
		text := fmt.Sprintf("%.4f on the hidden audit split; gain on validation less gain there %+.4f %s %.4f", a.ValBpb, a.Gap, plusMinus(s), 1.96*a.StdErr)
		if a.Overfit {
			text += s.paint(mild, "  overfit to the validation split")
		}
		add("audit", text)
	}
	if st.Checks > 0 {
		add("checks", fmt.Sprintf("%d made  %s confirmed  %d rolled back", st.Checks, plural(st.Tally.Confirmed, "keep"), st.RolledBack))
	}
	return lines
}

// checkTitle is what the title of a check says beside the check's own name; most
// say nothing.
func checkTitle(r experiment.Result) string {
	return strings.TrimPrefix(strings.TrimPrefix(r.Title, r.Check.Title()), ": ")
}
