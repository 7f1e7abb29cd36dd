package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// step is an activity at work or waiting for its next attempt, as Temporal
// describes it.
type step struct {
	name     string // train
	queued   bool   // no worker has taken it yet
	since    time.Time
	progress *activities.Progress
	attempt  int
	cause    string    // of the last attempt's failure; empty: none has failed
	next     time.Time // when the next attempt begins; zero: it runs
}

// steps reads the pending activities of a workflow.
func steps(pending []*workflowpb.PendingActivityInfo) []step {
	out := make([]step, 0, len(pending))
	for _, p := range pending {
		s := step{name: strings.ToLower(p.GetActivityType().GetName()), attempt: int(p.GetAttempt())}
		if t := cmp.Or(p.GetLastStartedTime(), p.GetScheduledTime()); t != nil {
			s.since = t.AsTime()
		}
		s.queued = p.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && p.GetLastFailure() == nil
		if d := p.GetHeartbeatDetails(); d != nil && !s.queued {
			var v activities.Progress
			if converter.GetDefaultDataConverter().FromPayloads(d, &v) == nil {
				s.progress = &v
			}
		}
		if f := p.GetLastFailure(); f != nil && p.GetAttempt() > 1 {
			s.cause = rootCause(f)
		}
		if t := p.GetNextAttemptScheduleTime(); t != nil {
			s.next = t.AsTime()
		}
		out = append(out, s)
	}
	return out
}

// rootCause is the message that says most: the innermost one.
func rootCause(f *failurepb.Failure) string {
	message := f.GetMessage()
	for f = f.GetCause(); f != nil; f = f.GetCause() {
		if m := f.GetMessage(); m != "" && !strings.Contains(message, m) {
			message += ": " + m
		}
	}
	line, _, _ := strings.Cut(message, "\n")
	return line
}

// askingLLM begins the failure of a proposal that waits for a language model.
// What one experiment after the other waits for is the same without it.
var askingLLM = regexp.MustCompile(`^(?:(?:asking )?proposer llm: (?:experiment \d+: )?)+`)

// failing tells whether s is in trouble. A second attempt that runs is none: a
// killed worker's run goes on. One that asks a language model again is, until
// there is an answer: it may well take a minute to fail the same way.
func (s step) failing() bool {
	return s.cause != "" && (s.attempt > 2 || !s.next.IsZero() || s.waitsForLLM())
}

func (s step) waitsForLLM() bool { return s.name == "propose" && askingLLM.MatchString(s.cause) }

// same tells whether two steps fail for one reason.
func (s step) same(other step) bool {
	return s.name == other.name && askingLLM.ReplaceAllString(s.cause, "") == askingLLM.ReplaceAllString(other.cause, "")
}

// trouble is "train #3 failed: no space left (attempt 4), next try in 30s". who
// is the experiments that it keeps waiting.
func (s step) trouble(who string, now time.Time) string {
	if !s.failing() {
		return ""
	}
	text := strings.TrimSpace(s.name+" "+who) + fmt.Sprintf(" failed: %s (attempt %d)", s.cause, s.attempt-1)
	if s.waitsForLLM() {
		text = fmt.Sprintf("waiting for the language model: %s (%s)", askingLLM.ReplaceAllString(s.cause, ""), who)
	}
	if wait := s.next.Sub(now).Round(time.Second); !s.next.IsZero() && wait > 0 {
		return text + ", next try in " + span(wait)
	}
	return text + ", trying again"
}

// troubles tells what the steps of all experiments wait for. What keeps several
// of them waiting is told once, with the try that comes first.
func troubles(all []experiment.Ongoing, found [][]step, now time.Time) []string {
	type group struct {
		step
		who []string
	}
	var groups []group
	for i, o := range all {
		for _, s := range found[i] {
			if !s.failing() {
				continue
			}
			who := ""
			if o.Experiment != campaignItself {
				who = fmt.Sprintf("#%d", o.Experiment)
			}
			at := slices.IndexFunc(groups, func(g group) bool { return g.same(s) })
			if at < 0 {
				groups = append(groups, group{s, []string{who}})
				continue
			}
			g := &groups[at]
			if g.who = append(g.who, who); s.next.Before(g.next) {
				g.step = s
			}
		}
	}
	out := make([]string, len(groups))
	for i, g := range groups {
		out[i] = g.trouble(strings.Join(slices.Compact(g.who), " "), now)
	}
	return out
}
