// Package repo keeps every candidate as a commit in the home's bare repository
// and shows the incumbent line in the user's checkout.
//
// A [Repo] is the bare repository. It holds, beside objects:
//
//	refs/imports/<commit>           commits fetched from checkouts, so that gc keeps them
//	refs/experiments/<tag>/<n>      every candidate, discarded ones too
//	refs/heads/autoresearch/<tag>   the incumbent line
//
// A [Checkout] is the user's repository. It is read, and one thing in it is
// written: branch autoresearch/<tag>, by compare-and-swap, never while it is
// checked out anywhere, never over commits that are not ours.
//
// # How git is driven
//
// The git binary does the work, in an environment of its own (run.go): no
// system or user configuration, no hooks, no prompts, a fixed author, English
// messages. Commits carry dates given by the caller, so that the same edit of
// the same parent is the same commit however often it is made. Objects and refs
// are flushed to disk (core.fsync), so that a ref never names what a power cut
// took.
//
// # Errors
//
// Errors say what was attempted, on what, and what to do; errors.go lists what
// callers can tell apart. Locks of other git processes are waited for; in the
// bare repository, which is ours alone, a lock that a killed git left behind is
// removed once it is old.
package repo
