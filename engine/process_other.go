//go:build !linux

package main

// processStart is empty where /proc does not exist: adoption then rests on the
// lock and on the health check.
func processStart(int) string { return "" }
