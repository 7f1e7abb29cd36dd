//go:build cuda

package gpu

// For the tests of package gpu_test, which use the emulated toolkit.

const StageBytes = stageBytes

func Size(bytes int64) string { return size(bytes) }

// Modules is the number of sources that a Device has loaded.
func Modules(d *Device) int { return len(d.modules) }
