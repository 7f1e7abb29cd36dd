package scorer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Job describes the scoring of one model by one program.
type Job struct {
	Sandbox sandbox.Sandbox
	// Program is the process to start, once for the claims and once for each pass
	// of cuts. Its Dir, ID, Stdin, Stdout, LogLimit and Grace are set here. Writable
	// must be empty: nothing that one process can change may be seen by the next.
	Program sandbox.Spec
	ID      string   // marks the processes, see sandbox.Spec; made up when empty
	Dir     string   // existing; each process gets a new directory in it
	Model   string   // file or tree that must not change from the first process to the last; "" is none
	Fixed   []string // more of that kind, such as the program
	Limit   time.Duration

	Text       Text
	Decoys     Decoys
	Tolerance  Tolerance
	FalseAlarm float64 // 0 is DefaultFalseAlarm
	Passes     int     // of blind cuts, from Design.Passes
	Secret     Source  // Secret(), but in tests
	// Check says whether claims are checked, once they are committed to; nil
	// checks all. See When.
	Check func(Loss) Why
}

// Result is what was measured.
type Result struct {
	ValBpb       float64             `json:"val_bpb"`       // bits per byte, by the claims
	ClampedBpb   float64             `json:"clamped_bpb"`   // with each token's loss clamped at ln V: what the audit guards
	Loss         Loss                `json:"loss"`          // sums over all tokens
	Tokens       int                 `json:"tokens"`        // scored
	Bytes        int64               `json:"bytes"`         // that they stand for
	Claims       string              `json:"claims_digest"` // the commitment
	Model        string              `json:"model_digest"`  // of what all processes were given
	Passes       int                 `json:"passes"`        // of blind cuts; 0 for a check that was not made
	Why          Why                 `json:"why"`           // it was checked, or not
	Finding      Finding             `json:"finding"`       // of the audit
	ClaimCPU     time.Duration       `json:"claim_cpu_ns"`  // CPU time of pass 1, start included
	ClaimSeconds float64             `json:"claim_seconds"` // wall time of pass 1, start included
	CutSeconds   float64             `json:"cut_seconds"`   // of all passes of cuts
	Isolation    string              `json:"isolation"`     // what confined the processes
	PeakBytes    int64               `json:"peak_memory"`   // of the largest
	Failure      *experiment.Failure `json:"failure,omitempty"`
}

// Run scores. What the program does wrong is Result.Failure.
func Run(ctx context.Context, j Job) (Result, error) {
	if err := j.check(); err != nil {
		return Result{}, fmt.Errorf("scoring: %w", err)
	}
	var r Result
	model, err := j.digest()
	if err != nil {
		return r, fmt.Errorf("scoring: reading the model: %w", err)
	}
	r.Model = model
	claims, err := j.commit(ctx, &r)
	if err != nil || r.Failure != nil {
		return r, err
	}
	if r.Why = AlwaysCheck; j.Check != nil {
		r.Why = j.Check(r.Loss)
	}
	if r.Why == NoCheck {
		return r, nil
	}
	return r, j.prove(ctx, &r, claims)
}

func (j *Job) check() error {
	T := j.Text.Positions
	switch {
	case T < 1 || j.Text.Vocab < 2 || len(j.Text.Tokens) == 0 || len(j.Text.Tokens)%(T+1) != 0 || j.Text.Bytes < 1:
		return fmt.Errorf("%d tokens are no windows of %d and one more", len(j.Text.Tokens), T)
	case len(j.Program.Writable) > 0:
		return errors.New("a tree that one process may change and the next may read would carry answers")
	case j.Passes < 1 || j.Passes > T || j.Decoys == nil || j.Secret.Source == nil || j.Sandbox == nil:
		return fmt.Errorf("%d passes of cuts, decoys, a source of secrets and a sandbox are all needed", j.Passes)
	}
	for i, v := range j.Text.Tokens {
		if v < 0 || int(v) >= j.Text.Vocab {
			return fmt.Errorf("token %d is %d, and the vocabulary ends at %d", i, v, j.Text.Vocab-1)
		}
	}
	if j.FalseAlarm == 0 {
		j.FalseAlarm = DefaultFalseAlarm
	}
	if j.ID == "" {
		j.ID = "score/" + rand.Text()
	}
	return nil
}

// commit is pass 1. When it returns, its process is gone and the claims are final.
func (j *Job) commit(ctx context.Context, r *Result) (claims Claims, err error) {
	began := time.Now()
	answer := int64(4 * j.Text.Positions * j.Text.Windows())
	r.Failure, err = j.process(ctx, r, answer, func(in io.Reader, out io.Writer) (err error) {
		claims, err = claim(in, out, j.Text, j.Decoys, j.Secret)
		return err
	})
	r.ClaimSeconds = time.Since(began).Seconds()
	if err != nil || r.Failure != nil {
		return claims, err
	}
	r.Claims, r.Loss = claims.Digest(), claims.Loss(j.Text.Vocab)
	r.Tokens, r.Bytes = len(claims.Nats), j.Text.Bytes
	r.ValBpb = r.Loss.Plain / math.Ln2 / float64(r.Bytes)
	r.ClampedBpb = r.Loss.Clamped / math.Ln2 / float64(r.Bytes)
	return claims, nil
}

// prove makes the passes of blind cuts. The cuts are drawn here, after the
// claims are in.
func (j *Job) prove(ctx context.Context, r *Result, claims Claims) error {
	began := time.Now()
	defer func() { r.CutSeconds = time.Since(began).Seconds() }()
	cuts, err := Draw(j.Secret, claims.Windows, claims.Positions, j.Passes)
	if err != nil {
		return fmt.Errorf("scoring: %w", err)
	}
	audit := NewAudit(j.Text.Vocab, j.Tolerance, j.FalseAlarm)
	answer := int64(4 * j.Text.Vocab * claims.Windows)
	for _, pass := range cuts {
		// Not one process for all: in it, the longer part of a window that one pass
		// shows would hold the answer to another.
		r.Failure, err = j.process(ctx, r, answer, func(in io.Reader, out io.Writer) error {
			return blindCuts(in, out, j.Text, j.Decoys, j.Secret, pass, claims, audit)
		})
		if err != nil || r.Failure != nil {
			r.Finding = audit.Decide()
			return err
		}
		r.Passes++
	}
	r.Finding = audit.Decide()
	r.Failure = r.Finding.Failure
	return nil
}

// errAnswered ends a process that has nothing left to do.
var errAnswered = errors.New("all is answered")

// process runs one process from its first frame to its last, in a directory that
// is empty before and gone afterwards. answer is how many bytes it has to write.
func (j *Job) process(ctx context.Context, r *Result, answer int64, talk func(io.Reader, io.Writer) error) (*experiment.Failure, error) {
	if now, err := j.digest(); err != nil || now != r.Model {
		return fault(experiment.Tampered, "the model or the program was changed while it was scored"), nil
	}
	dir, err := os.MkdirTemp(j.Dir, "score-")
	if err != nil {
		return nil, fmt.Errorf("scoring: making a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	o, said, err := j.talkTo(ctx, dir, answer, talk)
	if r.ClaimCPU == 0 {
		r.ClaimCPU = o.CPU
	}
	r.Isolation, r.PeakBytes = o.Isolation, max(r.PeakBytes, o.PeakBytes)
	switch {
	case err != nil:
		return nil, fmt.Errorf("scoring: %w", err)
	case said == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("scoring: %w", context.Cause(ctx))
	}
	return failed(o, said, j.Limit), nil
}

// talkTo starts the process and talks to it. said is what came of the talk.
func (j *Job) talkTo(ctx context.Context, dir string, answer int64, talk func(io.Reader, io.Writer) error) (o sandbox.Outcome, said, err error) {
	stdin, feed, err := os.Pipe()
	if err != nil {
		return o, nil, err
	}
	defer stdin.Close()
	read, stdout := io.Pipe()
	limited, stopClock := context.WithTimeoutCause(ctx, j.Limit, errLate)
	defer stopClock()
	running, stop := context.WithCancelCause(limited)
	defer stop(nil)
	talked := make(chan error, 1)
	go func() {
		err := talk(read, feed)
		talked <- err
		if err == nil {
			err = errAnswered
		}
		stop(err)
		read.CloseWithError(err) // what it still writes is nobody's business
	}()
	s := j.Program
	s.ID, s.Dir, s.Stdin, s.Stdout = j.ID+"/"+rand.Text(), dir, stdin, stdout
	// Frames have heads, batches are filled up, and logs have a limit of their own.
	s.LogLimit, s.Log = 2*answer+maxFrame, &capped{w: j.Program.Log, left: maxLog}
	s.Grace = time.Second
	o, err = j.Sandbox.Run(running, s)
	_ = stdout.Close() // the talk, if it is not over, comes to its end
	_ = feed.Close()
	return o, <-talked, err
}

// errLate is the cause of a process's end by its time limit.
var errLate = errors.New("time limit reached")

// failed names why a process did not answer.
func failed(o sandbox.Outcome, said error, limit time.Duration) *experiment.Failure {
	if o.OutOfMemory {
		return fault(experiment.OOM, "the scorer held %d MiB of memory", o.PeakBytes>>20)
	}
	if errors.Is(o.Stopped, errLate) {
		return fault(experiment.Timeout, "the scorer did not end within %v", limit)
	}
	if f := failureOf(said); f != nil {
		return f
	}
	words := ""
	for _, line := range o.Tail {
		if strings.TrimSpace(line) != "" {
			words = ": " + line
		}
	}
	return fault(experiment.RunFailed, "%v (exit code %d %v)%s", said, o.ExitCode, o.Signal, words)
}

// maxLog is how much a process may write to the log, in bytes.
const maxLog = 1 << 20

// capped passes on the first bytes and swallows the rest.
type capped struct {
	w    io.Writer
	left int
}

func (c *capped) Write(b []byte) (int, error) {
	if part := b[:min(len(b), c.left)]; c.w != nil && len(part) > 0 {
		c.left -= len(part)
		_, _ = c.w.Write(part) // a log that fails must not stop the program
	}
	return len(b), nil
}

// digest is of all that no process may change.
func (j *Job) digest() (string, error) {
	h := sha256.New()
	for _, path := range append([]string{j.Model}, j.Fixed...) {
		sum, err := digestOf(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// digestOf hashes a file, or the regular files of a tree with their names.
func digestOf(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	h := sha256.New()
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v\n", rel, d.Type())
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(h, f)
		fmt.Fprintf(h, " %d\n", n)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
