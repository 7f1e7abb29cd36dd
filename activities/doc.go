// Package activities is everything that a campaign does outside its
// deterministic workflows: Prepare, Propose, Apply, Train, Evaluate, Decide, and
// SetProgram and TakeIdea, which take what people send.
//
// [Research] serves the task queue "research": it owns the home's git
// repository and ledger. [Train] serves training slots. The pluggable parts live
// in the packages below: proposer, search, policy, target, sandbox, artifact,
// ledger.
//
// # Paid once
//
// Each activity is idempotent by campaign, experiment number, revision, and
// round or run: a retry after a crash returns what the first attempt stored, or
// continues it (keys.go lists the names). An answer of a language model is
// stored before anything is made of it. A revision, which gives an experiment
// another parent, carries the change over by a three-way merge where the
// proposal cost something (rebase.go), and asks the proposer anew otherwise.
//
// # One decision at a time
//
// Experiments run side by side. Decide takes them one by one: it reads the
// incumbent from the ledger under a lock and writes the result before the next
// one looks. Its input says what was measured, not what it is compared with.
//
// # Secrets
//
// The values of environment variables that look like secrets are taken out of
// every error, proposal and note, since histories and artifacts are read by many.
// An edit that has one in it is refused, not changed.
//
// # Errors
//
// A candidate that fails is a result with a Failure. An error is ours, and
// errors.go is the only place that says whether Temporal retries it.
package activities
