//go:build !linux

package sandbox

// Outside Linux nothing confines a run: see docs/sandbox.md.

func probe() Strength { return Strength{} }

func strongest(Strength) Sandbox { return Process{} }

func (Strength) fix() string { return "use Linux 5.13 or newer for runs that are not trusted" }
