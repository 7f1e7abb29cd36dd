package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox/launcher"
)

// beginWithin bounds what the launcher takes to start the program. It takes
// milliseconds, unless the machine is starved.
const beginWithin = time.Minute

// stage is the launcher as its supervisor sees it.
type stage struct {
	cmd    *exec.Cmd
	plan   launcher.Plan
	order  *os.File // its plan goes in here
	news   *os.File // its reports come out here
	reader *bufio.Reader
	theirs []*os.File // the launcher's ends
	group  *group

	began, ended launcher.Report
}

// newStage prepares the launcher. id marks it, for Clear.
func newStage(s Strength, plan launcher.Plan, id string) (*stage, error) {
	plan.Namespaces, plan.Proc, plan.Landlock, plan.Seccomp = s.Namespaces, s.Proc, s.Landlock, s.Seccomp
	planR, planW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	newsR, newsW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, planR.Close(), planW.Close())
	}
	cmd := exec.Command("/proc/self/exe") // whatever has become of the file's name
	cmd.Args = []string{launcher.Name}
	cmd.Dir = "/"
	// One processor and no garbage collection: it does little, and not for long.
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off", IDVariable + "=" + id}
	cmd.ExtraFiles = []*os.File{planR, newsW}
	cmd.SysProcAttr = processAttr()
	cmd.SysProcAttr.Cloneflags = s.cloneFlags(plan.Network)
	if cmd.SysProcAttr.Cloneflags&syscall.CLONE_NEWUSER != 0 {
		// Root of its namespace, to mount; this user, and without any privilege, to
		// the rest of the machine.
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return &stage{cmd: cmd, plan: plan, order: planW, news: newsR, reader: bufio.NewReader(newsR), theirs: cmd.ExtraFiles}, nil
}

// begin gives the started launcher its plan and waits for the program to begin.
func (st *stage) begin() error {
	if st == nil {
		return nil
	}
	for _, f := range st.theirs {
		f.Close()
	}
	st.theirs = nil
	if err := st.group.add(st.cmd.Process.Pid); err != nil { // it waits for its plan
		return err
	}
	text, err := json.Marshal(st.plan)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(beginWithin)
	_ = st.order.SetWriteDeadline(deadline)
	_, err = st.order.Write(text)
	if err = errors.Join(err, st.order.Close()); err != nil {
		return fmt.Errorf("telling the launcher what to start: %w", err)
	}
	_ = st.news.SetReadDeadline(deadline)
	if st.began, err = st.next(); err != nil {
		return fmt.Errorf("the launcher ended before the program began: %w", err)
	}
	if !st.plan.Namespaces && st.began.Error == "" {
		// It became the program, which closed the pipe, or it could not.
		if last, err := st.next(); err == nil {
			st.began = last
		}
	}
	if st.began.Error != "" {
		return errors.New(st.began.Error)
	}
	return st.news.SetReadDeadline(time.Time{})
}

func (st *stage) next() (r launcher.Report, err error) {
	line, err := st.reader.ReadBytes('\n')
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(line, &r)
}

// end takes the last report, once the launcher has been waited for, and says
// how the program ended. A launcher that was killed took the program with it.
func (st *stage) end(state *os.ProcessState) syscall.WaitStatus {
	status, _ := state.Sys().(syscall.WaitStatus)
	if !st.stays() {
		return status
	}
	_ = st.news.SetReadDeadline(time.Now().Add(time.Second))
	if last, err := st.next(); err == nil && last.Ended {
		st.ended = last
		return syscall.WaitStatus(last.Status)
	}
	return status
}

// stays says whether the launcher is a process beside the program.
func (st *stage) stays() bool { return st != nil && st.plan.Namespaces }

// own is the CPU time that was the launcher's and is not the program's.
func (st *stage) own() time.Duration {
	if st == nil {
		return 0
	}
	return time.Duration(max(st.began.CPU, st.ended.CPU))
}

// used is what the program's control group says that it has used; 0 without one.
func (st *stage) used() time.Duration {
	if st == nil {
		return 0
	}
	return max(0, st.group.cpu()-st.own())
}

// refused is what the kernel has held off (group.refused); known says whether
// anybody counts that for this program alone.
func (st *stage) refused() (kills, forks int64, known bool) {
	if st == nil || st.group == nil {
		return 0, 0, false
	}
	kills, forks = st.group.refused()
	return kills, forks, true
}

// close lets go of everything, after the last process has ended.
func (st *stage) close() {
	if st == nil {
		return
	}
	st.group.kill()
	st.group.remove()
	for _, f := range append(st.theirs, st.order, st.news) {
		f.Close()
	}
}
