package workers

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the process when this one ends, however that happens.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
