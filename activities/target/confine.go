package target

// What each kind of process may touch, beside its own directory and its own
// program, and how much it may use. None gets the network.
//
//	build       the Go installation and the sources, to read; a build cache
//	train       the training split, to read
//	smoke       the same
//	evaluate    the model and the splits that it is measured on, to read
//	data        the documents or the Go installation, to read
//
// A candidate never sees the validation split, the audit split, a build cache,
// another run's directory or the repository.
const (
	// runDisk is what one process may write. A training run keeps a few
	// checkpoints and a model; the largest candidates' take some hundred MB each.
	runDisk = 8 << 30
	// runProcesses, threads included. Go's runtime needs a few more than cores.
	runProcesses = 512
)
