package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Ways to compute before the clock starts, or where it does not look. Each burns
// burnt of CPU time.
const burnt = 200 * time.Millisecond

// part is what is played, before flags are parsed.
func part() (play, data string) {
	for i, a := range os.Args[:max(1, len(os.Args))-1] {
		if a == "--data" {
			text, _ := os.ReadFile(filepath.Join(os.Args[i+1], "play"))
			return strings.TrimSpace(string(text)), os.Args[i+1]
		}
	}
	return "", ""
}

var _ = burnIf("variable")

func burnIf(play string) bool {
	if p, _ := part(); p == play {
		burn()
	}
	return true
}

func burn() {
	for start := own(); own()-start < burnt; {
	}
}

// own is the CPU time of this process.
func own() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func init() {
	burnIf("init")
	play, data := part()
	switch os.Getenv("HELP") {
	case "burn":
		burn()
		os.WriteFile("helped", nil, 0o644)
		os.Exit(0)
	case "fork":
		help(data, "HELP=burn", os.Environ()).Start()
		os.Exit(0)
	}
	switch play {
	case "goroutine":
		start := own()
		go burn()
		for own()-start < burnt {
			time.Sleep(time.Millisecond)
		}
	case "child":
		help(data, "HELP=burn", os.Environ()).Run()
	case "orphan": // its parent ends first, and is waited for
		help(data, "HELP=fork", os.Environ()).Run()
		await("helped")
	case "unmarked": // and without the mark that processes of a run carry
		help(data, "HELP=fork", nil).Run()
		await("helped")
	case "unwaited":
		help(data, "HELP=burn", os.Environ()).Start()
		await("helped")
	}
	os.Remove("helped")
}

// help is this program in a session of its own.
func help(data, how string, env []string) *exec.Cmd {
	c := exec.Command(os.Args[0], "--data", data)
	c.Env = append(env, how)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

func await(file string) {
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
