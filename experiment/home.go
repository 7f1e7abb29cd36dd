package experiment

import (
	"fmt"
	"path/filepath"
)

// Home is the directory that holds all that a campaign leaves behind:
// .autoresearch in the working directory, or $AUTORESEARCH_HOME.
type Home string

// HomeDir is the default name of a home inside a working directory.
const HomeDir = ".autoresearch"

func (h Home) join(parts ...string) string {
	return filepath.Join(append([]string{string(h)}, parts...)...)
}

// Repo is the bare git repository with every candidate.
func (h Home) Repo() string { return h.join("repo.git") }

// Artifacts is the root of the file artifact store.
func (h Home) Artifacts() string { return h.join("artifacts") }

// Results is the table of a campaign.
func (h Home) Results(tag string) string { return h.join("results", tag+".tsv") }

// Cache holds what can be made again: data sets, builds, the Go build cache.
func (h Home) Cache() string { return h.join("cache") }

// Data is where the data set with this fingerprint lies: train/ and val/.
func (h Home) Data(fingerprint string) string { return h.join("cache", "data", fingerprint) }

// Downloads is where data sets are kept as they were downloaded.
func (h Home) Downloads() string { return h.join("cache", "downloads") }

// Build is where the source archive with this digest is unpacked and built.
func (h Home) Build(digest string) string { return h.join("cache", "build", digest) }

// GoCache is the Go build cache of candidates.
func (h Home) GoCache() string { return h.join("cache", "go-build") }

// Run is the directory of one attempt at a training run. Each revision of an
// experiment trains something else, so none finds the attempts of another.
func (h Home) Run(tag string, n, revision, run, attempt int) string {
	name := fmt.Sprintf("%04d-%d-%d", n, run, attempt)
	if revision > 0 {
		name = fmt.Sprintf("%04d-%d-rev-%d-%d", n, run, revision, attempt)
	}
	return h.join("runs", tag, name)
}

// Lock is held by the one research worker of the home.
func (h Home) Lock() string { return h.join("research.lock") }

// Log is where the worker of `up` writes what does not belong on a terminal.
func (h Home) Log() string { return h.join("worker.log") }

// Key is the artifact key of a file of experiment n: "mar5/0007/name".
func Key(tag string, n int, name string) string { return fmt.Sprintf("%s/%04d/%s", tag, n, name) }

// CampaignKey is the artifact key of a file of the whole campaign.
func CampaignKey(tag, name string) string { return tag + "/" + name }
