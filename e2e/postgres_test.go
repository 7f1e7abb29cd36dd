package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

// TestPostgresCluster runs by hand what docker-compose.yml describes: the same
// binaries with the same environment, against PostgreSQL, without Docker.
func TestPostgresCluster(t *testing.T) {
	server, sqlTool := tool(t, "temporal-server"), tool(t, "temporal-sql-tool")
	db := startPostgres(t)
	for name, schema := range map[string]string{"temporal": "temporal", "temporal_visibility": "visibility"} {
		for _, args := range [][]string{{"create"}, {"setup-schema", "-v", "0.0"}, {"update-schema", "--schema-name", "postgresql/v12/" + schema}} {
			cmd := exec.Command(sqlTool, append([]string{"--db", name}, args...)...)
			cmd.Env = append(clean(os.Environ()), "SQL_PLUGIN=postgres12_pgx", "SQL_HOST=127.0.0.1",
				"SQL_PORT="+strconv.Itoa(db), "SQL_USER=temporal", "SQL_PASSWORD=unused")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "temporal-sql-tool %v\n%s", args, out)
		}
	}
	address := startServer(t, server, db)

	u := newUser(t)
	u.env = []string{"TEMPORAL_ADDRESS=" + address}
	u.start("worker", "--research")
	train := u.start("worker", "--train")
	u.run("start", plain, "--tag", "pg", "--experiments", "2", "--budget", "1s", "--seeds", "1")
	u.training("pg", 1)
	train.kill()
	u.start("worker", "--train")

	c, err := client.Dial(client.Options{HostPort: address})
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, c.GetWorkflow(ctx, "research-pg", "").Get(ctx, nil))
	u.checkDecisions("pg", 2)
	checkExecutions(t, c, "pg", u.best("pg"))
	require.Zero(t, u.enginePID(), "no embedded engine beside a cluster")
}

// startPostgres starts a throw-away PostgreSQL on loopback and returns its port.
func startPostgres(t *testing.T) int {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		if os.Getenv("AUTORESEARCH_TEST_POSTGRES") == "required" {
			t.Fatal("PostgreSQL's server package is required and not installed")
		}
		t.Skip("PostgreSQL's server package is not installed (apt-get install postgresql)")
	}
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "pg-") // short: PostgreSQL limits the length of its socket's path
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "temporal", "--auth=trust", "--no-sync", "-E", "UTF8")
	initdb.SysProcAttr, initdb.Dir = as, dir
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, string(out))
	port := freePort(t)
	pg := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir)
	pg.SysProcAttr, pg.Dir = as, dir
	stopAtEnd(t, pg, syscall.SIGINT)
	eventually(t, "PostgreSQL answers", func() bool {
		return exec.Command(filepath.Join(bin, "pg_isready"), "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() == nil
	})
	return port
}

// unprivileged gives the process attributes under which PostgreSQL agrees to
// run, and dir to that user: it refuses root.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	u, err := osuser.Lookup("postgres")
	require.NoError(t, err, "Debian's package makes the user")
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	require.NoError(t, os.Chown(dir, uid, gid))
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// startServer starts a Temporal server configured by the environment variables
// of docker-compose.yml and returns its frontend's address.
func startServer(t *testing.T, server string, db int) string {
	t.Helper()
	config, err := filepath.Abs("../docs/temporal-dynamic-config.yaml")
	require.NoError(t, err)
	ports := freeServicePorts(t)
	cmd := exec.Command(server, "start")
	cmd.Dir = t.TempDir()
	cmd.Env = append(clean(os.Environ()),
		"DB=postgres12_pgx", "POSTGRES_SEEDS=127.0.0.1", "DB_PORT="+strconv.Itoa(db),
		"POSTGRES_USER=temporal", "POSTGRES_PWD=unused", "BIND_ON_IP=127.0.0.1", "NUM_HISTORY_SHARDS=64",
		"DYNAMIC_CONFIG_FILE_PATH="+config)
	for name, port := range ports {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", name, port))
	}
	stopAtEnd(t, cmd, syscall.SIGTERM)
	address := fmt.Sprintf("127.0.0.1:%d", ports["FRONTEND_GRPC_PORT"])
	eventually(t, "the server answers", func() bool {
		c, err := client.Dial(client.Options{HostPort: address})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address
}

// freeServicePorts picks the ports of the server's four services, so that the
// test runs beside any other server on the machine.
func freeServicePorts(t *testing.T) map[string]int {
	ports := map[string]int{}
	for _, service := range []string{"FRONTEND", "HISTORY", "MATCHING", "WORKER"} {
		ports[service+"_GRPC_PORT"] = freePort(t)
		ports[service+"_MEMBERSHIP_PORT"] = freePort(t)
	}
	ports["FRONTEND_HTTP_PORT"] = freePort(t)
	return ports
}

// freePort picks a port below 32768: Temporal's PostgreSQL schema keeps ports
// in 16 signed bits.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			defer l.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

// stopAtEnd starts a server and ends it with the test, showing its output on failure.
func stopAtEnd(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(sig)
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			lines := strings.Split(out.String(), "\n")
			for i, line := range lines {
				lines[i] = line[:min(len(line), 300)] // stack traces
			}
			t.Logf("last lines of %s:\n%s", filepath.Base(cmd.Path), strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
}
