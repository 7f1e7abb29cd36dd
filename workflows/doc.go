// Package workflows is the durable loop: what a campaign does, step by step, in
// deterministic code. Everything that touches the world is an activity.
//
// # The two workflows
//
// [Research] is a campaign (workflow id research-<tag>): it prepares, measures
// the baseline and then runs one experiment after the other until a limit is
// reached or somebody stops it. [Experiment] is one of them (research-<tag>-0007):
//
//	Propose -> Apply -> Train -> Evaluate -> its turn -> Decide -> report
//	   ^---------┘ a broken edit goes back, at most twice
//
// # How they talk
//
// A child outlives the run of its parent that started it (continue-as-new), so
// nothing between the two relies on that bond: the child is abandoned, and both
// sides speak by signals to workflow ids without a run id.
//
//	child  -> parent  turn    I have measured; may I decide?
//	parent -> child   decide  yes, against this incumbent and this noise
//	child  -> parent  report  decided: the result; or ended without a decision
//	parent -> child   adopt   I have restarted: say again what you wait for
//
// Decisions are serialized: one turn is granted at a time, so each verdict is
// made against the incumbent of that moment. Reports are deduplicated by the
// experiment's number. The ledger, not a message, is the record: a decision
// that nobody could be told of is found there by Prepare of the next start.
//
// # State
//
// [State] is all that a run hands to the next one. Its size does not depend on
// the number of experiments; the full history is the ledger.
//
// # Errors
//
// A candidate that fails is a verdict. A child that ends without a report is
// infra: it runs again under its number, and since activities are idempotent by
// number nothing is paid twice. After three such ends in a row, or at once when
// an activity says that no retry can help, the campaign pauses and says why
// (status: trouble). What makes a campaign impossible (invalid settings, a
// baseline that crashes) fails it at once with a non-retryable error whose type
// is one of the Err constants, here or in package activities.
//
// # Changing this package
//
// Running campaigns replay this code. The replay tests over recorded histories
// say when a change breaks them; versions.go says what to do then.
package workflows
