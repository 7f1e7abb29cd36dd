package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// twins lets all honest twins through the whole pipeline, in one program: what
// is honest does not get in each other's way. If that is refused, each by
// itself tells whose fault it is. It also gives the honest score.
func (p *probe) twins(ctx context.Context, cheats []Cheat) error {
	program, f, err := p.build(ctx, p.graft.with(nil, small), nil)
	if f != nil || err != nil {
		return fmt.Errorf("the program under research does not build: %w", firstError(err, asError(f)))
	}
	o, err := p.trainAndScore(ctx, program, "", 1)
	if err != nil || o.failed != nil || o.scored != nil {
		return fmt.Errorf("the program under research, made small, does not train: %w", firstError(err, asError(o.failed), asError(o.scored)))
	}
	p.plain, p.honest, p.seconds = program, o.bpb, o.seconds
	began := time.Now()
	f, err = p.pipeline(ctx, cheats)
	if err != nil {
		return err
	}
	if f == nil {
		each := time.Since(began).Seconds() / float64(max(1, len(cheats)))
		for _, c := range cheats {
			p.found(Finding{Name: c.Name, Title: c.Twin, Twin: true, Verdict: Passed, Seconds: each})
		}
		return nil
	}
	for _, c := range cheats {
		began := time.Now()
		f, err := p.pipeline(ctx, []Cheat{c})
		if err != nil {
			return err
		}
		found := Finding{Name: c.Name, Title: c.Twin, Twin: true, Verdict: Passed, Seconds: time.Since(began).Seconds()}
		if f != nil {
			found.Verdict, found.Wrong = FalseAlarm, []string{saying(f)}
		}
		p.found(found)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// pipeline takes the twins of some cheats through everything. The failure is
// that of the first layer that refuses them.
func (p *probe) pipeline(ctx context.Context, cheats []Cheat) (*experiment.Failure, error) {
	var parts []part
	for _, c := range cheats {
		one := part{piece: c.twin}
		if f := p.t.Guard(trainFile, p.graft.with([]part{one}, nil)); f != nil {
			return f, nil
		}
		parts = append(parts, one)
	}
	program, f, err := p.build(ctx, p.graft.with(parts, small), nil)
	if f == nil && err == nil {
		f, err = p.smoke(ctx, program, "")
	}
	if f != nil || err != nil {
		return f, err
	}
	o, err := p.trainAndScore(ctx, program, "", 2)
	switch {
	case err != nil:
		return nil, err
	case o.failed != nil:
		return o.failed, nil
	case o.scored != nil:
		return o.scored, nil
	case o.bpb > p.honest*(1+3*margin) || o.bpb != o.bpb:
		return &experiment.Failure{Reason: experiment.RunFailed, Message: fmt.Sprintf("scored %.3f, where %.3f is honest", o.bpb, p.honest)}, nil
	}
	return nil, nil
}
