package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// checkTools makes sure that the programs that every campaign runs are there.
func checkTools() error {
	for _, tool := range []struct{ name, from string }{
		{"git", "your package manager, or https://git-scm.com"},
		{"go", "https://go.dev/dl"},
	} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return failed("install it from "+tool.from, "%s is not on the PATH: campaigns need it", tool.name)
		}
	}
	return nil
}

// checkCheckout makes sure that dir lies in a git repository whose HEAD has the
// target, without changes that a candidate would silently lack. It returns the
// repository's top directory.
func checkCheckout(ctx context.Context, dir string, t target.Target) (top string, err error) {
	top, err = git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", usage("run it inside a clone of the program under research, or make one: git init && git add . && git commit",
			"%s is not inside a git repository", dir)
	}
	if _, err := git(ctx, top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err != nil {
		return "", usage("commit the program under research first: git add . && git commit", "the repository %s has no commit yet", top)
	}
	for _, path := range t.Editable() {
		if _, err := git(ctx, top, "cat-file", "-e", "HEAD:"+path); err != nil {
			return "", usage("run it in a clone of the program under research, or choose another --target",
				"target %s needs the file %s, which the last commit of %s does not have", t.Name(), path, top)
		}
	}
	return top, checkClean(ctx, top, t)
}

// checkClean refuses changes that are not committed: candidates are made from
// commits, so such changes would be left out without a word.
func checkClean(ctx context.Context, top string, t target.Target) error {
	args := append([]string{"status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--"}, t.Sources()...)
	// A home that was made inside the target is no change to it.
	args = append(args, ":(exclude,glob)**/"+experiment.HomeDir+"/**")
	changed, err := git(ctx, top, args...)
	if err != nil {
		return failed("", "look for uncommitted changes: %w", err)
	}
	if changed == "" {
		return nil
	}
	var files []string
	for entry := range strings.SplitSeq(changed, "\x00") {
		if len(entry) > 3 {
			files = append(files, entry[3:])
		}
	}
	slices.Sort(files) // a file that is staged and changed again is there twice
	files = slices.Compact(files)
	more := ""
	if len(files) > 3 {
		more = fmt.Sprintf(" and %d more", len(files)-3)
		files = files[:3]
	}
	return usage("commit them or put them away: git commit -a, or git stash -u",
		"the target has changes that are not committed: %s%s", strings.Join(files, ", "), more)
}

// git runs a git command in dir and returns its output without the last
// newline. It writes nothing, not even the index, and reads repositories of
// other users: in a container the owner is always another.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if msg := strings.TrimSpace(stderr.String()); msg != "" {
			err = errors.New(msg)
		}
		return "", err
	}
	return strings.TrimRight(stdout.String(), "\n"), nil
}
