package data

import "syscall"

// readAhead asks the system to load a mapped file before it is needed. It is
// only advice.
func readAhead(text []byte) { _ = syscall.Madvise(text, syscall.MADV_WILLNEED) }
