package target

import (
	"fmt"
	"go/format"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/guard"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The static rules for trainer/train.go. They keep a candidate inside the
// harness: no files, no network, no clock, no processes, no threads, no unsafe
// memory, and no text brought along. Whatever they overlook still meets the
// sandbox and an evaluation that runs none of the candidate's code. Package guard
// says how each rule works; here is what holds for this target, beside what our
// own train.go needs (go test -run RealTrainer -v prints it):
//
//	size    64 KiB and 10,000 tokens; it has 19 KiB and 3,100
//	data    1 KiB, beyond what normal code needs; it has 0.5 KiB
//	start   no init, no calls in initializers of package variables, main as it is
//	names   Go's own and those of the packages are not declared again; ASCII
//	random  no source but run.Rand(), which the run's seed decides
//
// How much text can still get through: 1.8 KB as data, and some 4 KB spelled by
// code that does nothing else, of which a file has no room for more. Of the
// default validation split (256 KiB) that is two percent as plain text, about
// 0.04 bits per byte of a score. It is worth nothing on the audit split, which
// is why that is measured.
const (
	maxSource = guard.DefaultMaxBytes
	maxTokens = 10_000
)

// dataLimits bound what a file can carry as data. Language models know the
// corpus by heart, and a table of it would beat any training.
var dataLimits = guard.DataLimits{Bytes: 1 << 10, FreeNumbers: 512, FreeNames: 256}

const (
	harnessPath = modulePath + "/trainer/harness"
	tensorPath  = modulePath + "/trainer/tensor"
)

// allowedImports is everything that numerics need. None of it opens a file or a
// connection, tells the time, or gives access to memory.
var allowedImports = []string{
	"cmp", "errors", "fmt", "maps", "math", "math/bits", "math/cmplx", "math/rand/v2", "slices", "sort", "strconv", "strings",
	harnessPath, tensorPath,
}

// program is what train.go must keep of the trainer.
var program = guard.Program{
	Entry: "harness.Main(Train)", Package: harnessPath, Main: "func Train(run *harness.Run) error",
	Pure: []string{"math", "bits", "cmplx", "errors"},
}

func invalidEdit(format string, args ...any) *experiment.Failure {
	return &experiment.Failure{Reason: experiment.InvalidEdit, Message: fmt.Sprintf(format, args...)}
}

// Guard implements Target.
func (g *GoGPT) Guard(path string, src []byte) *experiment.Failure {
	if !slices.Contains(g.Editable(), path) {
		return invalidEdit("%s may not be edited: only %s may", path, strings.Join(g.Editable(), ", "))
	}
	if f := guard.Text(path, src, maxSource); f != nil {
		return f
	}
	file, f := guard.ParseGo(path, src)
	if f != nil {
		return f
	}
	const seed = "random numbers come from run.Rand(), which the run's seed decides and a checkpoint keeps; a seed of one's own is luck that no other seed repeats"
	for _, rule := range []func() *experiment.Failure{
		func() *experiment.Failure { return file.GoImports(allowedImports) },
		file.GoDirectives,
		func() *experiment.Failure { return file.GoMain(program) },
		func() *experiment.Failure { return file.GoNames(allowedImports) },
		file.GoStatements,
		func() *experiment.Failure { return file.GoSelectors("rand", []string{"Rand", "Zipf", "NewZipf"}, seed) },
		func() *experiment.Failure { return file.GoData(dataLimits) },
		func() *experiment.Failure { return guard.GoTokens(path, src, maxTokens) },
	} {
		if f := rule(); f != nil {
			return f
		}
	}
	return nil
}

func syntaxError(err error) *experiment.Failure {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return invalidEdit("%s: the file must be valid Go (rule: syntax)", first)
}

// Format implements Target.
func (*GoGPT) Format(path string, src []byte) ([]byte, *experiment.Failure) {
	out, err := format.Source(src)
	if err != nil {
		return nil, syntaxError(fmt.Errorf("%s:%w", path, err))
	}
	return out, nil
}
