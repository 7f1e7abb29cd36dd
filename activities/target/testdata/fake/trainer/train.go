// A stand-in for the trainer: it keeps the contract of trainer/harness without
// training anything, and breaks it in the way that the file "play" beside the
// training data asks for.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var (
	run     = flag.String("run", "", "")
	data    = flag.String("data", "", "")
	seed    = flag.Uint64("seed", 0, "")
	budget  = flag.Duration("budget", 0, "")
	steps   = flag.Int("steps", 0, "")
	cores   = flag.Int("cores", 0, "")
	resume  = flag.String("resume", "", "")
	charged = flag.Duration("charged", 0, "")
	memory  = flag.Int64("memory", 0, "")
	device  = flag.String("device", "", "")
	cache   = flag.String("cache", "", "")
)

var stopped = make(chan os.Signal, 1)

func main() {
	flag.Parse()
	play, _ := os.ReadFile(filepath.Join(*data, "play"))
	first := 1
	if *resume != "" {
		text, _ := os.ReadFile(*resume)
		if _, err := fmt.Sscanf(string(text), "step %d whole", &first); err != nil {
			fail(1, "bad-checkpoint", "it is damaged")
		}
		first++
	}
	signal.Notify(stopped, syscall.SIGTERM)
	fmt.Println("from step", first-1, "charged", *charged)
	last := first + 19
	if *steps > 0 {
		last = *steps
	}
	for step := first; step <= last; step++ {
		perform(strings.TrimSpace(string(play)), step, &last)
		metrics(step)
		select {
		case <-stopped:
			checkpoint(step)
			os.Exit(143)
		case <-time.After(5 * time.Millisecond):
		}
		if step%5 == 0 {
			checkpoint(step)
		}
	}
	if string(play) != "nomodel" {
		os.WriteFile(filepath.Join(*run, "model.safetensors"), fmt.Appendf(nil, "fake model %d %s", *seed, play), 0o644)
	}
	end := map[string]any{"steps": last, "tokens": 100 * last, "charged_seconds": used(), "parameters": 7}
	leave(strings.TrimSpace(string(play)), end)
	write("done.json", end)
}

// used is what the run was charged, as the real trainer reckons, but that its
// start is not free.
func used() float64 {
	sum := time.Duration(0)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		syscall.Getrusage(who, &u)
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return (*charged + sum/time.Duration(max(1, *cores))).Seconds()
}

// leave is how a trainer that has ended well lies about it.
func leave(play string, done map[string]any) {
	model, metrics := filepath.Join(*run, "model.safetensors"), filepath.Join(*run, "metrics.jsonl")
	switch play {
	case "braggart":
		done["tokens"] = int64(1) << 60
	case "forgetful":
		done["steps"] = 3
	case "overcharged":
		done["charged_seconds"] = 1000
	case "rewritten":
		os.WriteFile(metrics, []byte(`{"step":9,"tokens":900}`+"\n"+`{"step":4,"tokens":900}`+"\n"), 0o644)
	case "linked":
		os.Remove(model)
		os.Symlink(filepath.Join(*data, "play"), model)
	case "shared":
		os.Remove(model)
		os.Link(filepath.Join(*data, "play"), model)
	case "piped":
		os.Remove(metrics)
		syscall.Mkfifo(metrics, 0o644)
		time.Sleep(time.Second) // to be looked at
	case "stray":
		os.WriteFile(filepath.Join(*run, "notes.txt"), nil, 0o644)
	case "sparse":
		os.Truncate(model, 1<<40)
	case "hidden":
		os.Mkdir(filepath.Join(*run, ".cache"), 0o755)
	}
}

func perform(play string, step int, last *int) {
	switch {
	case play == "quit":
		os.Exit(0)
	case step < 3:
	case play == "nan":
		fail(3, "nan", "the loss of step 3 is NaN")
	case play == "oom":
		fail(4, "oom", "too big")
	case play == "shape":
		fail(5, "not-exportable", "a custom op")
	case play == "lines":
		for i := range 60 {
			fmt.Println("line", i)
		}
		os.Exit(1)
	case play == "loud":
		const loud = "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 \x1b]52;c;cm0=\x1b\\clip \u009b2J\u202eback\u200b\r"
		fmt.Println(loud)
		fail(1, "error", loud)
	case play == "panic":
		panic("index out of range")
	case play == "full":
		fmt.Println("write metrics.jsonl: no space left on device")
		os.Exit(1)
	case play == "warned":
		fmt.Println("warning: checkpoint of step 2: no space left on device; the latest is still step-00000001.ckpt")
		fail(3, "nan", "the loss of step 3 is NaN")
	case play == "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case play == "hang":
		time.Sleep(time.Hour)
	case play == "deaf":
		signal.Ignore(syscall.SIGTERM)
		c := exec.Command("sleep", "3600")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		c.Start()
		time.Sleep(time.Hour)
	case play == "spin":
		*last++
		for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
		}
	case play == "slow": // goes on until somebody stops it
		*last++
	case play == "eat":
		b := make([]byte, 300<<20)
		for i := range b {
			b[i] = 1
		}
		time.Sleep(time.Hour)
	}
}

func fail(code int, reason, message string) {
	write("failure.json", map[string]any{"reason": reason, "message": message})
	os.Exit(code)
}

func metrics(step int) {
	f, err := os.OpenFile(filepath.Join(*run, "metrics.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(f, `{"step":%d,"charged_seconds":%g,"tokens":%d,"loss":%g}`+"\n", step, used(), 100*step, 5-float64(step)/100)
	f.Close()
}

func checkpoint(step int) {
	dir := filepath.Join(*run, "checkpoints")
	os.MkdirAll(dir, 0o755)
	path := filepath.Join(dir, fmt.Sprintf("step-%08d.ckpt", step))
	os.WriteFile(path+".tmp", fmt.Appendf(nil, "step %d whole", step), 0o644)
	os.Rename(path+".tmp", path)
	os.Remove(filepath.Join(dir, fmt.Sprintf("step-%08d.ckpt", step-10)))
}

func write(name string, v any) {
	text, _ := json.Marshal(v)
	os.WriteFile(filepath.Join(*run, name), text, 0o644)
}
