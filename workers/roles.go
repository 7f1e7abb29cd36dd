package workers

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// Role is what a worker is for.
type Role string

// The roles.
const (
	Research Role = "research"
	Train    Role = "train-cpu"
)

// place is where workers work: a home on a host. Its names appear in Temporal.
type place struct {
	home experiment.Home
	host string
	hash string // of the home: see findPlace
}

// findPlace names a home on a host. A path does not tell homes apart: machines
// made from one image have the same paths, and at times the same host name. So
// each home has a random id; and the path counts too, since homes are copied.
func findPlace(home experiment.Home, host string) (place, error) {
	id, err := homeID(filepath.Join(string(home), "id"))
	if err != nil {
		return place{}, fmt.Errorf("name the home %s: %w", home, err)
	}
	sum := sha256.Sum256([]byte(string(home) + "\x00" + id))
	return place{home, cmp.Or(host, "localhost"), fmt.Sprintf("%x", sum)[:8]}, nil
}

// homeID returns what the file holds, and makes it if it is missing: whole or
// not at all, whoever else is making it.
func homeID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeHomeID(path); err == nil || errors.Is(err, fs.ErrExist) {
			b, err = os.ReadFile(path)
		}
	}
	return string(b), err
}

func makeHomeID(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".id-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(uuid.NewString() + "\n")
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// lockPath is the file that the one worker of a role holds: one research worker
// per home, and one training slot per home and host. Hosts (containers, say)
// that share a home have slots of their own.
func (p place) lockPath(role Role) string {
	if role == Research {
		return p.home.Lock()
	}
	return filepath.Join(string(p.home), fmt.Sprintf("%s@%s.lock", role, p.host))
}

// slotQueue is the task queue of the place's one CPU slot.
func (p place) slotQueue() string {
	return fmt.Sprintf("%s@%s/%s", workflows.TrainQueue, p.host, p.hash)
}

// identityPrefix is shared by all workers of a role in this place, and by
// nobody else: whoever holds the lock is the only one of them that lives.
func (p place) identityPrefix(role Role) string {
	return fmt.Sprintf("%s@%s/%s/", role, p.host, p.hash)
}

// identity is one worker process. The pid alone would not do: it comes again,
// in a container always.
func (p place) identity(role Role) string {
	return fmt.Sprintf("%s%d-%s", p.identityPrefix(role), os.Getpid(), strconv.FormatInt(processStart.UnixMilli(), 36))
}

// buildID names the code of a worker in every task that it completes. The SDK's
// own, a digest of the binary, is four times as long and says less.
func buildID() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return experiment.ShortCommit(s.Value)
			}
		}
		if v := info.Main.Version; v != "" && v != "(devel)" {
			return v
		}
	}
	return "dev"
}

var processStart = time.Now()
