package experiment

import "time"

// SlotHealth is what a worker says of one of its training slots: the signal
// "slot" to a campaign, and what its status shows of slots that are not well.
type SlotHealth struct {
	Queue  string    `json:"queue"`            // the slot's own task queue: train-cuda@<host>/<uuid>
	State  SlotState `json:"state"`            //
	Reason string    `json:"reason,omitempty"` // for people; of a healthy slot a warning
	At     time.Time `json:"at"`               // since when
}

// SlotState says whether a slot takes work.
type SlotState string

// The states of a slot.
const (
	SlotHealthy     SlotState = "healthy"
	SlotWaiting     SlotState = "waiting"     // somebody else has its GPU, or it is too hot: it goes on by itself
	SlotQuarantined SlotState = "quarantined" // its GPU is sick: it takes no work until its worker is started again
	SlotDrained     SlotState = "drained"     // a GPU of its host is lost: no slot of the host takes new work
)

// Well says whether there is nothing to tell of a slot.
func (s SlotHealth) Well() bool { return s.State == SlotHealthy && s.Reason == "" }

// Known says whether it is a state at all.
func (s SlotState) Known() bool {
	switch s {
	case SlotHealthy, SlotWaiting, SlotQuarantined, SlotDrained:
		return true
	}
	return false
}
