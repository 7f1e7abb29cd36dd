// Package health looks at NVIDIA GPUs from outside, through NVML: how much of
// their memory is in use and by whom, what they have reported as broken, how
// fast they run and what holds them back. It uses no GPU: it makes no context
// and takes no memory, so a worker may watch a GPU that a run has for itself.
//
// [Open] gives a [Monitor]; [Monitor.Sample] is one look, a [Snapshot]; and
// [Snapshot.Judge] says what that means, which is a pure function. A [Watch]
// collects the samples of one run.
//
// # Rules
//
// Whose fault a report is, by the numbers that the driver gives (Xid) and its
// counters:
//
//	Xid 13, 31, 43              the job's: an illegal address, a program that was stopped
//	Xid 48, 94, 95              memory that lost data: the GPU is sick
//	uncorrectable ECC errors    the same, since the GPU was last reset
//	rows that cannot be mapped  the memory has no spare rows left: sick
//	Xid 79, NVML error 15       the GPU has fallen off its bus: lost, and its host is suspect
//
// A sick GPU needs a reset, a lost one its host a reboot: both are for people.
//
// # Processes
//
// NVML names processes by their ids outside all containers. Where this process
// sees other ids (a container of its own), nobody can be told by his id: then
// the run may be the one process on the GPU, and every other one is foreign.
//
// # Errors
//
// A driver that hangs hangs whoever asks it. No method waits longer than
// [Patience]: it returns [ErrSilent] then, and so do later calls until the one
// that hangs has come back. Without the build tag cuda, and without NVIDIA's
// library, Open says so.
package health
