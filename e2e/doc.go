// Package e2e holds the end-to-end tests: a fresh clone, an empty home, the real
// binary, the real engine, real training processes, and kill -9.
//
// The tests see what a user sees: the command's output, the files in the home,
// git, and Temporal's API. Beyond the nouns in experiment they import only what
// stands in for the world (the double of a language model's server, the target
// noop) and what they compare the records with (the decision policy, the table).
//
// # What is where
//
//	fixture_test.go   a user with a clone and a home, processes, polling
//	ledger_test.go    what must be true of every complete campaign
//	model_test.go     a language model's server that fails on demand
//	kill_test.go chaos_test.go parallel_test.go    kill -9, on purpose and at random
//	outage_test.go secrets_test.go                 language models: outages, money, keys
//	steer_test.go     approval, ideas, program.md, several proposers, stop
//	cuda_test.go      GPUs that break, are busy or too hot (tag cuda, emulated)
//	badinput_test.go tools_test.go postgres_test.go
//
// # Time
//
// Each test waits for a state and has minutes for it, so that a busy machine
// makes it slow and not red. Those that train use all cores and run alone; those
// with the target noop, or that mostly wait, run side by side (t.Parallel).
package e2e
