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
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/autoresearch-go/autoresearch/experiment"
	"github.com/autoresearch-go/autoresearch/workflows"
)

// Role is what a worker is for.
type Role string

// The roles.
const (
	Research  Role = "research"
	Train     Role = "train-cpu"
	TrainCUDA Role = "train-cuda"
)

// seat is the name of a slot within its role: "" for the first of a home's CPU
// slots, then "1" and so on; and the UUID of a slot's GPU.
type seat string

// nth is the seat of a CPU slot, counted from 0.
func nth(n int) seat {
	if n == 0 {
		return ""
	}
	return seat(strconv.Itoa(n))
}

// suffix is the seat as a part of names.
func (s seat) suffix() string {
	if s == "" {
		return ""
	}
	return "-" + string(s)
}

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

// A role may be served several times in a place: Train once per slot, counted
// from 0, and TrainCUDA once per GPU. The research worker is alone and has the
// seat "". What has that is named after the role and the place alone.

// lockPath is the file that the one worker of a role and slot holds. Hosts
// (containers, say) that share a home have slots of their own; but a GPU is one
// for all homes (gpulock.go).
func (p place) lockPath(role Role, s seat) string {
	if role == Research {
		return p.home.Lock()
	}
	return filepath.Join(string(p.home), fmt.Sprintf("%s%s@%s.lock", role, s.suffix(), p.host))
}

// slotQueue is the task queue of one slot of the place.
func (p place) slotQueue(role Role, s seat) string {
	if role == TrainCUDA {
		return fmt.Sprintf("%s@%s/%s", workflows.CUDAQueue, p.host, s)
	}
	return fmt.Sprintf("%s@%s/%s%s", workflows.TrainQueue, p.host, p.hash, s.suffix())
}

// identityPrefix is shared by all workers that a role and slot has had in this
// place, and by nobody else: whoever holds the lock is the only one that lives.
func (p place) identityPrefix(role Role, s seat) string {
	return fmt.Sprintf("%s@%s/%s%s/", role, p.host, p.hash, s.suffix())
}

// identity is one worker of this process. The pid alone would not do: it comes
// again, in a container always.
func (p place) identity(role Role, s seat) string {
	return fmt.Sprintf("%s%d-%s", p.identityPrefix(role, s), os.Getpid(), strconv.FormatInt(processStart.UnixMilli(), 36))
}

// slotOf says which slot an identity has, if it is that of a worker of this role
// and place.
func (p place) slotOf(role Role, identity string) (s seat, ok bool) {
	parts := strings.Split(identity, "/") // role@host/home-seat/process
	if len(parts) != 3 {
		return "", false
	}
	_, name, named := strings.Cut(parts[1], "-")
	switch n, _ := strconv.Atoi(name); {
	case role == TrainCUDA:
		ok = name != ""
	default:
		ok = !named || n > 0 && nth(n) == seat(name)
	}
	return seat(name), ok && strings.HasPrefix(identity, p.identityPrefix(role, seat(name)))
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
