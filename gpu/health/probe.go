package health

import (
	"context"
	"errors"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// Report is what a machine has for work on GPUs, as a process of its own has
// found it.
type Report struct {
	GPUs      []gpu.Info    `json:"gpus"`              // those that a process may use
	Devices   []GPU         `json:"devices,omitempty"` // those that the driver knows
	Looks     []Snapshot    `json:"looks,omitempty"`   // at GPUs, by index
	Driver    string        `json:"driver,omitempty"`  // the driver's version
	CUDA      string        `json:"cuda,omitempty"`    // the newest CUDA that it serves
	Libraries []gpu.Library `json:"libraries,omitempty"`
	Problem   *Problem      `json:"problem,omitempty"` // why no GPU can be used
	Blind     string        `json:"blind,omitempty"`   // why GPUs cannot be watched
	Test      *Test         `json:"test,omitempty"`
}

// Problem is an error that has crossed a process border.
type Problem struct {
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
	Fault   gpu.Fault `json:"fault,omitempty"`
	Code    int       `json:"code,omitempty"` // of the driver
}

func (p *Problem) Error() string { return p.Message }

// ProblemOf keeps what an error says; nil stays nil.
func ProblemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	var e *gpu.Error
	if errors.As(err, &e) {
		plain := *e
		plain.Hint = ""
		return &Problem{Message: plain.Error(), Hint: e.Hint, Fault: e.Fault, Code: e.Code}
	}
	return &Problem{Message: err.Error(), Fault: gpu.BySetup}
}

// Probe finds out what there is. It asks the drivers, which may hang: it is for
// a process of its own.
func Probe(ctx context.Context) Report {
	var r Report
	found, err := gpu.Discover()
	r.GPUs, r.Problem = found, ProblemOf(err)
	if errors.Is(err, gpu.ErrNotBuilt) {
		return r
	}
	r.Libraries = gpu.Libraries()
	m, err := Open(ctx)
	if err != nil {
		r.Blind = err.Error()
		return r
	}
	defer m.Close()
	r.Driver, r.CUDA, _ = m.Versions(ctx)
	if r.Devices, err = m.GPUs(ctx); err != nil {
		r.Blind = err.Error()
		return r
	}
	for _, g := range found {
		s, err := m.Sample(ctx, g.UUID)
		if err != nil && !errors.Is(err, ErrLost) && r.Blind == "" { // a lost one is its slot's business
			r.Blind = err.Error()
		}
		r.Looks = append(r.Looks, s)
	}
	return r
}
