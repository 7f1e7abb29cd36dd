package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/target"
	"github.com/autoresearch-go/autoresearch/activities/target/filelock"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The build cache of one host, below Home.Build(digest):
//
//	src/            the source archive, unpacked
//	candidate/      what Target.Build made for a role: program(outDir, role)
//	candidate.log   the compiler's output
//
// Each of them appears by rename, so what stands there is whole. The cache may
// be deleted at any time: everything in it is made again from the artifact store.

// keptBuilds bounds the cache: a campaign of 1,000 experiments would otherwise
// leave 1,000 binaries. The least recently used go first; the evaluator is
// used by every experiment and so stays.
const keptBuilds = 32

// sourceKey is the artifact key of a source archive. No tag starts with an
// underscore, so no campaign can be in the way.
func sourceKey(digest string) string { return "_sources/" + digest + ".tar" }

// programPath is where Target.Build leaves the program of a role. The name is
// the role's, whatever the target.
func programPath(outDir string, role target.Role) string { return filepath.Join(outDir, string(role)) }

// buildLog is where the compiler's output of the last build lies.
func buildLog(home experiment.Home, digest string, role target.Role) string {
	return filepath.Join(home.Build(digest), string(role)+".log")
}

// build returns the program of a role, built on this host from the source
// archive with this digest. It builds once, whatever the number of processes
// that ask; the failure is the candidate's, the error ours.
func build(ctx context.Context, home experiment.Home, store artifact.Store, t target.Target, digest string, role target.Role) (program string, failure *experiment.Failure, err error) {
	dir := home.Build(digest)
	outDir := filepath.Join(dir, string(role))
	unlock, err := lockBuild(ctx, dir, digest)
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	if !isDir(outDir) {
		src, err := unpackedSource(ctx, dir, store, digest)
		if err != nil {
			return "", nil, err
		}
		if failure, err := compile(ctx, t, role, src, outDir); failure != nil || err != nil {
			return "", failure, err
		}
		pruneBuilds(filepath.Dir(dir))
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // "used": pruneBuilds goes by it
	return programPath(outDir, role), nil, nil
}

// lockBuild lets one process at a time work on a digest. Locks are shared by
// digests with the same first byte, so that their number is bounded.
func lockBuild(ctx context.Context, dir, digest string) (unlock func(), err error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the build directory: %w", err)
	}
	return filelock.Lock(ctx, filepath.Join(filepath.Dir(dir), ".lock-"+digest[:2]))
}

// unpackedSource fetches and unpacks the source archive unless it is there.
func unpackedSource(ctx context.Context, dir string, store artifact.Store, digest string) (string, error) {
	src := filepath.Join(dir, "src")
	if isDir(src) {
		return src, nil
	}
	archive, err := readArtifact(ctx, store, sourceKey(digest))
	if err != nil {
		return "", fmt.Errorf("fetching the sources %s: %w", short(digest), err)
	}
	if got := digestOf(archive); got != digest {
		return "", fmt.Errorf("the source archive %s is damaged: its sha256 is %s; delete the artifact %s and start the experiment again", short(digest), short(got), sourceKey(digest))
	}
	return src, makeDir(src, func(tmp string) error { return unpack(tmp, archive) })
}

// compile builds into a directory that appears whole.
func compile(ctx context.Context, t target.Target, role target.Role, src, outDir string) (failure *experiment.Failure, err error) {
	log, err := os.Create(outDir + ".log")
	if err != nil {
		return nil, fmt.Errorf("opening the build log: %w", err)
	}
	defer log.Close()
	err = makeDir(outDir, func(tmp string) error {
		failure, err = t.Build(ctx, role, src, tmp, log)
		if err == nil && failure != nil {
			return errNotBuilt
		}
		return err
	})
	if failure != nil {
		return failure, nil
	}
	if err != nil {
		return nil, fmt.Errorf("building the %s of target %s: %w", role, t.Name(), err)
	}
	return nil, nil
}

// pruneBuilds keeps the cache below keptBuilds directories.
func pruneBuilds(root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return // only space is lost
	}
	used := map[string]time.Time{}
	var dirs []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			dirs, used[e.Name()] = append(dirs, e.Name()), info.ModTime()
		}
	}
	sort.Slice(dirs, func(i, j int) bool { return used[dirs[i]].After(used[dirs[j]]) })
	for _, name := range dirs[min(keptBuilds, len(dirs)):] {
		_ = os.RemoveAll(filepath.Join(root, name))
	}
}
