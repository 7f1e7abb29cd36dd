package repo

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// View returns the home's repository for reading alone: nothing is made, and
// nothing written, so that a copy on a disk that is read-only does. The error is
// os.ErrNotExist where there is none.
func View(home string) (*Repo, error) {
	dir, err := filepath.Abs(home)
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "objects"))
	}
	if err != nil {
		return nil, fmt.Errorf("opening the repository %s: %w", home, err)
	}
	// The owner of a copy is somebody else. Hooks and monitors are off.
	return &Repo{dir: dir, git: git{at: []string{"--git-dir=" + dir, "-c", "safe.directory=*"}, config: os.DevNull}}, nil
}

// Commit is what a commit says of itself.
type Commit struct {
	Parents []string
	Message string
	Whole   bool // its content gives its name; git does not look when it reads
}

// batch is how much of a repository one git command reads: its answer is held
// in memory.
const batch = 500

// Commits reads commits, those that are there.
func (r *Repo) Commits(ctx context.Context, ids []string) (map[string]Commit, error) {
	all := map[string]Commit{}
	for part := range slices.Chunk(ids, batch) {
		err := r.git.objects(ctx, part, func(name, kind string, text []byte) {
			if kind == "commit" {
				c := parseCommit(string(text))
				c.Whole = objectName(kind, text, len(name)) == name
				all[name] = c
			}
		})
		if err != nil {
			return nil, fmt.Errorf("reading %d commits: %w", len(part), err)
		}
	}
	return all, nil
}

func parseCommit(text string) (c Commit) {
	head, message, _ := strings.Cut(text, "\n\n")
	c.Message = message
	for line := range strings.Lines(head) {
		if id, ok := strings.CutPrefix(line, "parent "); ok {
			c.Parents = append(c.Parents, strings.TrimSpace(id))
		}
	}
	return c
}

// objectName is the name that git gives to an object, by SHA-1 or SHA-256.
func objectName(kind string, text []byte, digits int) string {
	h := sha1.New()
	if digits == 2*sha256.Size {
		h = sha256.New()
	}
	fmt.Fprintf(h, "%s %d\x00", kind, len(text))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// objects reads objects by name, in order. One that is not there has no kind.
func (g git) objects(ctx context.Context, names []string, each func(name, kind string, text []byte)) error {
	out, err := g.run(ctx, call{args: []string{"cat-file", "--batch"}, stdin: strings.NewReader(strings.Join(names, "\n") + "\n")})
	if err != nil {
		return err
	}
	r := bufio.NewReader(bytes.NewReader(out))
	for _, name := range names {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("git ends before %s: the repository is damaged: git fsck tells more", name)
		}
		f := strings.Fields(strings.TrimPrefix(line, name))
		size, sizeErr := strconv.Atoi(lastOf(f))
		if sizeErr != nil { // "<name> missing", or ambiguous
			each(name, "", nil)
			continue
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(r, text); err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return err
		}
		each(name, f[len(f)-2], text)
	}
	return nil
}

func lastOf(words []string) string {
	if len(words) < 2 {
		return ""
	}
	return words[len(words)-1]
}

// Change is what a commit changes in its parent.
type Change struct {
	Files []Changed
	Patch []byte // as Diff gives it
}

// Changed is one file of a change.
type Changed struct {
	Path string
	// Edited says that it is a regular file before and after, with the same
	// permissions.
	Edited bool
}

// separator stands before each change in git's output.
const separator = "autoresearch-change-9d41c2 "

// Changes compares commits with given parents: pairs of a commit and a parent,
// all of which must be there. It gives what Diff gives, for thousands of them in
// the time of a few.
func (r *Repo) Changes(ctx context.Context, pairs [][2]string, each func(commit string, c Change)) error {
	for part := range slices.Chunk(pairs, batch) {
		var in strings.Builder
		for _, p := range part {
			fmt.Fprintln(&in, p[0], p[1])
		}
		out, err := r.git.run(ctx, call{
			args:  []string{"diff-tree", "--stdin", "-r", "--raw", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--binary", "--always", "--format=" + separator + "%H"},
			stdin: strings.NewReader(in.String()),
		})
		if err != nil {
			return fmt.Errorf("comparing %d commits with their parents: %w", len(part), err)
		}
		sections := bytes.Split(append([]byte("\n"), out...), []byte("\n"+separator))
		if len(sections) != len(part)+1 {
			return fmt.Errorf("comparing %d commits with their parents: git gave %d answers", len(part), len(sections)-1)
		}
		for i, s := range sections[1:] {
			last := i == len(part)-1
			each(part[i][0], parseChange(s, last))
		}
	}
	return nil
}

// parseChange reads a section: the commit, raw lines, an empty line, the patch.
// The split has taken the last line's end from all but the last.
func parseChange(section []byte, last bool) (c Change) {
	_, rest, _ := bytes.Cut(section, []byte("\n"))
	if !last {
		rest = append(slices.Clone(rest), '\n')
	}
	rest = bytes.TrimPrefix(rest, []byte("\n"))
	for bytes.HasPrefix(rest, []byte(":")) {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		meta, path, _ := strings.Cut(string(line), "\t")
		f := strings.Fields(meta)
		edited := len(f) == 5 && f[4] == "M" && f[0][1:] == f[1] && entry{mode: f[1]}.regular()
		c.Files = append(c.Files, Changed{Path: path, Edited: edited})
	}
	c.Patch = bytes.TrimPrefix(rest, []byte("\n"))
	return c
}

// Packer gives the digests of the archives of commits that differ from a base
// in a few files only, without packing the others again.
type Packer struct {
	repo  *Repo
	files []string  // those that may differ
	head  hash.Hash // of all entries before the first of files
	tail  []packed
}

type packed struct {
	entry
	content []byte
}

// Packer reads the files of base at or below the paths. Files are the paths of
// those that may differ.
func (r *Repo) Packer(ctx context.Context, base string, paths, files []string) (*Packer, error) {
	entries, err := r.sources(ctx, base, paths)
	if err != nil {
		return nil, err
	}
	contents, err := r.git.contents(ctx, entries)
	if err != nil {
		return nil, err
	}
	p := &Packer{repo: r, files: files, head: sha256.New()}
	w := tar.NewWriter(p.head)
	for i, e := range entries {
		if len(p.tail) > 0 || slices.Contains(files, e.path) {
			p.tail = append(p.tail, packed{e, contents[i]})
		} else if err := pack(w, e, contents[i]); err != nil {
			return nil, err
		}
	}
	return p, w.Flush()
}

// Digests gives the sha256 of what Archive would make of commits, of those that
// have the files.
func (p *Packer) Digests(ctx context.Context, commits []string, each func(commit, digest string)) error {
	for part := range slices.Chunk(commits, batch/4) {
		var names []string
		for _, c := range part {
			for _, f := range p.files {
				names = append(names, c+":"+f)
			}
		}
		found := map[string][]byte{}
		err := p.repo.git.objects(ctx, names, func(name, kind string, text []byte) {
			if kind == "blob" {
				found[name] = text
			}
		})
		if err != nil {
			return fmt.Errorf("reading the files of %d commits: %w", len(part), err)
		}
		for _, c := range part {
			if digest, ok := p.digest(c, found); ok {
				each(c, digest)
			}
		}
	}
	return nil
}

func (p *Packer) digest(commit string, found map[string][]byte) (digest string, ok bool) {
	clone, err := p.head.(hash.Cloner).Clone()
	if err != nil {
		return "", false
	}
	w := tar.NewWriter(clone)
	for _, e := range p.tail {
		content := e.content
		if slices.Contains(p.files, e.path) {
			if content, ok = found[commit+":"+e.path]; !ok {
				return "", false
			}
		}
		if pack(w, e.entry, content) != nil {
			return "", false
		}
	}
	if w.Close() != nil {
		return "", false
	}
	return hex.EncodeToString(clone.Sum(nil)), true
}

// pack writes one file of an archive: name, content and execute bit, nothing
// that differs between machines or days.
func pack(w *tar.Writer, e entry, content []byte) error {
	h := tar.Header{Typeflag: tar.TypeReg, Name: e.path, Size: int64(len(content)), Mode: 0o644, ModTime: time.Unix(0, 0)}
	if e.mode == modeExec {
		h.Mode = 0o755
	}
	err := w.WriteHeader(&h)
	if err == nil {
		_, err = w.Write(content)
	}
	if err != nil {
		return fmt.Errorf("packing %s: %w", e.path, err)
	}
	return nil
}
