package activities

import (
	"testing"
	"time"
)

// timesheet is a tenancy whose clock a test moves.
type timesheet struct {
	Tenancy
	at time.Time
}

func newTimesheet() *timesheet {
	s := &timesheet{at: testClock}
	s.clock, s.patience = func() time.Time { return s.at }, time.Hour
	return s
}

func (s *timesheet) wait(seconds int) { s.at = s.at.Add(time.Duration(seconds) * time.Second) }

func (s *timesheet) wantVacant(t *testing.T, want bool, when string) {
	t.Helper()
	select {
	case <-s.Vacant():
		if !want {
			t.Errorf("%s: the slot is vacant", when)
		}
	default:
		if want {
			t.Errorf("%s: the slot is taken", when)
		}
	}
}

func TestTenancy(t *testing.T) {
	s := newTimesheet()
	s.wantVacant(t, true, "at first")
	if idle := s.train("a"); idle != 0 {
		t.Errorf("the first run of a process found %v of idleness", idle)
	}
	s.wait(10)
	s.wantVacant(t, false, "in training")
	if busy := s.busy(); busy != 10*time.Second {
		t.Errorf("busy for %v", busy)
	}
	s.trained(true)
	s.wait(1)
	s.wantVacant(t, false, "between training and evaluation")
	s.evaluate("a")
	s.wait(3)
	waiting := s.Vacant()
	if spent, whole := s.evaluated("a", true); spent != 14*time.Second || !whole {
		t.Errorf("the run had the slot for %v, whole %v", spent, whole)
	}
	<-waiting

	s.wait(2)
	if idle := s.train("b"); idle != 2*time.Second {
		t.Errorf("idle for %v", idle)
	}
	s.wait(5)
	s.trained(false)
	s.wantVacant(t, true, "after a failure")

	// Somebody else's model, and then the next training: the evaluation was work.
	s.wait(1)
	s.evaluate("c")
	s.wantVacant(t, false, "in an evaluation")
	s.wait(4)
	if spent, whole := s.evaluated("c", true); spent != 4*time.Second || whole {
		t.Errorf("the evaluation alone took %v, whole %v", spent, whole)
	}
	s.wait(1)
	if idle := s.train("d"); idle != time.Second {
		t.Errorf("idle for %v", idle)
	}
}

// An evaluation that failed is tried again, and is the tenant's work still.
func TestTenancyEvaluatedTwice(t *testing.T) {
	s := newTimesheet()
	s.train("a")
	s.wait(10)
	s.trained(true)
	s.evaluate("a")
	s.wait(1)
	s.evaluated("a", false)
	s.wantVacant(t, false, "before the second try")
	s.wait(1)
	s.evaluate("b") // that of another slot is no reason to let go
	s.evaluated("b", true)
	s.wantVacant(t, false, "before the second try")
	s.evaluate("a")
	s.wait(1)
	if spent, whole := s.evaluated("a", true); spent != 13*time.Second || !whole {
		t.Errorf("the run had the slot for %v, whole %v", spent, whole)
	}
	s.wantVacant(t, true, "in the end")
}

// A slot is not kept for an evaluation that does not come.
func TestTenancyHasLimits(t *testing.T) {
	s := newTimesheet()
	s.patience = time.Millisecond
	s.train("a")
	s.trained(true)
	<-s.Vacant()

	// It comes after all, while nobody else was there.
	s.wait(60)
	s.evaluate("a")
	if spent, whole := s.evaluated("a", true); spent != time.Minute || !whole {
		t.Errorf("the run had the slot for %v, whole %v", spent, whole)
	}

	// Another run has the slot meanwhile.
	s.train("b")
	s.trained(true)
	<-s.Vacant()
	s.train("c")
	s.trained(false)
	s.evaluate("b")
	if _, whole := s.evaluated("b", true); whole {
		t.Error("the time of another run was counted")
	}
}
