package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// parallelView is the live view of that campaign, with two that train.
func parallelView(t *testing.T) view {
	st, work := parallel(), parallelWork(t)
	return view{tag: "mar5", status: &st, ongoing: work.ongoing, trouble: work.trouble, now: madeAt.Add(62 * time.Minute)}
}

func TestViewOfParallelTrainings(t *testing.T) {
	v := parallelView(t)
	v.ongoing[1] = training(8, "wider embeddings", 7.6)
	v.ongoing = append(v.ongoing, ongoing{Ongoing: experiment.Ongoing{Experiment: 13, Stage: experiment.Training, Title: "tied embeddings"}, step: "evaluate", since: v.now.Add(-3 * time.Second)})
	require.Equal(t, strings.TrimPrefix(`
mar5  running  6 of 100 experiments  2 kept  3 discarded  1 crashed  1h02m  slots busy 99.3 %  $0.0421  1 hint waiting  2 ideas waiting
best  2.4312 (-0.1611 since the baseline)  #6 lower Window from 256 to 128, <b>&"quoted"</b>
#7 train      ######....  62%  37s of 60s  loss 2.3123  lower MatrixLR from 0.031 to 0.025
#8 train      #.........  13%   7s of 60s  loss 2.3123  wider embeddings
#13 evaluate  3s                             tied embeddings
ready: #10; proposing: #11 #12
#9 awaits approval until `+madeAt.Add(70*time.Minute).Local().Format("15:04")+`, then it is rejected: autoresearch approve 9 --tag mar5 (or reject)  replace GELU by ReLU squared
waiting for the language model: asking qwen3 at box:8080: 429 Too Many Requests (#11 #12), next try in 40s`, "\n"), drawn(v, 160, style{}))
}

// While nothing trains, the proposals are the work.
func TestViewWhileNothingTrains(t *testing.T) {
	v := parallelView(t)
	v.ongoing, v.trouble = v.ongoing[2:], nil
	require.Equal(t, "#11 propose  60s\n#12 propose  60s\nready: #10", strings.Join(strings.Split(drawn(v, 100, style{}), "\n")[2:5], "\n"))
}

// A view that is higher than its terminal would scroll it with every redraw.
func TestViewFitsIntoTheTerminal(t *testing.T) {
	v := parallelView(t)
	for n := range 64 {
		v.ongoing = append(v.ongoing, training(20+n, strings.Repeat("a long title ", 20), float64(n)))
	}
	for range 20 {
		v.trouble = append(v.trouble, strings.Repeat("a disk is gone ", 30))
	}
	for _, height := range []int{1, 2, 3, 4, 5, 8, 13, 24, 50, 79} {
		for _, width := range []int{1, 30, 80, 200} {
			lines := v.lines(width, height, style{})
			require.LessOrEqual(t, len(lines), max(1, height-1), "height %d", height)
			for _, line := range lines {
				require.Less(t, columns(line), max(width, 10), "%q at width %d", line, width)
			}
		}
	}
	lines := strings.Join(v.lines(80, 24, style{}), "\n")
	require.Contains(t, lines, "#7 train")
	require.Contains(t, lines, "and 56 more at work")
	require.Contains(t, lines, "ready: #10")
	require.Contains(t, lines, "#9 awaits approval")
}

func TestAskLine(t *testing.T) {
	o := experiment.Ongoing{Experiment: 9}
	require.Equal(t, "#9 awaits approval: autoresearch approve 9 --tag mar5 (or reject)", askLine(o, experiment.Approval{}, "mar5"))
	o.Deadline = madeAt
	require.Contains(t, askLine(o, experiment.Approval{Approve: "accept"}, "mar5"), ", then it is accepted: ")
}

// Without a terminal each thing is said once, whatever its clock does.
func TestPlainOutputOfParallelTrainings(t *testing.T) {
	a, out := newApp(t)
	now := madeAt.Add(62 * time.Minute)
	a.now = func() time.Time { return now }
	w := newWatcher(a, nil, "mar5", 0)
	w.view = parallelView(t)
	w.show()
	require.Equal(t, strings.TrimPrefix(`
#7 training: lower MatrixLR from 0.031 to 0.025
#9 awaits approval until `+madeAt.Add(70*time.Minute).Local().Format("15:04")+`, then it is rejected: autoresearch approve 9 --tag mar5 (or reject)  replace GELU by ReLU squared
waiting for the language model: asking qwen3 at box:8080: 429 Too Many Requests (#11 #12), next try in 40s
`, "\n"), out.String(), "#8 is queued")
	out.Reset()
	now = now.Add(10 * time.Second)
	w.view.ongoing[0].progress.ChargedSeconds++
	w.view.trouble = []string{strings.Replace(w.view.trouble[0], "40s", "30s", 1)}
	w.show()
	require.Empty(t, out.String())
	w.view.ongoing[1].queued = false
	w.view.ongoing[2].Revision = 1 // on another parent, it is asked for again
	w.show()
	require.Contains(t, out.String(), "#8 training: wider embeddings")
	require.Contains(t, out.String(), "#9 awaits approval")
}

// Results are written once each, in the order of their decisions, whatever
// their numbers.
func TestEventsInOrderOfDecision(t *testing.T) {
	written := func(w *watcher, results []experiment.Result) (numbers []int) {
		for _, r := range w.unseen(results) {
			numbers = append(numbers, r.Experiment)
		}
		return numbers
	}
	all := madeParallel("mar5")
	a, _ := newApp(t)
	w := newWatcher(a, nil, "mar5", 0)
	require.Empty(t, written(w, nil))
	require.Equal(t, []int{0, 2}, written(w, all[:2]))
	require.Equal(t, []int{1, 5}, written(w, all[:4]))
	require.Equal(t, []int{4}, written(w, all))
	require.Empty(t, written(w, all))

	w = newWatcher(a, nil, "mar5", 4)
	require.Equal(t, []int{0, 2, 1, 5, 4}, written(w, all), "the last few are repeated")
	a.json = true
	w = newWatcher(a, nil, "mar5", 4)
	require.Empty(t, written(w, nil), "the ledger is read later")
	require.Equal(t, []int{4}, written(w, all), "a stream of records has each once")
}

// What did not change is not written again, and what changed is not cleared
// before.
func TestRegionDoesNotFlicker(t *testing.T) {
	var screen strings.Builder
	var r region
	r.open(&screen)
	r.draw([]string{"one", "two"})
	screen.Reset()
	r.draw([]string{"one", "two"})
	require.Empty(t, screen.String())
	r.draw([]string{"one", "2", "three"})
	require.Equal(t, "\x1b[A\x1b[A\rone\x1b[K\n2\x1b[K\nthree\x1b[K\n\x1b[J", screen.String())
	screen.Reset()
	r.draw([]string{"one"})
	require.Equal(t, "\x1b[A\x1b[A\x1b[A\rone\x1b[K\n\x1b[J", screen.String())
}

func TestFiguresOfMoneyAndShares(t *testing.T) {
	require.Equal(t, "99.9 %", percent(0.99996))
	require.Equal(t, "100.0 %", percent(1))
	require.Equal(t, "$0.0004", dollars(0.0004))
	require.Equal(t, "$12.30", dollars(12.3))
	require.Equal(t, "1.2k tokens read, 80 written, price not known", spentLine(experiment.Spent{PromptTokens: 1234, CompletionTokens: 80}))
	require.Zero(t, medianIdle(made("mar5")), "older results do not know")
}
