package workers

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

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

// lockPath is the file that the one worker of this role in the home holds.
func (r Role) lockPath(home experiment.Home) string {
	if r == Research {
		return home.Lock()
	}
	return filepath.Join(string(home), string(r)+".lock")
}

// host is this machine in identities and queue names.
func host() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// homeHash tells the homes of one host apart.
func homeHash(home experiment.Home) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(home)))[:8]
}

// slotQueue is the task queue of the home's one CPU slot.
func slotQueue(home experiment.Home) string {
	return fmt.Sprintf("%s@%s/%s", workflows.TrainQueue, host(), homeHash(home))
}

// identityPrefix is shared by all workers of a role in a home on this host.
func identityPrefix(role Role, home experiment.Home) string {
	return fmt.Sprintf("%s@%s/%s/", role, host(), homeHash(home))
}

// identity is one worker process. The pid alone would not do: it comes again.
func identity(role Role, home experiment.Home) string {
	return fmt.Sprintf("%s%d-%s", identityPrefix(role, home), os.Getpid(), strconv.FormatInt(processStart.UnixNano(), 36))
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
