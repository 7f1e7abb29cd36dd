package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/sandbox"
)

// Where the key lies, and the agent that has it, is nothing that a candidate is
// told.
func TestCandidatesDoNotHearOfTheSigningKey(t *testing.T) {
	env, err := exec.LookPath("env")
	if err != nil {
		t.Skip("there is no command env")
	}
	t.Setenv(signingEnv, "/secret/key")
	t.Setenv("SSH_AUTH_SOCK", "/secret/agent")
	var out bytes.Buffer
	if _, err := (sandbox.Process{}).Run(t.Context(), sandbox.Spec{ID: "signing/" + filepath.Base(t.TempDir()), Path: env, Dir: t.TempDir(), Stdout: &out, Log: &out}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "PATH=") || strings.Contains(text, "secret") {
		t.Errorf("the environment is\n%s", text)
	}
}
