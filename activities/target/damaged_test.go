package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// The real trainer, stopped, with its newest checkpoint damaged: the run goes on
// from the older one.
func TestOlderCheckpointServes(t *testing.T) {
	g := newGoGPT()
	src, out := t.TempDir(), t.TempDir()
	copySources(t, g, "../..", src)
	failure, err := g.Build(t.Context(), Candidate, src, out, io.Discard)
	require.NoError(t, err)
	require.Nil(t, failure)

	data := t.TempDir()
	text := make([]byte, 1<<14)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range text {
		text[i] = "etaoin shrdlu"[rng.IntN(13)]
	}
	require.NoError(t, os.WriteFile(filepath.Join(data, "train.bin"), text, 0o644))
	s := TrainSpec{
		ID: t.Name(), Program: filepath.Join(out, "candidate"), Dir: filepath.Join(t.TempDir(), "run-1"), Train: data,
		Seed: 5, Budget: experiment.Duration(3 * time.Second), Cores: 1,
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the worker stops")
	_, err = g.Train(ctx, s, func(Progress) {
		if len(checkpoints(s.Dir)) >= 2 {
			cancel(stop)
		}
	})
	require.ErrorIs(t, err, stop)
	list := checkpoints(s.Dir)
	require.Len(t, list, 2)
	damaged, err := os.ReadFile(list[0].path)
	require.NoError(t, err)
	damaged[len(damaged)/2] ^= 1
	require.NoError(t, os.Remove(list[0].path)) // not the file that an attempt may have linked
	require.NoError(t, os.WriteFile(list[0].path, damaged, 0o644))

	var log bytes.Buffer
	next := s
	next.Dir, next.Resume, next.Log = filepath.Join(filepath.Dir(s.Dir), "run-2"), []string{s.Dir}, &log
	r, err := g.Train(t.Context(), next, nil)
	require.NoError(t, err)
	require.Nil(t, r.Failure, log.String())
	require.Equal(t, list[1].step, r.ResumedFrom, log.String())
	require.Contains(t, log.String(), "its checksum does not match")
	require.Contains(t, log.String(), "cannot be used; trying an older one")
	require.FileExists(t, r.Model)
}
