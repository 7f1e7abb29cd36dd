package e2e

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// What needs no engine is in the scripts of cmd/autoresearch; here is what
// meets a running campaign, or a machine in trouble.

// fails runs a command that must end with the exit status, an error that
// contains text, and a hint; it returns standard error.
func (u *user) fails(status int, text string, args ...string) string {
	u.t.Helper()
	var stderr bytes.Buffer
	cmd := u.command(args...)
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	require.True(u.t, errors.As(err, &exit), "autoresearch %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	require.Equal(u.t, status, exit.ExitCode(), stderr.String())
	require.Contains(u.t, stderr.String(), "error: ")
	require.Contains(u.t, stderr.String(), text)
	require.Contains(u.t, stderr.String(), "\nhint: ")
	require.NotContains(u.t, stderr.String(), "goroutine ", "no stack traces")
	return stderr.String()
}

// A second process in a home is refused in whatever form it comes, and the
// first does not notice. Between its runs, everything that can be made again is
// destroyed; then, what cannot.
func TestBadCompanyAndLosses(t *testing.T) {
	for _, port := range []string{"7233", "8233"} {
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil { // else somebody has it already
			t.Cleanup(func() { l.Close() })
		}
	}
	u := newUser(t)
	const tag = "company"
	up := func(experiments string) []string {
		return []string{"up", plain, "--tag", tag, "--experiments", experiments, "--budget", "1s", "--seeds", "1", "--exit"}
	}
	first := u.start(up("1")...)
	u.training(tag, 0)
	require.Contains(t, first.output(), "port 7233 is taken, using ")
	require.Contains(t, first.output(), "port 8233 is taken, using ")
	require.Contains(t, first.output(), "temporal  "+u.engine().Address)

	u.fails(4, "has a research worker already", up("1")...)
	u.fails(4, "has a research worker already", "up", "--tag", "other")
	u.fails(4, "has a research worker already", "worker")
	u.fails(4, "has a train-cpu worker already", "worker", "--train")
	u.fails(4, "budget is 1s there, not 2s", "up", "--tag", tag, "--budget", "2s")
	u.fails(4, "seeds is 1 there, not 2", "start", "--tag", tag, "--seeds", "2")
	first.wait()
	u.checkLedger(tag, 1)
	u.fails(4, "budget is 1s there, not 2s", "up", "--tag", tag, "--budget", "2s")

	home := experiment.Home(u.home)
	u.lose("engine", "repo.git", "runs")
	require.NoError(t, os.WriteFile(home.Results(tag), []byte("garbage"), 0o644))
	git(t, u.clone, "branch", "-D", experiment.Branch(tag))
	u.fails(4, "budget is 1s there, not 2s", "up", "--tag", tag, "--budget", "2s") // the ledger knows
	u.start("up", plain, "--tag", tag, "--experiments", "2", "--exit").wait()
	require.Len(t, u.history(tag), 3)
	require.Equal(t, 3, u.decided(tag), "the table is whole again")
	require.Equal(t, u.best(tag).Commit, git(t, u.clone, "rev-parse", experiment.Branch(tag)))

	result := filepath.Join(home.Artifacts(), experiment.Key(tag, 1, "result.json"))
	whole, err := os.ReadFile(result)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(result, whole[:len(whole)/2], 0o644))
	u.fails(1, "the ledger is damaged: company/0001/result.json", "up", plain, "--tag", tag, "--experiments", "3")
	require.Zero(t, u.enginePID(), "refused before work starts")
	require.NoError(t, os.WriteFile(result, whole, 0o644))
	require.Len(t, u.history(tag), 3)
}

// lose stops the engine and removes directories of the home.
func (u *user) lose(names ...string) {
	u.t.Helper()
	u.run("engine", "stop")
	for _, name := range names {
		require.NoError(u.t, os.RemoveAll(filepath.Join(u.home, name)))
	}
}

// A campaign waits while the disk is full, says so, and goes on by itself.
func TestFullDisk(t *testing.T) {
	disk := mount(t, "size=64m") // before the user, whose engine is stopped first
	u := newUser(t)
	u.home = filepath.Join(disk, "home")
	u.env = []string{"AUTORESEARCH_HOME=" + u.home}
	const tag = "full"
	up := []string{"up", plain, "--tag", tag, "--experiments", "1", "--budget", "2s", "--seeds", "1", "--exit"}
	u.fails(1, "are free on the disk of the home", up...)
	require.NoDirExists(t, u.home, "refused before anything is made")

	remount(t, disk, "size=1200m")
	p := u.start(up...)
	u.training(tag, 1)
	stuff := filepath.Join(disk, "stuff")
	fill(t, stuff)
	eventually(t, "the trouble is told", func() bool {
		return strings.Contains(p.output(), "no space left on device") || strings.Contains(p.output(), "temporal does not answer")
	})
	require.Len(t, u.history(tag), 1, "the ledger can be read")
	require.False(t, p.ended(), p.output())
	require.NoError(t, os.Remove(stuff))
	p.wait()
	remount(t, disk, "size=2g") // the next worker wants as much free space as the first
	u.checkLedger(tag, 1)
	require.NotEqual(t, experiment.Crash, row(t, u.history(tag), 1).Verdict, "a full disk is no candidate's fault")
}

// fill writes until the disk has no byte left.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if n, err := f.Write(make([]byte, size)); err != nil || n < size {
			size /= 2
		}
	}
}

func TestReadOnlyHome(t *testing.T) {
	disk := mount(t, "size=2g")
	u := newUser(t)
	remount(t, disk, "ro")
	for _, command := range []string{"up", "worker"} {
		u.fails(2, "is not writable: read-only file system", command, "--home", filepath.Join(disk, "home"))
	}
}

// mount gives a file system of the test's own, which needs root.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a file system: %v: %s", err, out)
	}
	t.Cleanup(func() {
		var out []byte
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			var err error // a process that was killed may still be on its way out
			if out, err = exec.Command("umount", dir).CombinedOutput(); err == nil {
				return
			}
			<-time.After(50 * time.Millisecond)
		}
		t.Errorf("something still uses the file system: %s\n%s", out, usersOf(dir))
		_ = exec.Command("umount", "-l", dir).Run()
	})
	return dir
}

// usersOf lists the processes that have something below dir open.
func usersOf(dir string) (list string) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	more, _ := filepath.Glob("/proc/[0-9]*/[ce][wx][de]")
	for _, link := range append(links, more...) {
		if at, err := os.Readlink(link); err == nil && strings.HasPrefix(at, dir) {
			list += link + " -> " + at + "\n"
		}
	}
	return list
}

func remount(t *testing.T, dir, options string) {
	t.Helper()
	out, err := exec.Command("mount", "-o", "remount,"+options, dir).CombinedOutput()
	require.NoError(t, err, string(out))
}

// An address where no Temporal answers is refused before work starts.
func TestWrongTemporalAddress(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	u := newUser(t)
	for _, address := range []string{strings.TrimPrefix(web.URL, "http://"), "127.0.0.1:1", "no-such-host.invalid:7233", "garbage", "127.0.0.1:99999"} {
		u.env = []string{"TEMPORAL_ADDRESS=" + address}
		for _, command := range []string{"up", "worker", "start", "pause"} {
			u.fails(5, address, command)
		}
		require.NoDirExists(t, filepath.Join(u.home, "engine"), "no engine is started instead")
	}
}
