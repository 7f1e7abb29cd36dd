// Package target says what is under research: which files a candidate may edit
// and how it is checked, built, trained and evaluated.
//
// A [Target] is stateless and safe for concurrent use. It never touches git,
// Temporal or the ledger; it works on directories that its caller owns. Every
// process that runs a candidate's code is started through package sandbox.
//
// # Errors
//
// What the candidate did wrong comes back as an *experiment.Failure. An error
// is ours (disk full, no Go toolchain, evaluator broken) and says what was
// attempted and what can be done.
package target

import (
	"context"
	"io"

	"github.com/autoresearch-go/autoresearch/activities/dataset"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// Target is one program under research.
type Target interface {
	// Name is the value of the setting "target".
	Name() string
	// Editable lists the slash paths, from the repository's root, of the files
	// that a candidate may edit.
	Editable() []string
	// Sources lists the paths of the commit that a build needs, in so far as the
	// commit has them. They make up the source archive, and their uncommitted
	// changes make a repository dirty.
	Sources() []string
	// PriorStdDev is the known standard deviation of val_bpb between seeds, of
	// runs with this budget.
	PriorStdDev(budget experiment.Duration) float64

	// Guard applies the static rules to one edited file. The failure names line
	// and rule, and goes back to the proposer.
	Guard(path string, src []byte) *experiment.Failure
	// Format puts a file into its normal form; a syntax error is a failure.
	Format(path string, src []byte) ([]byte, *experiment.Failure)
	// Syntax gives the digest of the editable files' normalized syntax trees
	// (comments and formatting do not count) and their number of tokens. Two
	// candidates with the same digest are duplicates.
	Syntax(files map[string][]byte) (digest string, tokens int, err error)

	// Build compiles the unpacked source archive in src into outDir, as a file
	// named after the role: outDir/candidate or outDir/evaluator. Compiler
	// output goes to log. An evaluator that does not build is an error.
	Build(ctx context.Context, role Role, src, outDir string, log io.Writer) (*experiment.Failure, error)
	// Data makes a data set's corpus once in s.Dir, atomically, and says what it
	// is: s.Dir/<fingerprint>/train/train.bin, val/val.bin, audit/audit.bin if
	// there is an audit split, corpus.json. One that was made of the same before
	// is found again at next to no cost. A data set
	// that cannot be used is a *dataset.Error.
	Data(ctx context.Context, s DataSpec) (Corpus, error)
	// Smoke trains a few steps and checks the export; it returns the digest of
	// the graph's structure, proved causal.
	Smoke(ctx context.Context, s SmokeSpec) (graphDigest string, failure *experiment.Failure, err error)
	// Train runs a candidate until its budget is spent, resuming from
	// s.Resume where there is something. It reports progress about once a second.
	// When ctx ends, the trainer gets the time to write a checkpoint, and the
	// error wraps ctx's cause. What a later attempt needs lies in s.Dir and
	// beside it, in files that start with s.Dir's name.
	Train(ctx context.Context, s TrainSpec, report func(Progress)) (Record, error)
	// Evaluate scores an exported model with none of the candidate's code.
	Evaluate(ctx context.Context, s EvaluateSpec) (Score, error)
}

// Role says which of a target's programs is meant.
type Role string

// The programs: the candidate, which is not trusted, and the evaluator,
// which is built from the campaign's base and never from a candidate.
const (
	Candidate Role = "candidate"
	Evaluator Role = "evaluator"
	// The same for a GPU, where a target has such.
	CandidateCUDA Role = "candidate-cuda"
	EvaluatorCUDA Role = "evaluator-cuda"
)

// DataSpec says which data set to make, and where.
type DataSpec struct {
	Evaluator string // built binary
	Dir       string // where corpora lie
	Downloads string // where downloads are kept
	Dataset   experiment.Dataset
	Vocab     int               // tokens; experiment.DefaultVocab are bytes
	Fetch     bool              // download what is not there; else that is an error
	Report    func(line string) // told what is being done, a few times a second; nil is nobody
	Log       io.Writer
}

// Corpus is a data set as a target is trained on it.
type Corpus struct {
	Fingerprint string        `json:"fingerprint"`
	Vocab       int           `json:"vocab"`
	TrainBytes  int64         `json:"train_bytes"` // of text
	ValBytes    int64         `json:"val_bytes"`
	AuditBytes  int64         `json:"audit_bytes,omitempty"` // 0: there is no audit split
	TrainTokens int64         `json:"train_tokens"`
	ValTokens   int64         `json:"val_tokens"`
	AuditTokens int64         `json:"audit_tokens,omitempty"`
	Documents   int           `json:"documents"`
	Read        dataset.Count `json:"read,omitzero"` // what it was made of, where that was read by us
}

// SmokeSpec describes the short run of a fresh candidate.
type SmokeSpec struct {
	Program, Evaluator string // built binaries
	Dir                string // an empty directory for the run
	Train              string // training split
	Cores              int
	Memory             int64 // bytes the process tree may hold; 0 is three quarters of the machine's
	// ForGPU says that the candidate is meant for GPUs, and programs are for the CPU
	// all the same: of a model of that size less is tried, and nothing is proved, so
	// that no graph digest is returned.
	ForGPU bool
	Log    io.Writer
}

// TrainSpec describes one attempt at a training run.
type TrainSpec struct {
	ID      string // marks the run's processes, see sandbox.Spec; made up when empty
	Program string // built candidate
	Dir     string // this attempt's own directory
	Train   string // training split
	Seed    uint64
	Budget  experiment.Duration
	Cores   int
	Memory  int64 // as in SmokeSpec
	// Resume lists directories of earlier attempts at the same run, newest
	// first; Train continues from the newest checkpoint that is whole.
	Resume []string
	GPU    *GPU      // where it trains; nil is the CPU
	Log    io.Writer // train.log
}

// GPU is the one GPU that a process may use. Its program is built for GPUs:
// by the roles CandidateCUDA and EvaluatorCUDA.
type GPU struct {
	UUID  string
	Class string // as CPUClass says it of a CPU: "cuda/nvidia-h200"
	Cache string // directory of compiled kernels, written by trusted programs alone
	// Trusted lets a training run write there: its program is the campaign's base
	// as it stands, which the evaluator is built from, too.
	Trusted bool
	// Libraries are the directories of NVIDIA's libraries; nil has them looked for.
	Libraries []string
	// Watch is called with every sample of a training run, from one goroutine. An
	// error ends the process: the run is void, nobody's fault, and Train returns
	// an error that wraps it. Nil watches nothing.
	Watch func(pid int) error
}

// Progress of a training run.
type Progress struct {
	Step           int64
	Loss           float64
	ChargedSeconds float64
	TokensPerSec   float64
	ResumedFrom    int64
}

// Record is what a training run cost and gave, measured from outside.
type Record struct {
	ChargedSeconds, WallSeconds float64 // over all attempts
	Tokens, Steps, Parameters   int64
	PeakBytes                   int64  // of a GPU's memory, where it trained on one
	ResumedFrom                 int64  // step; 0 for a fresh start
	Model                       string // path of the exported model
	Sandbox                     string // what confined it: sandbox.Outcome.Isolation
	Class                       string // what kind of slot it had, see CPUClass; empty is that of the worker's CPU
	Failure                     *experiment.Failure
	LogTail                     []string // last lines, at most 40
}

// EvaluateSpec describes the scoring of a model.
type EvaluateSpec struct {
	ID        string  // as in TrainSpec
	Evaluator string  // built binary
	Model     string  // path
	Val       string  // validation split
	Audit     string  // audit split, if the model is to be scored on that too
	Reference float64 // Score.Seconds of the incumbent; a model may take three times that; 0 is the evaluator's own bound
	Proved    string  // digest of a graph structure that Smoke proved causal
	Cores     int
	Memory    int64  // as in SmokeSpec
	GPU       *GPU   // where it computes; nil is the CPU
	Dir       string // an existing directory for what it may need to write
	Log       io.Writer
}

// Score is the trusted measurement of a model.
type Score struct {
	ValBpb      float64
	AuditBpb    float64 // 0 where it was not measured
	Seconds     float64 // CPU-seconds per core of the pass over the validation split, or seconds of it on a GPU; start, proof and audit apart
	GraphDigest string
	Parameters  int64
	Failure     *experiment.Failure
}
