//go:build !linux

package target

// systemPaths is what a program of the machine needs to run. Nothing confines
// programs here.
func systemPaths() []string { return nil }
