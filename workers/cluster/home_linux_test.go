package cluster

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestReadOnlyHome(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o555))
	// Permissions do not stop root: this thread gives up root's rights to
	// files. It is not unlocked, so it ends with the test's goroutine.
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		require.NoError(t, unix.Setfsuid(65534))
		defer unix.Setfsuid(0)
	}
	_, err := Connect(testContext(t), Options{Home: dir + "/home", Start: true})
	require.ErrorIs(t, err, os.ErrPermission)
	require.ErrorContains(t, err, dir)
	requireHint(t, err, "--home")
}
