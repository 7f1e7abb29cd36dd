package gpu

import (
	"regexp"
	"strconv"
	"strings"
)

// Usage is what a kernel takes of a multiprocessor, as the compiler says.
type Usage struct {
	Function  string
	Registers int // of each thread
	Stack     int // bytes of local memory of each thread: arrays that are no registers, and spills
	Spills    int // bytes that each thread writes for want of registers
	Shared    int // bytes of static shared memory of each block
}

var (
	usageFunction = regexp.MustCompile(`Compiling entry function '([^']+)'`)
	usageStack    = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores`)
	usageUsed     = regexp.MustCompile(`Used (\d+) registers`)
	usageShared   = regexp.MustCompile(`(\d+) bytes smem`)
)

// parseUsage reads what the assembler prints with -v.
func parseUsage(log string) []Usage {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n } // digits, by the expressions
	var list []Usage
	for line := range strings.SplitSeq(log, "\n") {
		if m := usageFunction.FindStringSubmatch(line); m != nil {
			list = append(list, Usage{Function: m[1]})
		}
		if len(list) == 0 {
			continue
		}
		u := &list[len(list)-1]
		if m := usageStack.FindStringSubmatch(line); m != nil {
			u.Stack, u.Spills = number(m[1]), number(m[2])
		}
		if m := usageUsed.FindStringSubmatch(line); m != nil {
			u.Registers = number(m[1])
		}
		if m := usageShared.FindStringSubmatch(line); m != nil {
			u.Shared = number(m[1])
		}
	}
	return list
}
