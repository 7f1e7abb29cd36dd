package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// provide makes sure that all files of a data set are in the cache and whole.
func (s *Source) provide(ctx context.Context, r *remote) error {
	dir := filepath.Join(s.o.Cache, r.dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writing(dir, err)
	}
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	names := r.names()
	if !s.o.Fetch {
		return s.checkAll(dir, m, names)
	}
	base := s.o.Base
	if base == "" {
		base = BaseURL()
	}
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return bad("for example: "+BaseURLEnv+"=https://huggingface.co/datasets", "data sets are to be downloaded from %q, which is no address", base)
	}
	f := newFetcher(s.o, dir, m)
	for i, name := range names {
		if err := f.provide(ctx, name, base+"/"+r.from+"/"+name, i+1, len(names)); err != nil {
			return err
		}
	}
	return nil
}

// checkAll is for whoever must not download.
func (s *Source) checkAll(dir string, m manifest, names []string) error {
	there := 0
	for _, name := range names {
		want, ok := m.Files[name]
		got, err := sumOf(filepath.Join(dir, name))
		if !ok || err != nil {
			continue
		}
		if how := want.differs(got); how != "" {
			return bad(s.prepareHint(), "%s is damaged: %s", filepath.Join(dir, name), how)
		}
		there++
	}
	if there < len(names) {
		return bad(s.prepareHint(), "the data set %s is not prepared: %d of its %d files are in %s", s.set, there, len(names), dir)
	}
	return nil
}

func (s *Source) prepareHint() string {
	return fmt.Sprintf("fetch it with: autoresearch prepare --dataset %s", s.set)
}

// retries say how stubborn a download is.
type retries struct {
	most  int // attempts in a row that get no further
	all   int // attempts, however far they get
	wait  func(attempt int) time.Duration
	stall time.Duration // without a byte
	asked time.Duration // longest wait that a server may ask for
}

// patient gives up after about a minute without any progress.
var patient = retries{
	most: 7, all: 1000, wait: func(attempt int) time.Duration { return min(time.Second<<attempt, 30*time.Second) },
	stall: 30 * time.Second, asked: 2 * time.Minute,
}

// fetcher downloads files into a directory, one after the other. The
// caller sees to it that it is the only one.
type fetcher struct {
	dir    string
	m      manifest
	client *http.Client
	retry  retries
	free   func(string) (uint64, error)
	report func(Progress)
}

func newFetcher(o Options, dir string, m manifest) *fetcher {
	f := &fetcher{dir: dir, m: m, client: o.client, retry: patient, free: o.free, report: o.Report}
	if f.client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = patient.stall
		f.client = &http.Client{Transport: transport}
	}
	if o.retry != nil {
		f.retry = *o.retry
	}
	if f.free == nil {
		f.free = freeBytes
	}
	return f
}

// provide leaves the file in the directory, whole and written down.
func (f *fetcher) provide(ctx context.Context, name, address string, index, of int) error {
	want, known := f.m.Files[name]
	path := filepath.Join(f.dir, name)
	if got, err := sumOf(path); err == nil && known && want.differs(got) == "" {
		return nil
	}
	// It is absent, or it is not what it should be.
	part := path + ".part"
	d := &download{fetcher: f, name: name, url: address, part: part, progress: Progress{File: name, Index: index, Of: of}}
	for again := false; ; again = true {
		sum, err := d.run(ctx)
		if err != nil {
			return err
		}
		damage := d.inspect(want, &sum)
		if damage == nil {
			f.m.Files[name] = sum
			// First the sum, so that a file under its own name always has one.
			if err := f.m.write(f.dir); err != nil {
				return err
			}
			if err := os.Rename(part, path); err != nil {
				return writing(path, err)
			}
			d.forget()
			return nil
		}
		d.forget()
		_ = os.Remove(part)
		if again {
			return damage
		}
	}
}

// inspect says how a complete download is damaged. The sum of a good one is
// whole then.
func (d *download) inspect(pinned fileSum, got *fileSum) error {
	got.URL, got.Proved = d.url, d.state.SHA256 != ""
	if how := (fileSum{SHA256: d.state.SHA256}).differs(*got); how != "" {
		return trouble(mirrorHint, "what %s sends is damaged: %s, as the server itself says", d.url, how)
	}
	if how := pinned.differs(*got); how != "" {
		return trouble(fmt.Sprintf("it was changed where it comes from, or on the way; to take it as it is now, delete %s and prepare again", filepath.Join(d.dir, manifestName)),
			"%s is not the file that was downloaded first: %s", d.url, how)
	}
	err := inspectFormat(d.part, d.name)
	var e *Error
	if errors.As(err, &e) && e.Input {
		return trouble(mirrorHint, "what %s sends is damaged: %w", d.url, err)
	}
	return err
}

const mirrorHint = "try again later, or another mirror with " + BaseURLEnv

// part is what is written down about a download that is not complete.
type partState struct {
	URL       string `json:"url"`
	Validator string `json:"validator,omitempty"` // strong ETag, or Last-Modified; "" means that it cannot go on
	Bytes     int64  `json:"bytes,omitempty"`     // of the whole file; 0: not known
	SHA256    string `json:"sha256,omitempty"`    // named by the server
}

func (d *download) statePath() string { return d.part + ".json" }

// load finds what an earlier process has left.
func (d *download) load() {
	d.state, d.have = partState{}, 0
	text, err := os.ReadFile(d.statePath())
	info, statErr := os.Stat(d.part)
	var s partState
	if err != nil || statErr != nil || json.Unmarshal(text, &s) != nil || s.URL != d.url || s.Validator == "" {
		return
	}
	d.state, d.have = s, info.Size()
}

func (d *download) save() error {
	text, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	return writeWhole(d.statePath(), text)
}

func (d *download) forget() {
	d.state, d.have = partState{}, 0
	_ = os.Remove(d.statePath())
}

func freeBytes(path string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}
