// Package activities is everything that a campaign does outside its
// deterministic workflows: Prepare, Propose, Apply, Train, Evaluate, Decide.
//
// [Research] serves the task queue "research": it owns the home's git
// repository and ledger. [Train] serves training slots. Each activity is idempotent
// by campaign, experiment number and run: a retry after a crash returns what
// the first attempt stored, or continues it. The pluggable parts live in the
// packages below: proposer, search, policy, target, sandbox, artifact, ledger.
//
// # Errors
//
// A candidate that fails is a result with a Failure. An error is ours, and
// errors.go is the only place that says whether Temporal retries it.
package activities
