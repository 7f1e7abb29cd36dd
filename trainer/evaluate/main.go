// Evaluate measures a model that a candidate has trained. It is the trusted
// side: built from our sources, never from the candidate's, and it runs none of
// the candidate's code. What it gets is a file of weights and a graph of
// registered operations; what it holds is the validation text.
//
//	evaluate data  --source GOROOT/src [--vocab N] --out DIR
//	evaluate data  --docs FILE --val-docs FILE [--audit-docs FILE] [--name NAME] [--vocab N] --out DIR
//	evaluate check --model FILE --data DIR --cores N [--memory BYTES] [--cuts N]
//	evaluate score --model FILE --data DIR --cores N [--memory BYTES] [--audit DIR] [--proved DIGEST] [--limit SECONDS]
//
// Both take --device cuda[:UUID] [--precision tfloat32] [--cache DIR], to compute on
// a GPU. Limits of time are CPU time per core, and wall time on a GPU.
//
// data builds the corpus (see harness/data). check is for the smoke run, on
// training data: it parses the graph within limits, wants finite logits of the
// right shape, and proves that no logit depends on a later token or on another
// row of the batch; with --cuts it tries that at so many positions only, which is
// no proof. score does the same and then measures val_bpb, the bits per
// byte that an arithmetic coder driven by the model would need; with --audit the
// same of a second split, as audit_bpb, by which nothing is selected.
//
// # Why the number can be believed
//
// The logits are the model's, everything after them is ours: we take the
// softmax, so the probabilities of the next token sum to one, we read the
// validation text, and each of its tokens after the first is scored exactly
// once. What is left to a cheat is to see the token it has to predict, and the
// proof in causal.go excludes that for every input.
//
// The code length is divided by the bytes of text that the predicted tokens
// stand for, whatever the vocabulary: a larger one gives fewer tokens, each
// harder to predict, of the same text.
//
// # Results
//
// One JSON object on standard output. Exit 0: the measurement. Exit 2: the
// model is at fault, {"reason", "message"}, with a reason that becomes the
// verdict's. Exit 6: the machine's GPU failed. Any other exit: our machinery failed, which says nothing about
// the model; the error is on standard error.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // our machinery
	exitFault = 2 // the model
	exitGPU   = 6 // the GPU, or its driver
)

// Reasons why a model is at fault.
const (
	reasonNotCausal     = "not-causal"
	reasonNotExportable = "not-exportable" // not a model that we can run
	reasonNaN           = "nan"
	reasonTimeout       = "timeout" // too slow to be measured
	reasonOOM           = "oom"     // too large for the GPU
)

// fault is what is wrong with a model.
type fault struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (f *fault) Error() string { return f.Reason + ": " + f.Message }

func faultf(reason, format string, args ...any) *fault {
	message := fmt.Sprintf(format, args...)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + " ..."
	}
	return &fault{reason, message}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one subcommand and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	result, err := dispatch(args, stderr)
	var f *fault
	if errors.As(err, &f) {
		result = f
	} else if err != nil {
		fmt.Fprintf(stderr, "evaluate: %v\n", err)
		if _, ofGPU := gpu.FaultOf(err); ofGPU {
			return exitGPU
		}
		return exitError
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(result); err != nil {
		fmt.Fprintf(stderr, "evaluate: writing the result: %v\n", err)
		return exitError
	}
	if f != nil {
		return exitFault
	}
	return exitOK
}

// dispatch parses the command line and runs the subcommand it names.
func dispatch(args []string, usage io.Writer) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no command; use one of: data, check, score")
	}
	var o evaluation
	var corpus data.Options
	flags := flag.NewFlagSet("evaluate "+args[0], flag.ContinueOnError)
	flags.SetOutput(usage)
	switch args[0] {
	case "data":
		flags.StringVar(&corpus.Source, "source", "", "source `directory`: $(go env GOROOT)/src")
		flags.StringVar(&corpus.Docs, "docs", "", "`file` of training documents, each ended by a zero byte, instead of --source")
		flags.StringVar(&corpus.ValDocs, "val-docs", "", "`file` of validation documents")
		flags.StringVar(&corpus.AuditDocs, "audit-docs", "", "`file` of audit documents; without it the corpus has no audit split")
		flags.StringVar(&corpus.Name, "name", "", "name of a corpus of documents; by default the file's")
		flags.IntVar(&corpus.Vocab, "vocab", 256, "`number` of different tokens; 256 makes every byte one")
		flags.StringVar(&corpus.Out, "out", "", "`directory` to build the corpus in")
	case "check", "score":
		flags.StringVar(&o.model, "model", "", "model.safetensors `file`")
		flags.StringVar(&o.data, "data", "", "`directory` of the split: the training split to check, the validation split to score")
		flags.IntVar(&o.cores, "cores", 1, "CPU cores to use")
		flags.Int64Var(&o.memory, "memory", 0, "`bytes` that this process may hold: a model that needs more is refused before it runs")
		flags.StringVar(&o.kernels, "kernels", "", "instruction set of the kernels; by default the best one here")
		flags.StringVar(&o.device, "device", "cpu", "what to compute on: cpu; cuda, the first GPU that this process sees; or cuda:UUID")
		flags.StringVar(&o.precision, "precision", "", "of products on a GPU: float32, tfloat32 or bfloat16; by default "+gpuPrecision)
		flags.StringVar(&o.cache, "cache", "", "`directory` of kernels that were compiled for the GPU")
		if args[0] == "check" {
			flags.IntVar(&o.cuts, "cuts", 0, "try this many positions instead of all, for models that take long; 0 is the proof")
		}
		if args[0] == "score" {
			flags.Float64Var(&o.limit, "limit", maxSeconds, "CPU-`seconds` per core, or seconds on a GPU, that a pass over one split may take")
			flags.StringVar(&o.audit, "audit", "", "`directory` of the audit split, to measure audit_bpb too")
			flags.StringVar(&o.proved, "proved", "", "graph `digest` that check has proved causal")
		}
	default:
		return nil, fmt.Errorf("no command %q; use one of: data, check, score", args[0])
	}
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if rest := flags.Args(); len(rest) > 0 {
		return nil, fmt.Errorf("unexpected argument %q; every argument is a flag", rest[0])
	}
	switch args[0] {
	case "data":
		if corpus.Out == "" {
			return nil, errors.New("data needs --out, the directory to build the corpus in")
		}
		return data.Build(corpus)
	case "check":
		return o.check()
	}
	return o.score()
}
