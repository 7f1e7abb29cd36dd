// Package workers is the composition root: it says which role serves which task
// queues, what the names in settings (targets, proposers, policies) mean, and
// it runs that in one process until it is stopped.
//
// A [Role] is what a worker is for. [Research] serves the queue "research": the
// workflows, and the activities that own the home's repository and ledger.
// [Train] serves training slots, as many as Config.Slots says: each has the
// shared queue "train-cpu" and one of its own, "train-cpu@<host>/<home>" for the
// first and "train-cpu@<host>/<home>-1" and so on for the others, where Evaluate
// finds the model on disk. Both roles may be in one process (up) or on different
// hosts.
//
// # Slots
//
// A slot does one thing at a time; its activities see to that with a lock. So
// that no run waits for one slot while another is free, a slot asks the shared
// queue for a run only while it is vacant: not from the start of a training to
// the end of its evaluation. The slots of a process share the home's caches,
// and nothing else: each has its own activities, processes and time sheet. An
// idle slot is cheap, a dozen goroutines and two open polls.
//
// # One worker per home, role and slot
//
// [Start] takes a lock in the home for each role and holds it for life; the
// kernel drops it with the process. Two research workers in one home would both
// write its ledger, so the second is refused with the pid of the first. Slots
// are counted from 0 for each home and host: a process takes the first ones, all
// or none, and a second one on this host is refused, however many it asks for.
// Containers that share a home have their own.
//
// # One home per namespace
//
// The queues belong to the namespace, and a campaign lives in one home. Start
// refuses a namespace that workers of another home serve.
//
// # Recovery
//
// Holding a lock proves that every earlier worker of this role, slot, home and
// host is dead, however recently Temporal heard from it. Start therefore looks for
// activities that such a worker still seems to run (told by its identity, in
// which the home has a random id, so that no other home is taken for it), and
// fails them in its name; the retry comes to us at once instead of after the
// heartbeat timeout. An earlier process may have had more slots: for those the
// lock is taken for a moment, and what was left there is ended. Nothing of this
// is needed for correctness: where it cannot work (other host, no visibility)
// the timeouts do the same later.
//
// # Errors
//
// Start fails before any work: [*InUseError] for a home in use,
// [*NamespaceInUseError] for a namespace in use, and otherwise with what was
// attempted. After that, errors of activities are Temporal's to
// retry, and a worker that cannot go on (its namespace is gone) says so on
// [Workers.Failed].
package workers
