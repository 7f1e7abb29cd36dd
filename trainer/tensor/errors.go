package tensor

import (
	"fmt"
	"strings"
)

// Error is a programmer error: shapes that do not fit, an axis out of range,
// a name used twice, a tensor used after [Device.Reset]. Methods panic with a
// *Error so that a model reads like arithmetic; whoever runs a model (the
// harness) recovers it once, at the top.
type Error struct {
	Op     string   // operation or method that refused
	Msg    string   // what was wanted and what was given
	Shapes []string // shapes of the inputs, in order, when there were any
}

// Error prints the operation, the reason and the shapes it got.
func (e *Error) Error() string {
	s := "tensor: " + e.Op + ": " + e.Msg
	if len(e.Shapes) > 0 {
		s += " (got " + strings.Join(e.Shapes, ", ") + ")"
	}
	return s
}

// NotExportable reports why a traced function has no graph: it used an
// operation that only exists in training, or a value from outside the trace.
type NotExportable struct {
	Op  string // operation that cannot be exported
	Msg string
}

// Error names the operation and the reason.
func (e *NotExportable) Error() string {
	return "tensor: not exportable: " + e.Op + ": " + e.Msg
}

// fail panics with a programmer error.
func fail(op, format string, args ...any) {
	panic(&Error{Op: op, Msg: fmt.Sprintf(format, args...)})
}
