package target

import "errors"

// ErrGPU is in the error of a run or an evaluation that its GPU has ended: a
// memory error, a device that is gone, a driver that fails. Its text has the
// driver's words. It is nobody's doing but the machine's, so the worker takes
// the GPU out of use, and the run goes on from its checkpoint elsewhere.
var ErrGPU = errors.New("the GPU failed")
