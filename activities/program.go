package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The user's instructions, program.md, are stored by digest: results name the
// text that they were proposed under, and inputs stay small. Which text holds is
// found out for each proposal: the one that set_program gave the campaign, or
// program.md as it lies in the checkout, or what the campaign was started with.

const (
	programFile = "program.md"
	maxProgram  = 64 << 10 // a text that a proposer can read each time
)

func programKey(tag, digest string) string {
	return experiment.CampaignKey(tag, "program-"+digest+".md")
}

// overrideKey holds the text that set_program gave a campaign. A store cannot
// take a key away again, so an empty text stands for none.
func overrideKey(tag string) string { return experiment.CampaignKey(tag, programFile) }

// SetProgram gives a campaign a program of its own and returns its digest.
func (r *Research) SetProgram(ctx context.Context, in SetProgramInput) (SetProgramResult, error) {
	if err := experiment.ValidateTag(in.Tag); err != nil {
		return SetProgramResult{}, edge(refuse(ErrInvalidSettings, "%w", err))
	}
	text := []byte(in.Text)
	if strings.TrimSpace(in.Text) == "" {
		return SetProgramResult{}, edge(putText(ctx, r.Store, overrideKey(in.Tag), nil))
	}
	digest, err := r.storeProgram(ctx, in.Tag, text)
	if err == nil {
		err = putText(ctx, r.Store, overrideKey(in.Tag), text)
	}
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
	text, err := readProgram(root)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", programFile, err)
	}
	return r.storeProgram(ctx, tag, text)
}

// readProgram reads program.md of a work tree. It does not wait for a writer
// where somebody has put a pipe.
func readProgram(root string) ([]byte, error) {
	f, err := os.OpenFile(filepath.Join(root, programFile), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", f.Name(), errors.Join(err, fs.ErrInvalid))
	}
	return io.ReadAll(io.LimitReader(f, maxProgram+1))
}

// freshProgram is the text that holds now, and its digest under which it is
// stored. A program.md that cannot be read for the moment, or is no text, is no
// error: the campaign goes on with what it was started with.
func (r *Research) freshProgram(ctx context.Context, c experiment.Campaign) (digest, text string, err error) {
	override, err := readArtifact(ctx, r.Store, overrideKey(c.Tag()))
	if err != nil && !errors.Is(err, artifact.ErrNotFound) {
		return "", "", err
	}
	if len(override) > 0 {
		digest, err = r.storeProgram(ctx, c.Tag(), override)
		return digest, string(override), err
	}
	if lying := r.checkoutProgram(ctx); lying != nil {
		digest, err = r.storeProgram(ctx, c.Tag(), lying)
		return digest, string(lying), err
	}
	text, err = r.programText(ctx, c.Tag(), c.Program)
	return c.Program, text, err
}

// checkoutProgram reads program.md in the user's checkout, or returns nil. An
// empty one is most likely being saved at this moment.
func (r *Research) checkoutProgram(ctx context.Context) []byte {
	if r.Checkout == "" {
		return nil
	}
	checkout, err := r.Repo.Checkout(ctx, r.Checkout)
	if err != nil {
		return nil
	}
	text, err := readProgram(checkout.Root())
	if err != nil || len(text) > maxProgram || !utf8.Valid(text) || len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	return text
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
