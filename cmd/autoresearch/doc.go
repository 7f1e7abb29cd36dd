// Command autoresearch runs and steers research campaigns.
//
// Each command has one file, named like it. What they share:
//
//	main.go       process: arguments, signals, exit status
//	root.go       the command tree and its persistent flags
//	output.go     THE OUTPUT RULES, and everything that writes them
//	failure.go    errors with a hint and an exit code
//	home.go       the home: where it is, whether it can be used
//	preflight.go  what is checked before any work starts
//	dataset.go    the data set, as it is named on the command line
//	llm.go        the language model, asked before any work starts
//	campaigns.go  which campaigns there are, and which one is meant
//	source.go     answers of the workflow, or else of the ledger
//	message.go    Updates and signals to a running campaign
//	ongoing.go    what is being done, as Temporal tells it
//	view.go       the live view: a pure function from facts to lines
//	region.go     the lines at the bottom of a terminal that are drawn again
//
// The commands hold no state of their own. A campaign lives in Temporal and in
// the ledger of its home; reading commands ask the workflow and, when no worker
// answers, read the ledger and say so.
//
// # How it fails
//
// Every error that a user can cause is a [failure]: a lower-case message, a
// hint and an exit code (see "autoresearch help exit-codes"). Bad input is
// refused before anything is built, started or written.
package main
