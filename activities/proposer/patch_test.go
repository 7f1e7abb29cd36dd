package proposer_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/activities/proposer"
)

// patched is a file that looks alike in two places, 26 lines apart.
var patched = func() string {
	block := "func f() {\n\tx := 1\n\n\treturn x\n}\n"
	text := block
	for i := range 21 {
		text += fmt.Sprintf("// line %d\n", i)
	}
	return text + block + "end\n"
}()

const hunkOfSecond = "@@ -%d,5 +%d,5 @@ func f()\n func f() {\n-\tx := 1\n+\tx := 2\n \n \treturn x\n }\n"

func TestApplyPatch(t *testing.T) {
	second := strings.TrimSuffix(patched, "func f() {\n\tx := 1\n\n\treturn x\n}\nend\n") + "func f() {\n\tx := 2\n\n\treturn x\n}\nend\n"
	first := strings.Replace(patched, "x := 1", "x := 2", 1)
	at := func(line int) string { return fmt.Sprintf(hunkOfSecond, line, line) }
	names := func(from, to, hunks string) string { return "--- " + from + "\n+++ " + to + "\n" + hunks }
	git := names("a/noop/train.go", "b/noop/train.go", at(27))
	for _, c := range []struct {
		name, patch string
		want        string // noop/train.go afterwards, or
		fails       []string
	}{
		{"git diff", "diff --git a/noop/train.go b/noop/train.go\nindex 1..2 100644\n" + git, second, nil},
		{"no prefixes", names("noop/train.go", "noop/train.go", at(27)), second, nil},
		{"mnemonic prefixes", names("i/noop/train.go", "w/noop/train.go", at(27)), second, nil},
		{"made below the root", names("train.go", "train.go", at(27)), second, nil},
		{"relative, with prefixes", names("a/train.go", "b/train.go", at(27)), second, nil},
		{"two directories", names("/home/u/old/noop/train.go\t2026-03-05 12:00:00", "/home/u/new/noop/train.go\t2026-03-05 12:00:01", at(27)), second, nil},
		{"a copy", names("noop/train.go.orig", "noop/train.go", at(27)), second, nil},
		{"onto a copy", names("noop/train.go", "noop/train.go.new", at(27)), second, nil},
		{"quoted", names(`"a/noop/train.go"`, `"b/noop/train.go"`, at(27)), second, nil},
		{"dos patch", strings.ReplaceAll(git, "\n", "\r\n"), second, nil},
		{"trailing space lost", strings.ReplaceAll(git, "\n \n", "\n\n"), second, nil},
		{"signature", git + "-- \n2.39.5\n\n", second, nil},
		{"no last newline in the patch", strings.TrimSuffix(git, "\n"), second, nil},
		{"ten lines off", names("a/noop/train.go", "b/noop/train.go", at(37)), second, nil},
		{"nearer to the first", names("a/noop/train.go", "b/noop/train.go", at(9)), first, nil},
		{"offset of the hunk before", names("a/noop/train.go", "b/noop/train.go", "@@ -24,1 +24,1 @@\n-// line 1\n+// line one\n"+at(44)),
			strings.Replace(second, "// line 1\n", "// line one\n", 1), nil},
		{"only added", names("a/noop/train.go", "b/noop/train.go", "@@ -0,0 +1 @@\n+// top\n@@ -32,0 +34 @@\n+// bottom\n"), "// top\n" + patched + "// bottom\n", nil},
		{"end without newline", names("a/noop/train.go", "b/noop/train.go", "@@ -32 +32 @@\n-end\n+END\n\\ No newline at end of file\n"), strings.TrimSuffix(patched, "end\n") + "END", nil},

		{"empty", "", "", []string{"no hunks", "noop/train.go"}},
		{"prose", "please make it faster\n", "", []string{"no hunks"}},
		{"another file", names("a/go.mod", "b/go.mod", "@@ -1 +1 @@\n-a\n+b\n"), "", []string{"go.mod", "only changes noop/eval.go, noop/train.go"}},
		{"another file of that name", names("a/other/train.go", "b/other/train.go", at(27)), "", []string{"changes b/other/train.go"}},
		{"upwards", names("a/../noop.go", "b/../noop.go", at(27)), "", []string{"../noop.go"}},
		{"creation", "diff --git a/noop/new.go b/noop/new.go\nnew file mode 100644\n" + names("/dev/null", "b/noop/new.go", "@@ -0,0 +1 @@\n+x\n"), "", []string{"makes a new file"}},
		{"plain creation", names("/dev/null", "noop/train.go", "@@ -0,0 +1 @@\n+x\n"), "", []string{"makes the new file noop/train.go"}},
		{"deletion", names("a/noop/train.go", "/dev/null", at(27)), "", []string{"deletes a/noop/train.go"}},
		{"rename", "diff --git a/noop/train.go b/noop/t.go\nrename from noop/train.go\nrename to noop/t.go\n", "", []string{"renames"}},
		{"binary", "diff --git a/noop/train.go b/noop/train.go\nBinary files a/noop/train.go and b/noop/train.go differ\n", "", []string{"binary"}},
		{"merge", "diff --cc noop/train.go\n" + "@@@ -1,2 -1,2 +1,2 @@@\n", "", []string{"combined"}},
		{"no names", at(27), "", []string{"before any file"}},
		{"one file twice", git + git, "", []string{"a second time"}},
		{"names alone", names("a/noop/train.go", "b/noop/train.go", "rubbish\n"), "", []string{"no hunk"}},
		{"bad header", names("a/noop/train.go", "b/noop/train.go", "@@ ... @@\n x\n"), "", []string{"no hunk header"}},
		{"cut short", strings.TrimSuffix(git, " \treturn x\n }\n"), "", []string{"other lines than its header says"}},
		{"too long", names("a/noop/train.go", "b/noop/train.go", strings.Replace(at(27), "27,5 @@", "27,4 @@", 1)), "", []string{"other lines than its header says"}},
		{"lines that are not there", strings.Replace(git, "x := 1", "x := 7", 1), "", []string{"noop/train.go: the lines of the hunk @@ -27,5 +27,5 @@ do not stand", "nearest lines"}},
		{"overlap", git + at(27), "", []string{"do not stand"}},
		{"between two places", names("a/noop/train.go", "b/noop/train.go", "@@ -14,5 +14,5 @@\n"+strings.SplitN(at(0), "\n", 2)[1]), "", []string{"two places, lines"}},
		{"beyond the end", names("a/noop/train.go", "b/noop/train.go", "@@ -99,0 +99 @@\n+x\n"), "", []string{"after line 99"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, crlf := range []bool{false, true} {
				file, want := patched, c.want
				if crlf {
					file, want = strings.ReplaceAll(file, "\n", "\r\n"), strings.ReplaceAll(want, "\n", "\r\n")
				}
				files := map[string][]byte{"noop/train.go": []byte(file), "noop/eval.go": []byte("package noop\n")}
				before := maps.Clone(files)
				_, got, err := proposer.ApplyPatch(c.patch, files)
				if string(files["noop/train.go"]) != string(before["noop/train.go"]) {
					t.Error("the parent's file was changed")
				}
				if c.want != "" {
					if err != nil || string(got["noop/train.go"]) != want || string(got["noop/eval.go"]) != "package noop\n" {
						t.Errorf("got %q, %v; want %q", got["noop/train.go"], err, want)
					}
					continue
				}
				if err == nil {
					t.Fatalf("got %q; want a refusal", got["noop/train.go"])
				}
				for _, words := range c.fails {
					if !strings.Contains(err.Error(), words) {
						t.Errorf("error %q does not say %q", err, words)
					}
				}
			}
		})
	}
}

// What git and diff write of a real change is taken.
func TestApplyPatchOfTools(t *testing.T) {
	dir := t.TempDir()
	want := strings.NewReplacer("// line 3\n", "", "// line 17\n", "// seventeen\n// more\n", "end\n", "END").Replace(patched)
	for name, text := range map[string]string{"noop/train.go": patched, "new/noop/train.go": want} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"git", "diff", "--no-index", "noop/train.go", "new/noop/train.go"},
		{"git", "diff", "--no-index", "-U0", "noop/train.go", "new/noop/train.go"},
		{"git", "diff", "--no-index", "--no-prefix", "--patience", "-U10", "noop/train.go", "new/noop/train.go"},
		{"diff", "-u", "noop/train.go", "new/noop/train.go"},
	} {
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Log(err)
			continue
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		patch, _ := cmd.Output() // the status says that there is a difference
		_, got, err := proposer.ApplyPatch(string(patch), map[string][]byte{"noop/train.go": []byte(patched)})
		if err != nil || string(got["noop/train.go"]) != want {
			t.Errorf("%s gives %q, %v of the patch\n%s", args, got["noop/train.go"], err, patch)
		}
	}
}

func TestPatchSubject(t *testing.T) {
	hunk := "--- a/noop/train.go\n+++ b/noop/train.go\n@@ -32 +32 @@\n-end\n+END\n"
	for patch, want := range map[string]string{
		hunk: "",
		"From 0123 Mon Sep 17\nFrom: A <a@b>\nSubject: [PATCH 1/2] widen the MLP\n by half\n\nbody\n---\n noop/train.go | 2 +-\n\n" + hunk: "widen the MLP by half",
		"Subject: [RFC] [PATCH] x\n" + hunk: "x",
	} {
		got, _, err := proposer.ApplyPatch(patch, map[string][]byte{"noop/train.go": []byte(patched)})
		if err != nil || got != want {
			t.Errorf("subject %q, %v; want %q", got, err, want)
		}
	}
}

func FuzzApplyPatch(f *testing.F) {
	f.Add(fmt.Sprintf("--- a/f.go\n+++ b/f.go\n"+hunkOfSecond, 26, 26))
	f.Add("--- a/f.go\n+++ b/f.go\n@@ -0,0 +1 @@\n+x\n\\ No newline\n")
	f.Fuzz(func(t *testing.T, patch string) {
		files := map[string][]byte{"f.go": []byte(patched)}
		_, got, err := proposer.ApplyPatch(patch, files)
		if string(files["f.go"]) != patched || err == nil && len(got) != 1 || err != nil && got != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
