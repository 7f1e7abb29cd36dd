//go:build !linux && !darwin

package target

func cpuModel() string { return "" }
