package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The user's instructions, program.md, are stored by digest: results name the
// text that they were proposed under, and inputs stay small.

const (
	programFile = "program.md"
	maxProgram  = 256 << 10
)

func programKey(tag, digest string) string {
	return experiment.CampaignKey(tag, "program-"+digest+".md")
}

// SetProgram stores a new program.md for a campaign and returns its digest.
func (r *Research) SetProgram(ctx context.Context, in SetProgramInput) (SetProgramResult, error) {
	if err := experiment.ValidateTag(in.Tag); err != nil {
		return SetProgramResult{}, edge(refuse(ErrInvalidSettings, "%w", err))
	}
	digest, err := r.storeProgram(ctx, in.Tag, []byte(in.Text))
	return SetProgramResult{Program: digest}, edge(err)
}

func (r *Research) storeProgram(ctx context.Context, tag string, text []byte) (string, error) {
	if len(text) > maxProgram || !utf8.Valid(text) {
		return "", refuse(ErrInvalidInput, "%s must be text of at most %d KiB", programFile, maxProgram>>10)
	}
	digest := digestOf(text)
	if _, err := r.Store.PutOnce(ctx, programKey(tag, digest), text); err != nil {
		return "", fmt.Errorf("storing %s: %w", programFile, err)
	}
	return digest, nil
}

// program stores the checkout's program.md, as it lies there: people edit it
// without committing. Not every proposer needs one, so none is no error, and
// its digest is empty.
func (r *Research) program(ctx context.Context, tag, root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, programFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", programFile, err)
	}
	return r.storeProgram(ctx, tag, text)
}

// programText reads a stored program.md back.
func (r *Research) programText(ctx context.Context, tag, digest string) (string, error) {
	if digest == "" {
		return "", nil
	}
	text, err := readArtifact(ctx, r.Store, programKey(tag, digest))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", programFile, err)
	}
	return string(text), nil
}
