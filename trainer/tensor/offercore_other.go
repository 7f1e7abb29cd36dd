//go:build !linux

package tensor

import "runtime"

func offerCore() { runtime.Gosched() }
