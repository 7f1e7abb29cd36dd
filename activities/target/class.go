package target

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// CPUClass says what kind of slot some cores of this machine are:
//
//	cpu/amd-epyc-9754/2c/avx512
//
// that is, what decides how far a run gets in a charged second, and nothing that
// changes while the machine stays the same, such as its clock's present rate or
// how many others share it. Scores and their noise compare within a class. An
// empty model is one that the machine does not tell.
func CPUClass(cores int) string { return classOf(cpuModel(), cores, instructionSet()) }

func classOf(model string, cores int, set string) string {
	return fmt.Sprintf("cpu/%s/%dc/%s", slug(model), max(1, cores), set)
}

var (
	// decorations are what the names of processors carry beside the name.
	decorations = regexp.MustCompile(`(?i)\((r|tm)\)|@.*$|\b\d+-core\b|\b(cpu|processor)\b`)
	notSlug     = regexp.MustCompile(`[^a-z0-9.]+`)
)

// maxModel bounds the name of a processor.
const maxModel = 60

func slug(model string) string {
	s := notSlug.ReplaceAllString(strings.ToLower(decorations.ReplaceAllString(model, " ")), "-")
	s = strings.Trim(s[:min(len(s), maxModel)], "-.")
	if s == "" {
		return "unknown"
	}
	return s
}

// instructionSet is the one that the trainer's kernels use here.
func instructionSet() string {
	switch x := cpu.X86; {
	case x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX2:
		return "avx512"
	case x.HasAVX2 && x.HasFMA:
		return "avx2"
	}
	return runtime.GOARCH
}

// modelOf finds the processor's name in the text of /proc/cpuinfo. ARM cores
// have none, but numbers of their maker and kind.
func modelOf(cpuinfo string) string {
	fields := map[string]string{}
	for line := range strings.Lines(cpuinfo) {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); ok && fields[name] == "" {
			fields[name] = strings.TrimSpace(value) // of the first core
		}
	}
	if fields["model name"] == "" && fields["CPU part"] != "" {
		return "arm " + fields["CPU implementer"] + " " + fields["CPU part"]
	}
	for _, name := range []string{"model name", "cpu model", "cpu", "uarch", "Processor"} {
		if fields[name] != "" {
			return fields[name]
		}
	}
	return ""
}
