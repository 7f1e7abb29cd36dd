package ledger

import (
	"context"
	"fmt"

	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// signatureFile stands beside a decision. It covers the bytes of the decision,
// and with them, by the chain, all decisions before it.
const signatureFile = resultFile + ".sig"

// Signer signs what is stored: [sshsig.Key].
type Signer interface {
	// Sign returns a detached signature. It is called once for each decision
	// that has none; an error leaves the decision unsigned until the next start.
	Sign(ctx context.Context, data []byte) ([]byte, error)
}

var _ Signer = (*sshsig.Key)(nil)

// sign adds the signature of a decision, unless it has one. A signature is
// derived and never holds up a decision: what fails is a notice.
func (l *Ledger) sign(ctx context.Context, tag string, n int) ([]Notice, error) {
	if l.Signer == nil {
		return nil, nil
	}
	key := experiment.Key(tag, n, signatureFile)
	have, err := l.value(ctx, key)
	if err != nil || have != nil {
		return nil, err
	}
	b, err := l.value(ctx, experiment.Key(tag, n, resultFile))
	if err != nil || b == nil {
		return nil, err
	}
	signature, err := l.Signer.Sign(ctx, b)
	if err == nil {
		_, err = l.Store.PutOnce(ctx, key, signature)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return []Notice{Notice(fmt.Sprintf("the decision on experiment %d of campaign %s is not signed yet: %v", n, tag, err))}, nil
	}
	return nil, nil
}

// signMissing signs what was decided since the newest signature; in a campaign
// without any the newest decision, which covers the others. Nothing is signed on
// top of a chain that does not hold or of a signature that is none: whoever has
// changed the ledger shall not get it signed by starting a worker.
func (l *Ledger) signMissing(ctx context.Context, tag string, c view) ([]Notice, error) {
	if l.Signer == nil {
		return nil, nil
	}
	refused := func(key, why string) ([]Notice, error) {
		return []Notice{Notice(fmt.Sprintf("nothing is signed that was decided before now: %s %s", key, why))}, nil
	}
	if c.broken != "" {
		return refused(c.broken, "does not follow the decision before it")
	}
	from := len(c.results) - 1
	for i := len(c.results) - 1; i >= 0; i-- {
		n := c.results[i].Experiment
		signature, err := l.value(ctx, experiment.Key(tag, n, signatureFile))
		if err != nil {
			return nil, err
		}
		if signature == nil {
			continue
		}
		b, err := l.value(ctx, experiment.Key(tag, n, resultFile))
		if err != nil {
			return nil, err
		}
		if _, err := sshsig.Verify(b, signature); err != nil {
			return refused(experiment.Key(tag, n, signatureFile), "does not hold: "+err.Error())
		}
		from = i + 1
		break
	}
	for _, r := range c.results[from:] {
		if notices, err := l.sign(ctx, tag, r.Experiment); err != nil || len(notices) > 0 {
			return notices, err // what keeps one from being signed keeps all
		}
	}
	return nil, nil
}
