// Package workers is the composition root: it says which role serves which task
// queues, what the names in settings (targets, proposers, policies) mean, and
// it runs that in one process until it is stopped.
//
// A [Role] is what a worker is for. [Research] serves the queue "research": the
// workflows, and the activities that own the home's repository and ledger.
// [Train] serves one training slot: the shared queue "train-cpu" and the slot's
// own, "train-cpu@<host>/<home>", where Evaluate finds the model on disk. Both
// may be in one process (up) or on different hosts. The slot itself is locked
// by the activities: a Train and an Evaluate that are both started take turns.
//
// # One worker per home and role
//
// [Start] takes a lock in the home for each role and holds it for life; the
// kernel drops it with the process. Two research workers in one home would both
// write its ledger, so the second is refused with the pid of the first. Training
// slots are one per home and host: containers that share a home have one each.
//
// # One home per namespace
//
// The queues belong to the namespace, and a campaign lives in one home. Start
// refuses a namespace that workers of another home serve.
//
// # Recovery
//
// Holding the lock proves that every earlier worker of this role, home and host
// is dead, however recently Temporal heard from it. Start therefore looks for
// activities that such a worker still seems to run (told by its identity, in
// which the home has a random id, so that no other home is taken for it), and
// fails them in its name; the retry comes to us at once instead of after the
// heartbeat timeout. Nothing of this is needed for correctness: where it cannot
// work (other host, no visibility) the timeouts do the same later.
//
// # Errors
//
// Start fails before any work: [*InUseError] for a home in use,
// [*NamespaceInUseError] for a namespace in use, and otherwise with what was
// attempted. After that, errors of activities are Temporal's to
// retry, and a worker that cannot go on (its namespace is gone) says so on
// [Workers.Failed].
package workers
