package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"

	"github.com/autoresearch-go/autoresearch/activities"
	"github.com/autoresearch-go/autoresearch/bench/bed"
	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// gap is the time in which a slot was idle, between two candidates.
type gap struct {
	tag      string // of the campaign
	next     int    // the candidate after it
	idle     time.Duration
	busy     time.Duration // of the slot, with the candidate after the gap
	prepared bool          // the candidate was, before the slot became idle
	parts    [len(partNames)]time.Duration
}

func (g gap) String() string {
	text := fmt.Sprintf("%s, before #%d: idle %v, prepared %v", g.tag, g.next, g.idle, g.prepared)
	for i, part := range g.parts {
		text += fmt.Sprintf("; %s %v", partNames[i], part.Round(time.Millisecond))
	}
	return text
}

// partNames are the steps from one candidate to the next, as histories show them.
var partNames = [...]string{
	"the answer of Evaluate reaches the server",
	"the child schedules Decide",
	"Decide waits for a worker",
	"Decide",
	"the report reaches the parent",
	"the order reaches the next child",
	"the child schedules Train",
	"Train waits for the worker of the slot",
}

// marks are the moments of an experiment.
type marks struct {
	number                          int
	slot                            string
	idle, busy                      time.Duration
	applied                         time.Time // the last candidate stood
	ordered, scheduled, began, left time.Time // of training; left: the slot
	decideScheduled, decideBegan    time.Time
	decided, reported               time.Time
}

// readGaps reads the histories of a campaign.
func readGaps(ctx context.Context, b *bed.Bed, tag string, experiments int) ([]gap, error) {
	reported, err := reports(ctx, b, tag)
	if err != nil {
		return nil, err
	}
	slots := map[string][]marks{}
	for n := range experiments + 1 {
		for _, m := range readMarks(ctx, b, tag, n) {
			m.reported = reported[n]
			slots[m.slot] = append(slots[m.slot], m)
		}
	}
	var gaps []gap
	for _, all := range slots {
		slices.SortFunc(all, func(a, b marks) int { return a.began.Compare(b.began) })
		for i, m := range all[1:] {
			if before := all[i]; before.number > 0 && m.number > 0 && m.idle > 0 { // the baseline has gaps of its own
				g := between(before, m)
				g.tag, g.next = tag, m.number
				gaps = append(gaps, g)
			}
		}
	}
	return gaps, nil
}

// between is the gap from one candidate to the next on the same slot.
func between(before, m marks) gap {
	// The worker measures until it has the slot, some milliseconds after the
	// server has given it the task. They count for the first part.
	idle := m.began.Add(-m.idle)
	g := gap{idle: m.idle, busy: m.busy, prepared: m.applied.Before(idle)}
	at := idle
	for i, next := range []time.Time{
		before.left, before.decideScheduled, before.decideBegan, before.decided, before.reported,
		m.ordered, m.scheduled, m.began,
	} {
		g.parts[i] = max(0, next.Sub(at))
		at = next
	}
	return g
}

// reports says when the campaign heard of each decision.
func reports(ctx context.Context, b *bed.Bed, tag string) (map[int]time.Time, error) {
	at := map[int]time.Time{}
	err := events(ctx, b, experiment.ResearchID(tag), func(e *historypb.HistoryEvent) {
		a := e.GetWorkflowExecutionSignaledEventAttributes()
		var m workflows.Report
		if a.GetSignalName() == workflows.SignalReport && converter.GetDefaultDataConverter().FromPayloads(a.GetInput(), &m) == nil {
			at[m.Number] = e.GetEventTime().AsTime()
		}
	})
	return at, err
}

// readMarks reads the history of one experiment: one entry, or one for each run
// of a baseline. An experiment that never trained has none.
func readMarks(ctx context.Context, b *bed.Bed, tag string, n int) (trained []marks) {
	m := marks{number: n}
	names := map[int64]string{}
	begun := map[int64]time.Time{}
	decode := converter.GetDefaultDataConverter().FromPayloads
	_ = events(ctx, b, experiment.ExperimentID(tag, n), func(e *historypb.HistoryEvent) {
		at := e.GetEventTime().AsTime()
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			m.ordered = at
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			name := e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
			names[e.GetEventId()] = name
			switch name {
			case "Train":
				m.scheduled = at
			case "Decide":
				for i := range trained {
					trained[i].decideScheduled = at
				}
			}
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			begun[e.GetActivityTaskStartedEventAttributes().GetScheduledEventId()] = at
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			a := e.GetActivityTaskCompletedEventAttributes()
			switch names[a.GetScheduledEventId()] {
			case "Apply":
				m.applied = at
			case "Train":
				var out activities.TrainResult
				if decode(a.GetResult(), &out) == nil {
					t := m
					t.slot, t.began, t.left = out.Slot, begun[a.GetScheduledEventId()], at
					t.idle, t.busy = seconds(out.Measurement.IdleSeconds), seconds(out.Measurement.SlotSeconds)
					trained = append(trained, t)
				}
			case "Evaluate":
				var out activities.EvaluateResult
				if i := len(trained) - 1; i >= 0 && decode(a.GetResult(), &out) == nil {
					trained[i].left, trained[i].busy = at, seconds(out.Measurement.SlotSeconds)
				}
			case "Decide":
				for i := range trained {
					trained[i].decideBegan, trained[i].decided = begun[a.GetScheduledEventId()], at
				}
			}
		}
	})
	return trained
}

func events(ctx context.Context, b *bed.Bed, id string, do func(*historypb.HistoryEvent)) error {
	iter := b.Client.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iter.HasNext() {
		e, err := iter.Next()
		if err != nil {
			return err
		}
		do(e)
	}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
