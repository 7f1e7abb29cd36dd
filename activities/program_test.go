package activities

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
	"github.com/autoresearch-go/autoresearch/experiment"
)

func TestSetProgram(t *testing.T) {
	r := newResearch(t, newCheckout(t), nil)
	c := experiment.Campaign{Settings: testSettings()}
	set := func(text string) SetProgramResult {
		return must(t, r, r.SetProgram, SetProgramInput{Tag: "mar5", Text: text})
	}
	want := func(text string) {
		t.Helper()
		digest, got, err := r.freshProgram(t.Context(), c)
		stored, readErr := r.programText(t.Context(), "mar5", digest)
		if err != nil || readErr != nil || got != text || stored != text {
			t.Errorf("the program is %q, stored %q, %v, %v; want %q", got, stored, err, readErr, text)
		}
	}
	want("Lower val_bpb.\n") // the checkout's
	first := set("Try harder.\n")
	want("Try harder.\n")
	if set("Again.\n") == first {
		t.Error("two texts have one digest")
	}
	want("Again.\n")
	if set("Try harder.\n") != first {
		t.Error("one text has two digests")
	}
	want("Try harder.\n")
	if got := set(" \n"); got.Program != "" {
		t.Errorf("taken away, it is %q", got.Program)
	}
	want("Lower val_bpb.\n")
	_, err := do(t, r, r.SetProgram, SetProgramInput{Tag: "mar5", Text: strings.Repeat("x", maxProgram+1)})
	wantRefusal(t, err, ErrInvalidInput, false, "64 KiB")
	_, err = do(t, r, r.SetProgram, SetProgramInput{Tag: "../x", Text: "x"})
	wantRefusal(t, err, ErrInvalidSettings, false, "tag")
	want("Lower val_bpb.\n")
}

// program.md is read as it lies in the checkout, and what cannot be read leaves
// the text that the campaign was started with.
func TestProgramIsReadAfresh(t *testing.T) {
	for what, k := range map[string]struct {
		harm func(dir, file string) error
		want string
	}{
		"as it was":     {func(_, _ string) error { return nil }, "Lower val_bpb.\n"},
		"edited":        {func(_, file string) error { return os.WriteFile(file, []byte("Be bold.\n"), 0o644) }, "Be bold.\n"},
		"linked":        {func(dir, file string) error { return relink(dir, file, "Be brief.\n") }, "Be brief.\n"},
		"deleted":       {func(_, file string) error { return os.Remove(file) }, "Lower val_bpb.\n"},
		"being saved":   {func(_, file string) error { return os.Truncate(file, 0) }, "Lower val_bpb.\n"},
		"binary":        {func(_, file string) error { return os.WriteFile(file, []byte("\xff\xfe"), 0o644) }, "Lower val_bpb.\n"},
		"huge":          {func(_, file string) error { return os.WriteFile(file, make([]byte, maxProgram+1), 0o644) }, "Lower val_bpb.\n"},
		"a directory":   {func(_, file string) error { return swap(file, func() error { return os.Mkdir(file, 0o755) }) }, "Lower val_bpb.\n"},
		"a pipe":        {func(_, file string) error { return swap(file, func() error { return syscall.Mkfifo(file, 0o644) }) }, "Lower val_bpb.\n"},
		"no repository": {func(dir, _ string) error { return os.RemoveAll(filepath.Join(dir, ".git")) }, "Lower val_bpb.\n"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := newCheckout(t)
			var seen string
			r := newResearch(t, dir, answers(func(q proposer.Request) (proposer.Answer, error) {
				seen = q.Program
				return lrAnswer(q, "0.02"), nil
			}))
			c := prepared(t, r)
			if err := k.harm(dir, filepath.Join(dir, "program.md")); err != nil {
				t.Fatal(err)
			}
			in := ProposeInput{Campaign: c, Number: 1, Parent: experiment.Incumbent{Commit: c.Base}}
			got := must(t, r, r.Propose, in)
			if seen != k.want || got.Program != digestOf([]byte(k.want)) {
				t.Errorf("the proposer saw %q, the experiment %s; want %q", seen, got.Program, k.want)
			}
			if text, err := r.programText(t.Context(), "mar5", got.Program); err != nil || text != k.want {
				t.Errorf("stored: %q, %v", text, err)
			}
			// A retry names the text of the proposal, whatever stands there now.
			r.Checkout = ""
			must(t, r, r.SetProgram, SetProgramInput{Tag: "mar5", Text: "Something else.\n"})
			if again := must(t, r, r.Propose, in); again != got {
				t.Errorf("a retry gives %+v, not %+v", again, got)
			}
		})
	}
}

func swap(file string, make func() error) error {
	if err := os.Remove(file); err != nil {
		return err
	}
	return make()
}

func relink(dir, file, text string) error {
	other := filepath.Join(dir, "notes.md")
	if err := os.WriteFile(other, []byte(text), 0o644); err != nil {
		return err
	}
	return swap(file, func() error { return os.Symlink(other, file) })
}
