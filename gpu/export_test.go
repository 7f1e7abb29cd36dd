//go:build cuda

package gpu

import "time"

// For the tests of package gpu_test, which use the emulated toolkit.

const StageBytes = stageBytes

func Size(bytes int64) string { return size(bytes) }

// Modules is the number of sources that a Device has loaded.
func Modules(d *Device) int { return len(d.modules) }

// TuneFrom has algorithms timed for products of so many multiplications, once each
// however long it takes, until it is undone: the emulation takes its time.
func TuneFrom(multiplications int64) (undo func()) {
	least, shape, look, again := tuneLeast, tunePerShape, tuneLook, tuneLookAgain
	tuneLeast, tunePerShape, tuneLook, tuneLookAgain = multiplications, time.Minute, 0, 0
	return func() { tuneLeast, tunePerShape, tuneLook, tuneLookAgain = least, shape, look, again }
}

// RefuseFirst makes the library's second algorithm, which the emulated one refuses
// to run, the one that is chosen.
func RefuseFirst() (undo func()) {
	firstChoice = 1
	return func() { firstChoice = 0 }
}
