// Command bigram is the smallest program that target "command" can search over:
// model.go is edited, this file and score.go are not.
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

var (
	data    = flag.String("data", "", "directory with train.bin")
	run     = flag.String("run", "", "directory for metrics.jsonl and checkpoints/")
	model   = flag.String("model", "", "file of the model")
	seed    = flag.Uint64("seed", 0, "of all randomness")
	budget  = flag.Duration("budget", 0, "to train for, in CPU time per core")
	cores   = flag.Int("cores", 1, "that the budget is counted for")
	resume  = flag.String("resume", "", "checkpoint to go on from")
	charged = flag.Duration("charged", 0, "what was charged before the checkpoint")
)

func main() {
	flag.Parse()
	var err error
	switch flag.Arg(0) {
	case "train":
		err = train()
	case "score":
		err = score(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("no command %q", flag.Arg(0))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// train learns random pieces of the text until the budget is spent.
func train() error {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	text, err := os.ReadFile(filepath.Join(*data, "train.bin"))
	if err != nil {
		return err
	}
	m, step := new(Model), int64(0)
	if *resume != "" {
		if err := load(*resume, m); err != nil {
			return err
		}
		fmt.Sscanf(filepath.Base(*resume), "step-%d.ckpt", &step)
	}
	metrics, err := os.Create(filepath.Join(*run, "metrics.jsonl"))
	if err != nil {
		return err
	}
	defer metrics.Close()
	random := rand.New(rand.NewPCG(*seed, uint64(step)))
	const piece = 4096
	for said := time.Duration(-1); spent() < *budget; step++ {
		at := random.IntN(max(1, len(text)-piece))
		m.Learn(text[at:min(len(text), at+piece)])
		if now := spent(); said < 0 || now-said > 50*time.Millisecond {
			said = now
			fmt.Fprintf(metrics, "{\"step\":%d,\"tokens\":%d,\"loss\":%.4f}\n", step+1, (step+1)*piece, loss(m, text))
		}
		select {
		case <-stopped:
			if err := os.MkdirAll(filepath.Join(*run, "checkpoints"), 0o755); err != nil {
				return err
			}
			if err := save(filepath.Join(*run, "checkpoints", fmt.Sprintf("step-%d.ckpt", step+1)), m); err != nil {
				return err
			}
			return fmt.Errorf("stopped after step %d", step+1)
		default:
		}
	}
	return save(*model, m)
}

// spent is the CPU time of this run per core, as it is charged from outside.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return *charged + time.Duration(u.Utime.Nano()+u.Stime.Nano())/time.Duration(max(1, *cores))
}

// loss is that of the beginning of the text, in nats a token.
func loss(m *Model, text []byte) float64 {
	var window [65]int32
	var nats [64]float32
	for i := range window {
		window[i] = int32(text[i])
	}
	m.Losses(window[:], nats[:])
	sum := 0.0
	for _, v := range nats {
		sum += float64(v)
	}
	return sum / float64(len(nats))
}

func save(name string, m *Model) error {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, m); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

func load(name string, m *Model) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return binary.Read(bytes.NewReader(raw), binary.LittleEndian, m)
}
