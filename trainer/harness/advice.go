package harness

import (
	"errors"
	"io/fs"
	"syscall"
)

// advice says what to do about a file that could not be written.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; free some space"
	case errors.Is(err, syscall.EFBIG):
		return "; raise the limit on the size of a file (ulimit -f)"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "; the trainer needs permission to write there"
	case errors.Is(err, fs.ErrNotExist):
		return "; a directory of the run has been removed while it went on"
	}
	return ""
}
