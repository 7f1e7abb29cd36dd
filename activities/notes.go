package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/proposer"
)

// notes is what a proposer keeps of one round: artifacts beside its proposal.
type notes struct {
	store artifact.Store
	in    ProposeInput
}

var _ proposer.Notes = notes{}

func (n notes) key(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "/\\") {
		return "", fmt.Errorf("note %q: a plain file name is needed", name)
	}
	return noteKey(n.in.Campaign.Tag(), n.in.Number, n.in.Revision, n.in.Round, name), nil
}

// Read implements proposer.Notes.
func (n notes) Read(ctx context.Context, name string) ([]byte, error) {
	key, err := n.key(name)
	if err != nil {
		return nil, err
	}
	text, err := readArtifact(ctx, n.store, key)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	return text, err
}

// Write implements proposer.Notes.
func (n notes) Write(ctx context.Context, name string, text []byte) ([]byte, error) {
	key, err := n.key(name)
	if err != nil {
		return nil, err
	}
	return n.store.PutOnce(ctx, key, []byte(redact(string(text))))
}
