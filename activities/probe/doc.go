// Package probe attacks us. It holds a corpus of cheats, candidates that would
// win if they were believed, and runs them through the real pipeline: guard,
// format, build, smoke run, training, evaluation, each the target's own.
//
// # A cheat
//
// A cheat is a file in corpus/: what it tries, why it would win, which defences
// must catch it, the code, and a twin, the nearest honest code that all defences
// must let pass. The code is pieces of Go that are put into trainer/train.go at
// places that its syntax tree gives (see graft), so that an ordinary change of
// train.go does not break the corpus.
//
// # Each layer by itself
//
// The guard refuses most cheats, so that nothing else would ever be tried on
// them. The probe therefore asks it first, and then runs the same code as if it
// had let it pass: the sandbox, the accounting and the evaluation must each do
// without the one before. No setting of a campaign does that.
//
// Cheats that run behind the guard are built into one program, and its seed
// chooses one: seed 1, the smoke run's, none. A cheat that succeeds says so in a
// file called loot; what happens outside of its process is seen by traps (see
// ground). One that neither fails nor succeeds must have gained nothing: its
// model is scored no better than the honest one.
//
// # Errors
//
// A cheat that is believed, a twin that is refused, and a layer that does not
// hold are a [Finding]. An error is ours: the machine could not run the probe.
package probe
