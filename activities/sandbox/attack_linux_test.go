package sandbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every attack is first run as a plain process, where it must succeed, so that
// its failure inside a sandbox says something about the sandbox.

// prize is what attacks are after. It lies in a file, an environment and the
// memory of processes outside.
const prize = "the-prize-of-the-attack"

// field is what stands outside, told to the attacker in its environment.
type field struct {
	dir       string // with the files secret, and planted if somebody plants it
	parent    int    // this process: in its memory at address, in its file fd
	address   uintptr
	fd        int
	neighbour int // another process of this user, with the prize in its environment
	tcp, udp  string
	abstract  string
	socket    string
}

// attack returns nil when it has succeeded.
type attack struct {
	name string
	do   func(field) error
	// stopped says whether a sandbox of that strength must hold it off.
	stopped func(Strength) bool
	root    bool // an ordinary user could not do it anyway
}

func files(s Strength) bool          { return s.Namespaces || s.Landlock > 0 }
func network(s Strength) bool        { return s.Namespaces || s.Seccomp }
func otherProcesses(s Strength) bool { return s.Namespaces || s.Landlock > 0 }
func signals(s Strength) bool        { return s.Namespaces || s.Landlock >= signalScope }
func calls(s Strength) bool          { return s.Seccomp }
func always(Strength) bool           { return true }

func attacks() []attack {
	secret := func(f field) string { return filepath.Join(f.dir, "secret") }
	procFile := func(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
	return []attack{
		{"read by its path", func(f field) error { return read(secret(f)) }, files, false},
		{"read by a relative path", func(f field) error {
			here, _ := os.Getwd()
			there, err := filepath.Rel(here, secret(f))
			return errors.Join(err, read(there))
		}, files, false},
		{"read by a symbolic link", func(f field) error {
			return errors.Join(os.Symlink(secret(f), "link"), read("link"))
		}, files, false},
		{"read by a hard link", func(f field) error {
			return errors.Join(os.Link(secret(f), "hard"), read("hard"))
		}, files, false},
		{"list a directory", func(f field) error { _, err := os.ReadDir(f.dir); return err }, files, false},
		{"write outside", func(f field) error { return os.WriteFile(filepath.Join(f.dir, "planted"), nil, 0o644) }, files, false},
		{"remove a file", func(f field) error { return os.Remove(filepath.Join(f.dir, "removable")) }, files, false},
		{"truncate a file", func(f field) error {
			path := filepath.Join(f.dir, "long")
			return errors.Join(os.Truncate(path, 1), sizeIs(path, 1))
		}, func(s Strength) bool { return s.Namespaces || s.Landlock >= truncation }, false},
		{"change permissions", func(f field) error {
			path := filepath.Join(f.dir, "long")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			mode := info.Mode() ^ 0o100
			err = os.Chmod(path, mode)
			if info, statErr := os.Stat(path); err == nil && (statErr != nil || info.Mode() != mode) {
				return errors.New("it is as it was")
			}
			return err
		}, func(s Strength) bool { return s.Namespaces || s.Seccomp }, false},
		{"environment of a neighbour", func(f field) error { return read(procFile(f.neighbour, "environ")) }, otherProcesses, false},
		{"root of a neighbour", func(f field) error { return read(procFile(f.neighbour, "root"+secret(f))) }, files, false},
		{"directory of a neighbour", func(f field) error { return read(procFile(f.neighbour, "cwd/secret")) }, files, false},
		{"file of the parent", func(f field) error { return read(procFile(f.parent, "fd/"+strconv.Itoa(f.fd))) }, files, false},
		{"memory of the parent by /proc", func(f field) error {
			m, err := os.Open(procFile(f.parent, "mem"))
			if err != nil {
				return err
			}
			b := make([]byte, len(prize))
			_, err = m.ReadAt(b, int64(f.address))
			return errors.Join(err, found(b))
		}, otherProcesses, true},
		{"memory of the parent", func(f field) error {
			b := make([]byte, len(prize))
			_, err := unix.ProcessVMReadv(f.parent, []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}, []unix.RemoteIovec{{Base: f.address, Len: len(b)}}, 0)
			return errors.Join(err, found(b))
		}, always, true},
		{"trace a neighbour", func(f field) error {
			runtime.LockOSThread()
			_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(f.neighbour), 0, 0, 0, 0)
			return result(errno)
		}, always, true},
		{"signal to the parent", func(f field) error { return unix.Kill(f.parent, 0) }, signals, false},
		{"signal to a neighbour", func(f field) error { return unix.Kill(f.neighbour, unix.SIGCONT) }, signals, false},
		{"an inherited file", func(f field) error {
			for fd := range 200 {
				b := make([]byte, len(prize))
				if _, err := unix.Pread(fd, b, 0); err == nil && found(b) == nil {
					return nil
				}
			}
			return errors.New("none has it")
		}, always, false},
		{"tcp", dial("tcp4", func(f field) string { return f.tcp }), network, false},
		{"udp", dial("udp4", func(f field) string { return f.udp }), network, false},
		{"abstract socket", dial("unix", func(f field) string { return f.abstract }), network, false},
		{"socket file", dial("unix", func(f field) string { return f.socket }), network, false},
		{"a listener", func(field) error {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return err
			}
			_, err = net.Dial("tcp4", l.Addr().String())
			return err
		}, network, false},
		{"other namespaces", func(field) error { return inner("unshare") }, calls, false},
		{"kernel keys", func(field) error {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
			return err
		}, calls, false},
		{"perf counters", func(field) error {
			_, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: unix.PERF_ATTR_SIZE_VER0, Config: unix.PERF_COUNT_SW_TASK_CLOCK, Bits: unix.PerfBitExcludeKernel}, 0, -1, -1, 0)
			return err
		}, calls, true},
		{"the kernel's settings", func(field) error {
			f, err := os.OpenFile("/proc/sys/vm/swappiness", os.O_WRONLY, 0)
			if err == nil {
				f.Close() // it would have been possible
			}
			return err
		}, files, true},
		{"every environment", func(f field) error {
			all, _ := filepath.Glob("/proc/[0-9]*/environ")
			for _, path := range all {
				if read(path) == nil {
					return nil
				}
			}
			return fmt.Errorf("none of %d has it", len(all))
		}, otherProcesses, false},
	}
}

func sizeIs(path string, size int64) error {
	info, err := os.Stat(path)
	if err == nil && info.Size() != size {
		err = errors.New("it is as it was")
	}
	return err
}

func dial(kind string, where func(field) string) func(field) error {
	return func(f field) error {
		c, err := net.DialTimeout(kind, where(f), 5*time.Second)
		if err != nil {
			return err
		}
		_, err = c.Write([]byte("hello"))
		return err
	}
}

func read(path string) error {
	b, err := os.ReadFile(path)
	return errors.Join(err, found(b))
}

func found(b []byte) error {
	if bytes.Contains(b, []byte(prize)) {
		return nil
	}
	return errors.New("no prize")
}

func result(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// inner is a part that needs a process of its own.
func inner(part string) error {
	c := again(part)
	c.SysProcAttr = nil
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// attackAs plays the attacker.
func attackAs(name string) {
	f := field{dir: os.Getenv("DIR"), tcp: os.Getenv("TCP"), udp: os.Getenv("UDP"), abstract: os.Getenv("ABSTRACT"), socket: os.Getenv("SOCKET")}
	f.parent, _ = strconv.Atoi(os.Getenv("PARENT"))
	f.fd, _ = strconv.Atoi(os.Getenv("FD"))
	f.neighbour, _ = strconv.Atoi(os.Getenv("NEIGHBOUR"))
	address, _ := strconv.ParseUint(os.Getenv("ADDRESS"), 10, 64)
	f.address = uintptr(address)
	for _, a := range attacks() {
		if name == "*" || a.name == name {
			fmt.Printf("%s: %s\n", a.name, strings.ReplaceAll(fmt.Sprint(a.do(f)), "\n", "; "))
		}
	}
}

func (f field) environment() []string {
	return []string{
		play + "=attack=*", "DIR=" + f.dir, "TCP=" + f.tcp, "UDP=" + f.udp, "ABSTRACT=" + f.abstract, "SOCKET=" + f.socket,
		fmt.Sprint("PARENT=", f.parent), fmt.Sprint("FD=", f.fd), fmt.Sprint("NEIGHBOUR=", f.neighbour), fmt.Sprint("ADDRESS=", f.address),
	}
}

var inMemory = []byte(prize)

// newField sets everything up that attacks are after.
func newField(t *testing.T) field {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f := field{dir: t.TempDir(), parent: os.Getpid(), address: uintptr(unsafe.Pointer(&inMemory[0]))}
	secret := filepath.Join(f.dir, "secret")
	must(errors.Join(os.WriteFile(secret, []byte(prize), 0o644), os.WriteFile(filepath.Join(f.dir, "removable"), nil, 0o644), os.WriteFile(filepath.Join(f.dir, "long"), make([]byte, 99), 0o644)))
	var err error
	f.fd, err = unix.Open(secret, unix.O_RDONLY, 0) // not closed on exec
	must(err)
	t.Cleanup(func() { unix.Close(f.fd) })
	neighbour := exec.Command(self())
	neighbour.Dir, neighbour.Env = f.dir, []string{play + "=deaf-child", "KEY=" + prize}
	must(neighbour.Start())
	t.Cleanup(func() { neighbour.Process.Kill(); neighbour.Wait() })
	f.neighbour = neighbour.Process.Pid
	listen := func(kind, address string) string {
		l, err := net.Listen(kind, address)
		must(err)
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	f.tcp = listen("tcp4", "127.0.0.1:0")
	f.abstract = listen("unix", "@attack-"+rand.Text())
	f.socket = listen("unix", filepath.Join(f.dir, "socket"))
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { u.Close() })
	f.udp = u.LocalAddr().String()
	return f
}

// outcomes runs all attacks in a sandbox: what each of them came to.
func outcomes(t *testing.T, s Sandbox) map[string]string {
	f := newField(t)
	var out strings.Builder
	o, err := s.Run(t.Context(), Spec{
		ID: t.Name() + strconv.Itoa(os.Getpid()), Path: self(), Dir: t.TempDir(), Env: f.environment(), Stdout: &out, Log: &out,
	})
	if err != nil || o.ExitCode != 0 {
		t.Fatalf("%+v, %v\n%s", o, err, out.String())
	}
	results := map[string]string{}
	for line := range strings.Lines(out.String()) {
		name, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		results[name] = what
	}
	return results
}

const succeeded = "<nil>"

func TestAttacks(t *testing.T) {
	plain := outcomes(t, Process{})
	for _, a := range attacks() {
		if plain[a.name] != succeeded && !(a.root && os.Geteuid() != 0) {
			t.Errorf("%s does not even succeed without a sandbox: %s", a.name, plain[a.name])
		}
	}
	for name, s := range variants() {
		t.Run(name, func(t *testing.T) {
			if err := s.trial(); err != nil || !s.Any() {
				t.Skip(err)
			}
			inside := outcomes(t, Confined{s})
			for _, a := range attacks() {
				switch what := inside[a.name]; {
				case what == "":
					t.Errorf("%s was not tried", a.name)
				case a.stopped(s) && what == succeeded:
					t.Errorf("%s: succeeds inside", a.name)
				default:
					t.Logf("%s: %s", a.name, what)
				}
			}
		})
	}
}

// What a GPU's driver does, with the devices that every machine has.
func TestDevices(t *testing.T) {
	for name, s := range variants() {
		t.Run(name, func(t *testing.T) {
			if err := s.trial(); err != nil || !s.Any() {
				t.Skip(err)
			}
			devices := []string{"/dev/null", "/dev/zero", "/dev/urandom"}
			if _, err := os.Stat("/dev/net/tun"); err == nil {
				devices = append(devices, "/dev/net/tun") // in a directory, as some of a GPU's are
			}
			o, err := Confined{s}.Run(t.Context(), Spec{
				ID: t.Name() + strconv.Itoa(os.Getpid()), Path: self(), Dir: t.TempDir(),
				Env: []string{play + "=driver", "DEVICES=" + strings.Join(devices, ":")}, Devices: devices,
			})
			if err != nil || o.ExitCode != 0 {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

// driver does what a GPU's driver does, as far as there is none.
func driver() error {
	var err error
	for _, path := range strings.Split(os.Getenv("DEVICES"), ":") {
		f, openErr := os.OpenFile(path, os.O_RDWR, 0)
		if openErr == nil {
			f.Close()
		} else if !errors.Is(openErr, unix.ENXIO) && !errors.Is(openErr, unix.ENODEV) {
			err = errors.Join(err, openErr)
		}
	}
	threads, globErr := filepath.Glob("/proc/self/task/*/comm")
	if len(threads) == 0 {
		if _, procErr := os.Stat("/proc/self"); procErr == nil {
			err = errors.Join(err, globErr, errors.New("no threads in /proc/self/task"))
		}
	}
	for _, path := range threads {
		err = errors.Join(err, os.WriteFile(path, []byte("worker"), 0o644))
	}
	if os.Getpid() < 100 { // in a namespace
		const shared = "/dev/shm/block"
		err = errors.Join(err, os.WriteFile(shared, make([]byte, 4096), 0o600), os.Remove(shared))
	}
	return err
}
