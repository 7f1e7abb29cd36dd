package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// campaignFile is what the first decision follows.
const campaignFile = "campaign.json"

// Digest is the sha256 of what is stored, in hexadecimal digits.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Head is the newest decision of a campaign: the end of its hash chain. Who has
// noted a head can tell later whether anything before it was changed or taken
// away.
type Head struct {
	Decided int    // decisions so far: the sequence of the next one
	Digest  string // of the newest one as stored; before the baseline of campaign.json; "" where there is none
}

// Head returns the end of the chain, which the next decision binds as its
// Previous. Decisions of versions without a chain are followed like any others.
func (l *Ledger) Head(ctx context.Context, tag string) (Head, error) {
	c, err := l.read(ctx, tag)
	if err != nil || len(c.results) > 0 {
		return Head{len(c.results), c.head}, err
	}
	b, err := l.value(ctx, experiment.CampaignKey(tag, campaignFile))
	if err != nil || b == nil {
		return Head{}, err
	}
	return Head{0, Digest(b)}, nil
}

// follows says whether a decision binds the one before it. One without a
// Previous was made before there was a chain, and stands only before the first
// that has one.
func follows(r, before experiment.Result, digest string) bool {
	if r.Previous == "" {
		return before.Previous == ""
	}
	return r.Previous == digest
}
