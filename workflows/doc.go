// Package workflows is the durable loop: what a campaign does, step by step, in
// deterministic code. Everything that touches the world is an activity.
//
// # The two workflows
//
// [Research] is a campaign (workflow id research-<tag>): it prepares, measures
// the baseline, and then keeps N slots busy with experiments until a limit is
// reached or somebody stops it. [Experiment] is one of them (research-<tag>-0007):
//
//	Propose -> Apply -> ready ... order -> Train -> Evaluate -> Decide -> report
//	   ^---------┘ a broken edit goes back, at most twice
//	   ^------------------------┘ another parent: the next revision
//
// # Who is under way
//
// The scheduler (schedule.go) looks whenever something has happened. It keeps N
// experiments that prepare a change to the incumbent, and one more that prepares
// a change to the candidate that will be decided next, so that a slot finds a
// prepared candidate whatever the verdict is. A parent has lost its point when it
// is neither the incumbent nor a candidate in training: what is prepared on it
// gets another parent, which counts one revision. What has a slot keeps it, and
// is measured as it is.
//
// A keep was measured once and selected for it. Checks train it again with fresh
// seeds, and slots are checked for drift (checks.go): children without a proposal,
// in idle slots or in their share of the runs. What they refute is rolled back,
// and what was prepared on it gets another parent like after any decision.
//
// # How they talk
//
// A child outlives the run of its parent that started it (continue-as-new), so
// nothing between the two relies on that bond: the child is abandoned, and both
// sides speak by signals to workflow ids without a run id.
//
//	child  -> parent  ready   my candidate is prepared; or: it has its slot already
//	parent -> child   order   train it; or: make it again on this parent; or: it is rejected
//	child  -> parent  report  decided: the result; or ended without a decision
//	parent -> child   adopt   I have restarted: say again how far you are
//
// An order names the revision that it answers, so a late one does no harm. A
// child says "ready" again from time to time, and "report" until it is delivered
// or there is no campaign to tell; the parent takes one report for each number.
// A child that speaks for an experiment that is decided is a stray, and is ended.
//
// # Decisions
//
// The parent grants slots, not verdicts. Decide is an activity that takes its
// turn under a lock and reads the incumbent from the ledger, so decisions are
// made one at a time, whatever becomes of the messages about them. The parent
// takes over what the decision with the highest Sequence says. A decision that
// nobody could be told of is found in the ledger by Prepare of the next start.
//
// # State
//
// [State] is all that a run hands to the next one: counters, the incumbent, the
// last ten results, and an [Entry] for each experiment that is under way, whose
// number is bounded by the slots. The full history is the ledger. A run
// continues as new with all of it under way, as soon as its own messages are
// delivered and what has arrived is taken in; the next run adopts the children.
//
// # Errors
//
// A candidate that fails is a verdict. A child that ends without a report is
// infra: it runs again under its number, and since activities are idempotent by
// number and revision nothing is paid twice. After three such ends in a row, or
// at once when an activity says that no retry can help, the campaign pauses and
// says why (status: trouble). What makes a campaign impossible (invalid settings,
// a baseline that crashes) fails it at once with a non-retryable error whose
// type is one of the Err constants, here or in package activities.
//
// # Changing this package
//
// Running campaigns replay this code. The replay tests over recorded histories
// say when a change breaks them; versions.go says what to do then.
package workflows
