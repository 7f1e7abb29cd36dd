package main

import (
	"github.com/autoresearch-go/autoresearch/experiment"
)

// approvalNote is what a person who is asked has to know.
func approvalNote(a experiment.Approval) string {
	switch a.Approve {
	case experiment.ApproveAccept:
		return "each candidate waits " + span(a.Within()) + " for your answer, then it is accepted"
	case experiment.ApproveReject:
		return "each candidate waits " + span(a.Within()) + " for your answer, then it is rejected"
	}
	return "off: candidates are trained without asking"
}
