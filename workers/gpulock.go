package workers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// gpuLocks holds a lock for each GPU of this machine. It is not in a home: two
// workers of different homes, users or clusters must not share a GPU, and what
// they have in common is the machine. Of the places that every user of a machine
// can write, /tmp is the one that all systems have; TMPDIR may differ between two
// users, so it is not asked. A reboot empties it, and ends every worker as well.
// Containers have a /tmp of their own: a GPU that is given to several of them is
// found busy by looking at it.
const gpuLocks = "/tmp/autoresearch-gpus"

// GPUInUseError says that another worker of this machine has the GPU.
type GPUInUseError struct {
	UUID string
	PID  string // of that worker; "" when it has not said so yet
}

func (e *GPUInUseError) Error() string {
	by := "another worker of this machine"
	if e.PID != "" {
		by = "the worker with process id " + e.PID
	}
	return fmt.Sprintf("the GPU %s is in use by %s", e.UUID, by)
}

// Hint says what the user can do.
func (e *GPUInUseError) Hint() string {
	return "stop that one, or choose other GPUs with --gpus; 'autoresearch doctor' lists them"
}

// gpuName is what the UUID of a GPU or of a MIG device may be: it becomes a file's
// name and a task queue's.
var gpuName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$`)

// lockGPU takes a GPU for as long as this process lives or until release.
func lockGPU(dir, uuid string) (release func(), err error) {
	if !gpuName.MatchString(uuid) {
		return nil, fmt.Errorf("%q is no UUID of a GPU", uuid)
	}
	f, err := openShared(dir, uuid+".lock")
	if err != nil {
		return nil, fmt.Errorf("lock the GPU %s: %w", uuid, err)
	}
	pid, err := flock(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &GPUInUseError{uuid, pid}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the GPU %s with %s: %w", uuid, f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// openShared opens a file that every user may lock, whoever made it. It is opened
// first and made second, since a kernel with fs.protected_regular refuses to
// "open or make" another user's file in a directory that everybody can write.
func openShared(dir, name string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o777); err == nil {
		_ = os.Chmod(dir, os.ModeSticky|0o777) // whatever the umask
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	path := filepath.Join(dir, name)
	for range 3 {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o666)
		if err == nil {
			return f, f.Chmod(0o666)
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s comes and goes", path)
}
