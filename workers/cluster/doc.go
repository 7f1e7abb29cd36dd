// Package cluster answers one question: where is Temporal? [Connect] gives a
// client of a frontend that answers, with the namespace and the search
// attributes that the workflows need.
//
// There are two places. With TEMPORAL_ADDRESS, or with a profile of Temporal's
// environment configuration (temporal.toml, TLS and API keys included), it is
// that cluster, and this package only registers what the cluster lacks.
// Otherwise it is the embedded engine of the home: the program in engine/, an
// own Go module, which this package builds once per machine ([BuildEngine]),
// starts, and afterwards finds again.
//
// # The engine's life
//
// The engine is a process in a session of its own. Nothing that happens to the
// process that started it, Ctrl-C and kill -9 included, touches it; only
// [Cluster.StopEngine] stops it. Everything about it lies in Home/engine:
//
//	lock         held (flock) by the engine for its whole life
//	start.lock   held by whoever is starting an engine, so that only one does
//	state.json   written by the engine: pid, address, UI, ready or not
//	engine.log   its log, at most 20 MB, and the 20 MB before that in engine.log.1
//	temporal.db  the database
//
// The lock is the truth about life, since the kernel drops it with the process:
// state.json is believed only while the lock is held and the pid still belongs
// to the process that wrote it. So a stale file, or a pid that the system has
// given to another program, cannot fool adoption. A dead engine's state.json
// has one more use: the next engine gets the same ports, so that browser tabs
// and clients of TEMPORAL_ADDRESS find it again.
//
// # How it fails
//
// Errors that a user can do something about are [*Error]: what was attempted,
// on what, why it failed, and a hint. A home that cannot be written, a disk
// that is full, an engine that died (with the last lines of its log), a cluster
// that does not answer and one that refuses a registration are told apart.
// Canceling the context ends every wait; a build or an engine that was being
// started is ended too.
//
// flock and sessions are Unix; there is no Windows version.
package cluster
