package main

import (
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"github.com/autoresearch-go/autoresearch/activities"
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
		s := step{name: strings.ToLower(p.GetActivityType().GetName()), attempt: int(p.GetAttempt()), since: p.GetScheduledTime().AsTime()}
		if t := p.GetLastStartedTime(); t != nil {
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

// trouble is "train #3 failed: no space left (attempt 4), next try in 30s". A
// second attempt that runs is no trouble: a killed worker's run goes on.
func (s step) trouble(number int, now time.Time) string {
	if s.cause == "" || s.attempt <= 2 && s.next.IsZero() {
		return ""
	}
	text := fmt.Sprintf("%s #%d failed: %s (attempt %d)", s.name, number, s.cause, s.attempt-1)
	if wait := s.next.Sub(now).Round(time.Second); !s.next.IsZero() && wait > 0 {
		return text + ", next try in " + span(wait)
	}
	return text + ", trying again"
}
