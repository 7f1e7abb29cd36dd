package verify

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// read takes in the campaign's record and all decisions that can be read.
func (c *check) read(ctx context.Context) error {
	key := experiment.CampaignKey(c.tag, "campaign.json")
	b, err := c.value(ctx, key)
	if err != nil {
		return err
	}
	switch {
	case b == nil:
		c.found(file(key), restore, "the campaign's record is missing")
	case json.Unmarshal(b, &c.campaign) != nil || c.campaign.Tag() != c.tag:
		c.found(file(key), restore, "it is not the record of campaign %s", c.tag)
		c.campaign = experiment.Campaign{}
	}
	if b != nil {
		c.record = ledger.Digest(b)
	}
	keys, err := c.Store.List(ctx, c.tag+"/")
	if err != nil {
		return err
	}
	c.names, c.known = map[int]map[string]bool{}, map[int]decision{}
	for _, key := range keys {
		number, name, ok := strings.Cut(strings.TrimPrefix(key, c.tag+"/"), "/")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || key != c.key(n, name) {
			continue
		}
		if c.names[n] == nil {
			c.names[n] = map[string]bool{}
		}
		c.names[n][name] = true
	}
	for n, names := range c.names {
		if names["result.json"] {
			if err := c.load(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *check) load(ctx context.Context, n int) error {
	b, err := c.value(ctx, c.key(n, "result.json"))
	if err != nil || b == nil {
		return err
	}
	d := decision{digest: ledger.Digest(b), bytes: b}
	switch err := json.Unmarshal(b, &d.Result); {
	case err != nil:
		c.found(c.resultFile(n), restore, "it cannot be read: %v", err)
		return nil
	case d.Experiment != n:
		c.found(c.resultFile(n), restore, "it is the decision on experiment %d", d.Experiment)
		return nil
	case d.Campaign != c.tag:
		c.found(c.resultFile(n), restore, "it is a decision of campaign %s", d.Campaign)
		return nil
	}
	if d.Sequence == 0 { // before experiments ran side by side it was the number
		d.Sequence = n
	}
	c.known[n] = d
	return nil
}

// chain checks the order of the decisions and the link of each to the one
// before it.
func (c *check) chain(context.Context) error {
	for _, d := range c.known {
		c.decisions = append(c.decisions, d)
	}
	slices.SortFunc(c.decisions, func(a, b decision) int {
		if a.Sequence != b.Sequence {
			return a.Sequence - b.Sequence
		}
		return a.Experiment - b.Experiment
	})
	c.report.Decisions, c.report.Head = len(c.decisions), c.record
	next, before, beforeFile := 0, c.record, file(experiment.CampaignKey(c.tag, "campaign.json"))
	for i, d := range c.decisions {
		name := c.resultFile(d.Experiment)
		switch {
		case d.Sequence < next:
			c.broken(name)
			c.found(name, restore, "it is decision %d, and so is %s", d.Sequence, c.resultFile(c.decisions[i-1].Experiment))
		case d.Sequence > next:
			c.broken(name)
			c.found(name, noted, "it is decision %d, and %s missing", d.Sequence, gap(next, d.Sequence))
		case d.Previous == "" && c.report.Chained > 0:
			c.broken(name)
			c.found(name, restore, "it has no link to the decision before it, which %s has", beforeFile)
		case d.Previous != "" && d.Previous != before:
			c.broken(beforeFile)
			c.found(beforeFile, restore, "it is not what it was: %s follows a file with the digest %s, and this one has %s", name, short(d.Previous), short(before))
		}
		if d.Previous != "" {
			c.report.Chained++
		}
		next, before, beforeFile = d.Sequence+1, d.digest, name
		c.report.Head = d.digest
	}
	c.noted()
	if n := c.report.Decisions - c.report.Chained; n > 0 && c.report.Chained > 0 {
		c.note("%d decisions were made before there was a chain: of those it holds the last only", n)
	} else if n > 0 {
		c.note("the decisions were made by a version without a hash chain")
	}
	return nil
}

func (c *check) broken(file string) {
	if c.report.Broken == "" {
		c.report.Broken = file
	}
}

func gap(from, to int) string {
	if to-from == 1 {
		return "decision " + strconv.Itoa(from) + " is"
	}
	return "decisions " + strconv.Itoa(from) + " to " + strconv.Itoa(to-1) + " are"
}

// noted looks for the digest that somebody has noted. It tells a ledger whose
// last decisions were taken away, or that was made anew, from the one that was
// there.
func (c *check) noted() {
	if c.Head == "" {
		return
	}
	at := func(n int) { c.report.NotedAt = &n }
	if strings.HasPrefix(c.record, c.Head) {
		at(-1)
		return
	}
	for _, d := range c.decisions {
		if strings.HasPrefix(d.digest, c.Head) {
			at(d.Sequence)
			return
		}
	}
	c.broken("artifacts/" + c.tag)
	c.found("artifacts/"+c.tag, noted, "no decision has the digest %s that was noted: decisions were changed, or the last ones taken away", c.Head)
}

// signatures checks the signatures that there are. With a list of signers every
// decision must be signed by one of them, or be covered by a later signature.
func (c *check) signatures(ctx context.Context) error {
	covered := -1 // index of the newest decision with a good signature
	var unsigned []int
	for i := range c.decisions {
		d := &c.decisions[i]
		key := c.key(d.Experiment, "result.json.sig")
		if !c.names[d.Experiment]["result.json.sig"] {
			unsigned = append(unsigned, i)
			d.bytes = nil
			continue
		}
		signature, err := c.value(ctx, key)
		if err != nil {
			return err
		}
		by, err := sshsig.Verify(d.bytes, signature)
		d.bytes = nil
		if err != nil {
			c.found(file(key), restore, "%v", err)
			continue
		}
		name, allowed := ssh.FingerprintSHA256(by), true
		if c.Signers != nil {
			if given, ok := c.Signers.Name(by); ok {
				name = given
			} else {
				allowed = false
				c.found(file(key), "trust it only if you know that key", "it is signed by %s, which is no allowed signer", name)
			}
		}
		if allowed {
			covered = i
			c.report.Signed++
			if !slices.Contains(c.report.SignedBy, name) {
				c.report.SignedBy = append(c.report.SignedBy, name)
			}
		}
	}
	c.cover(covered, unsigned)
	return nil
}

// cover counts what the newest signature covers through the chain.
func (c *check) cover(newest int, unsigned []int) {
	first := newest
	for first > 0 && c.decisions[first].Previous != "" && c.decisions[first].Previous == c.decisions[first-1].digest {
		first--
	}
	if newest >= 0 {
		c.report.Covered = newest - first + 1
	}
	if newest < 0 && c.Signers == nil {
		return
	}
	for _, i := range unsigned {
		d := c.decisions[i]
		c.report.Unsigned = append(c.report.Unsigned, d.Experiment)
		if c.Signers != nil && (i > newest || i < first) {
			c.found(c.resultFile(d.Experiment), "start the worker with the signing key, which adds what is missing; else trust only what is signed", "it is not signed, and no later signature covers it")
		}
	}
}
