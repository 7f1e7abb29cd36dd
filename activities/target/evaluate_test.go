package target

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// scoreFake scores a model of the stand-in.
func scoreFake(t *testing.T, evaluator, model string, change func(s *EvaluateSpec)) Score {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	write(t, path, model)
	s := EvaluateSpec{Evaluator: evaluator, Model: path, Val: t.TempDir(), Cores: 1, Dir: dir}
	change(&s)
	score, err := theFake.Evaluate(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return score
}

// The audit split is measured only when it is asked for.
func TestEvaluateAudit(t *testing.T) {
	plain := scoreFake(t, theFake.evaluator, "fake model", func(*EvaluateSpec) {})
	audited := scoreFake(t, theFake.evaluator, "fake model", func(s *EvaluateSpec) { s.Audit = t.TempDir() })
	if plain.AuditBpb != 0 || audited.AuditBpb != audited.ValBpb+0.5 || audited.ValBpb != plain.ValBpb || plain.Seconds != 0.125 {
		t.Errorf("got %+v, and with audit %+v", plain, audited)
	}
}

// A model may take three times the incumbent's time, or two seconds; the
// stand-in's slow one takes 1.5 s.
func TestEvaluateLimit(t *testing.T) {
	for _, reference := range []float64{0, 0.01, 0.6} {
		if s := scoreFake(t, theFake.evaluator, "fake model slow", func(s *EvaluateSpec) { s.Reference = reference }); s.Failure != nil {
			t.Errorf("reference %v: %+v", reference, s.Failure)
		}
	}
	s := scoreFake(t, theFake.evaluator, "fake model very slow", func(s *EvaluateSpec) { s.Reference = 1 })
	if s.Failure == nil || s.Failure.Reason != experiment.Timeout || s.ValBpb == s.ValBpb && s.ValBpb != 0 {
		t.Fatalf("got %+v", s)
	}
	for _, want := range []string{"3.5 s of 3 s", "The incumbent takes 1.00 s", "3 times"} {
		if !strings.Contains(s.Failure.Message, want) {
			t.Errorf("the message is %q, want a word on %q", s.Failure.Message, want)
		}
	}
}

// An evaluator of an earlier version, which knows neither --limit nor --memory,
// measures without.
func TestEvaluateByAnOldEvaluator(t *testing.T) {
	old := filepath.Join(t.TempDir(), "evaluator")
	script := "#!/bin/sh\ncase \"$*\" in *--memory*) echo 'flag provided but not defined: -memory' >&2; exit 1;; *--limit*) echo 'flag provided but not defined: -limit' >&2; exit 1;; esac\necho '{\"val_bpb\": 2}'\n"
	if err := os.WriteFile(old, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s := scoreFake(t, old, "fake model", func(s *EvaluateSpec) { s.Reference = 1 })
	if s.ValBpb != 2 || s.Failure != nil {
		t.Errorf("got %+v", s)
	}
}
