package target

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
)

// TestLastWordsArePlain: what a candidate says of its end reaches terminals and
// prompts, and must not command them.
func TestLastWordsArePlain(t *testing.T) {
	dir := t.TempDir()
	said := `{"reason": "error", "message": "panic: \u001b[31mred\u001b[0m \u009b6n \u202eback\ngoroutine 1:\tmain"}`
	if err := os.WriteFile(filepath.Join(dir, failureFile), []byte(said), 0o644); err != nil {
		t.Fatal(err)
	}
	e := ended(sandbox.Outcome{ExitCode: 1}, dir, false)
	if want := "panic: red  back\ngoroutine 1:\tmain"; e.failure == nil || e.failure.Message != want {
		t.Errorf("got %+v, want %q", e.failure, want)
	}
}
