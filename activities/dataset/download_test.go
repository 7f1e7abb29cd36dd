package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

const (
	trainFile = "TinyStoriesV2-GPT4-train.txt"
	valFile   = "TinyStoriesV2-GPT4-valid.txt"
)

// stories are a data set in small.
func stories() map[string][]byte {
	var train bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&train, "\nOnce upon a time there were %d little bears.\nThey were happy.\n<|endoftext|>\n", i)
	}
	return map[string][]byte{
		trainFile: train.Bytes(),
		valFile:   []byte("One day a bear was sad.\n<|endoftext|>\nThe end came.\n<|endoftext|>\n"),
	}
}

var tiny = experiment.Dataset{Name: experiment.TinyStories}

// tinyOptions are those of a download from the origin into a fresh cache.
func tinyOptions(t *testing.T, o *origin) Options {
	return Options{Cache: t.TempDir(), Fetch: true, Base: o.URL, retry: impatient(), least: 1}
}

func write(t *testing.T, set experiment.Dataset, o Options) (Documents, error) {
	t.Helper()
	s, err := Find(set, o)
	if err != nil {
		return Documents{}, err
	}
	return s.Write(t.Context(), t.TempDir())
}

// whole checks that the cache holds what the origin has, and no rest.
func whole(t *testing.T, o *origin, cache string) {
	t.Helper()
	for name, text := range o.files {
		got, err := os.ReadFile(filepath.Join(cache, "tinystories", name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got), "%s is not what the server has", name)
	}
	rest, err := filepath.Glob(filepath.Join(cache, "tinystories", "*.part*"))
	require.NoError(t, err)
	require.Empty(t, rest)
}

// Every download ends with the right bytes, whatever happens on the way.
func TestDownloadThroughTrouble(t *testing.T) {
	const most = 150_000 // bytes of the training file, about
	for name, c := range map[string]struct {
		steps []step // the first request is for the validation file
		spans []string
	}{
		"all well": {nil, []string{"", ""}},
		"the connection breaks": {
			[]step{{}, {drop: 50_000}, {drop: 30_000}}, []string{"", "", "bytes=50000-", "bytes=80000-"}},
		"it breaks at once, but gets on now and then": {
			[]step{{}, {drop: 10}, {drop: 0, stall: false, status: 503}, {drop: 10}, {status: 500}, {drop: 10}, {status: 502}},
			[]string{"", "", "bytes=10-", "bytes=10-", "bytes=20-", "bytes=20-", "bytes=30-", "bytes=30-"}},
		"the server ignores the range": {
			[]step{{}, {drop: 50_000}, {ignoreRange: true}}, []string{"", "", "bytes=50000-"}},
		"the file changes in between": {
			[]step{{}, {drop: 50_000}, {change: func(b []byte) { b[10] = 'X' }}}, []string{"", "", "bytes=50000-"}},
		"nothing comes for a while": {
			[]step{{}, {drop: 1000, stall: true}}, []string{"", "", "bytes=1000-"}},
		"busy": {
			[]step{{status: 503, retryAfter: "0"}, {status: 429, retryAfter: "1"}}, []string{"", "", "", ""}},
		"busy until a date": {
			[]step{{status: 503, retryAfter: "Mon, 02 Jan 2006 15:04:05 GMT"}}, []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, stories())
			require.Greater(t, len(o.files[trainFile]), most)
			o.then(c.steps...)
			opts := tinyOptions(t, o)
			if name == "nothing comes for a while" {
				opts.retry.stall = 100 * time.Millisecond
			}
			d, err := write(t, tiny, opts)
			require.NoError(t, err)
			require.Equal(t, c.spans, o.spans())
			require.Equal(t, 3002, d.Documents)
			whole(t, o, opts.Cache)
			_, err = write(t, tiny, Options{Cache: opts.Cache})
			require.NoError(t, err, "without a network")
			require.Len(t, o.spans(), len(c.spans), "nothing is downloaded twice")
		})
	}
}

// What breaks off for good is kept, and the next process goes on with it.
func TestDownloadGoesOn(t *testing.T) {
	o := newOrigin(t, stories())
	o.then(step{}, step{drop: 40_000}, step{status: 503}, step{status: 503})
	opts := tinyOptions(t, o)
	_, err := write(t, tiny, opts)
	require.ErrorContains(t, err, "the server answers 503")
	require.ErrorContains(t, err, "(attempt 3)")
	require.Contains(t, hint(t, err), "run the command again")
	require.False(t, input(t, err))

	o.then(step{drop: 10}, step{drop: 10}, step{drop: 10})
	opts.retry.all = 3
	_, err = write(t, tiny, opts)
	require.ErrorContains(t, err, "the connection broke (attempt 3)", "it got further each time, but there is an end")

	opts.retry.all = 100
	before := len(o.spans())
	_, err = write(t, tiny, opts)
	require.NoError(t, err)
	require.Equal(t, []string{"bytes=40030-"}, o.spans()[before:])
	require.NotEmpty(t, o.asked[before].validator)
	whole(t, o, opts.Cache)
}

// A process that is killed leaves a part, or a whole part, or a sum without its
// file: whatever the moment, the next one ends with the right file.
func TestDownloadAfterKill(t *testing.T) {
	o := newOrigin(t, stories())
	text := o.files[trainFile]
	good := tinyOptions(t, o)
	_, err := write(t, tiny, good)
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(good.Cache, "tinystories", manifestName))
	require.NoError(t, err)
	url := o.URL + "/roneneldan/TinyStories/resolve/main/" + trainFile
	state := func(tag string) []byte {
		b, err := json.Marshal(partState{URL: url, Validator: tag, Bytes: int64(len(text))})
		require.NoError(t, err)
		return b
	}
	tag := `"` + sumText(text)[:8] + `"`
	for name, left := range map[string]struct {
		files map[string][]byte
		span  string // that is asked for
	}{
		"a part":                    {map[string][]byte{".part": text[:999], ".part.json": state(tag)}, "bytes=999-"},
		"a part of another version": {map[string][]byte{".part": text[:999], ".part.json": state(`"old"`)}, "bytes=999-"},
		"a part without its state":  {map[string][]byte{".part": text[:999]}, ""},
		"a state without its part":  {map[string][]byte{".part.json": state(tag)}, ""},
		"a state that is cut off":   {map[string][]byte{".part": text[:999], ".part.json": state(tag)[:20]}, ""},
		"a part that is whole":      {map[string][]byte{".part": text, ".part.json": state(tag)}, fmt.Sprintf("bytes=%d-", len(text))},
		"a part that is too long":   {map[string][]byte{".part": append(bytes.Clone(text), 'x'), ".part.json": state(tag)}, fmt.Sprintf("bytes=%d-", len(text)+1)},
		"a damaged file":            {map[string][]byte{"": text[:5000]}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			opts := tinyOptions(t, o)
			dir := filepath.Join(opts.Cache, "tinystories")
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), sums, 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(dir, valFile), o.files[valFile], 0o644))
			for suffix, b := range left.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, trainFile+suffix), b, 0o644))
			}
			before := len(o.spans())
			_, err := write(t, tiny, opts)
			require.NoError(t, err)
			require.Equal(t, left.span, o.spans()[before])
			whole(t, o, opts.Cache)
		})
	}
}

// A server that cannot say whether the file is the same is asked for all of it.
func TestDownloadWithoutValidator(t *testing.T) {
	o := newOrigin(t, stories())
	o.plain = true
	o.then(step{}, step{drop: 40_000})
	opts := tinyOptions(t, o)
	_, err := write(t, tiny, opts)
	require.NoError(t, err)
	require.Equal(t, []string{"", "", ""}, o.spans())
	whole(t, o, opts.Cache)
}

// A sum that the server names is checked: damage is noticed, the file is
// fetched once more, and then it is an error.
func TestDownloadDamaged(t *testing.T) {
	o := newOrigin(t, stories())
	o.named = true
	o.then(step{}, step{flip: 70_000})
	opts := tinyOptions(t, o)
	_, err := write(t, tiny, opts)
	require.NoError(t, err)
	require.Equal(t, []string{"", "", ""}, o.spans())
	whole(t, o, opts.Cache)
	m, err := readManifest(filepath.Join(opts.Cache, "tinystories"))
	require.NoError(t, err)
	require.True(t, m.Files[trainFile].Proved)
	require.Equal(t, sumText(o.files[trainFile]), m.Files[trainFile].SHA256)

	opts = tinyOptions(t, o)
	o.then(step{}, step{flip: 70_000}, step{flip: 80_000})
	_, err = write(t, tiny, opts)
	require.ErrorContains(t, err, "is damaged: its sha256 is ")
	require.ErrorContains(t, err, "as the server itself says")
	require.Contains(t, hint(t, err), BaseURLEnv)
	_, err = write(t, tiny, Options{Cache: opts.Cache})
	require.ErrorContains(t, err, "not prepared: 1 of its 2 files")
}

// A part of one file is not completed with the end of another.
func TestDownloadSpliced(t *testing.T) {
	o := newOrigin(t, stories())
	o.named = true
	o.then(step{}, step{drop: 40_000, flip: 10})
	opts := tinyOptions(t, o)
	_, err := write(t, tiny, opts)
	require.NoError(t, err)
	require.Equal(t, []string{"", "", "bytes=40000-", ""}, o.spans(), "the damage in the first part is found at the end")
	whole(t, o, opts.Cache)
}

// From the first use on a file is what it was.
func TestDownloadIsPinned(t *testing.T) {
	o := newOrigin(t, stories())
	opts := tinyOptions(t, o)
	_, err := write(t, tiny, opts)
	require.NoError(t, err)
	path := filepath.Join(opts.Cache, "tinystories", trainFile)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[1234] ^= 1
	require.NoError(t, os.WriteFile(path, text, 0o644))

	_, err = write(t, tiny, Options{Cache: opts.Cache})
	require.ErrorContains(t, err, path+" is damaged: its sha256 is ")
	require.Equal(t, "fetch it with: autoresearch prepare --dataset tinystories", hint(t, err))

	_, err = write(t, tiny, opts)
	require.NoError(t, err, "it is fetched again")
	whole(t, o, opts.Cache)

	o.then(step{change: func(b []byte) { b[0] = 'X' }})
	require.NoError(t, os.Remove(path))
	_, err = write(t, tiny, opts)
	require.ErrorContains(t, err, "is not the file that was downloaded first")
	require.Contains(t, hint(t, err), manifestName)
	require.NoError(t, os.Remove(filepath.Join(opts.Cache, "tinystories", manifestName)))
	_, err = write(t, tiny, opts)
	require.NoError(t, err, "as the hint says")
}

func TestDownloadRefused(t *testing.T) {
	for name, c := range map[string]struct {
		step       step
		want, hint string
	}{
		"absent":       {step{status: 404}, "there is no http", "may have moved"},
		"gone":         {step{status: 410}, "there is no http", "may have moved"},
		"forbidden":    {step{status: 403}, "may not be downloaded", "--dataset PATH"},
		"unauthorized": {step{status: 401}, "may not be downloaded", BaseURLEnv},
		"a teapot":     {step{status: 418}, "the server answers 418", BaseURLEnv},
		"a login page": {step{kind: "text/html; charset=utf-8"}, "is a web page", "proxy"},
		"wait an hour": {step{status: 503, retryAfter: "3600"}, "asks to wait 1h0m0s", "run the command again"},
		"not a text":   {step{flip: 1}, "is damaged: it is not a text", BaseURLEnv},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, stories())
			if name == "not a text" {
				o.files[valFile] = bytes.Repeat([]byte{0x1f, 0x8b, 0}, 100)
			}
			o.then(c.step)
			_, err := write(t, tiny, tinyOptions(t, o))
			require.ErrorContains(t, err, c.want)
			require.Contains(t, hint(t, err), c.hint)
			require.LessOrEqual(t, len(o.spans()), 2)
		})
	}
	for _, base := range []string{"ftp://x/y", "nowhere", "http://"} {
		_, err := write(t, tiny, Options{Cache: t.TempDir(), Fetch: true, Base: base})
		require.ErrorContains(t, err, "no address")
	}
	o := tinyOptions(t, newOrigin(t, nil))
	o.Base = "http://127.0.0.1:1"
	_, err := write(t, tiny, o)
	require.ErrorContains(t, err, "connection refused (attempt 3)")
}

// More than the file has came; no length was given, so it looked complete.
func TestDownloadOfUnknownLength(t *testing.T) {
	o := newOrigin(t, stories())
	o.then(step{}, step{extra: "<|endoftext|>\nnot of the file"})
	o.named = true
	opts := tinyOptions(t, o)
	_, err := write(t, tiny, opts)
	require.NoError(t, err)
	require.Len(t, o.spans(), 3)
	whole(t, o, opts.Cache)
}

func TestDownloadIntoABadPlace(t *testing.T) {
	o := newOrigin(t, stories())
	opts := tinyOptions(t, o)
	opts.free = func(string) (uint64, error) { return 1 << 20, nil }
	_, err := write(t, tiny, opts)
	require.ErrorContains(t, err, "only 1.0 MB are free in "+opts.Cache)
	require.Contains(t, hint(t, err), "--home DIR")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	opts = tinyOptions(t, o)
	opts.Cache = file
	_, err = write(t, tiny, opts)
	require.ErrorContains(t, err, "writing "+file)

	full := "/dev/full" // a device that has no space left
	d := &download{fetcher: newFetcher(opts, t.TempDir(), manifest{}), part: full}
	err = d.write(t.Context(), strings.NewReader("x"), 0, time.NewTimer(time.Hour))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "the disk is full")

	require.True(t, input(t, writing("/x", &os.PathError{Err: syscall.EROFS})))
	require.ErrorContains(t, writing("/x", os.ErrPermission), "writing /x: permission denied")
}

// Ctrl-C in the middle keeps what is there.
func TestDownloadInterrupted(t *testing.T) {
	o := newOrigin(t, stories())
	o.then(step{}, step{drop: 60_000, stall: true})
	opts := tinyOptions(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	opts.Report = func(p Progress) {
		if p.File == trainFile && p.Done > 0 {
			cancel()
		}
	}
	s, err := Find(tiny, opts)
	require.NoError(t, err)
	_, err = s.Write(ctx, t.TempDir())
	require.ErrorIs(t, err, context.Canceled)
	info, err := os.Stat(filepath.Join(opts.Cache, "tinystories", trainFile+".part"))
	require.NoError(t, err)
	require.Positive(t, info.Size())
}

func TestKeyOfDownloads(t *testing.T) {
	o := newOrigin(t, stories())
	opts := tinyOptions(t, o)
	s, err := Find(tiny, opts)
	require.NoError(t, err)
	_, known := s.Key()
	require.False(t, known)
	_, err = s.Write(t.Context(), t.TempDir())
	require.NoError(t, err)
	key, known := s.Key()
	require.True(t, known)
	require.NoError(t, os.Remove(filepath.Join(opts.Cache, "tinystories", trainFile)))
	again, known := s.Key()
	require.True(t, known, "what it was is written down")
	require.Equal(t, key, again)

	o.files[trainFile] = append(o.files[trainFile], "Other stories."...)
	other := tinyOptions(t, o)
	s, err = Find(tiny, other)
	require.NoError(t, err)
	_, err = s.Write(t.Context(), t.TempDir())
	require.NoError(t, err)
	again, _ = s.Key()
	require.NotEqual(t, key, again)
}

func TestProgressLines(t *testing.T) {
	for want, p := range map[string]Progress{
		"download: 1.5 MB of 3.0 MB, 50%, 500 kB/s, 3s left (a.txt)": {File: "a.txt", Of: 1, Done: 1_500_000, Total: 3_000_000, Rate: 500_000},
		"download 2 of 11: 12 B (a.txt)":                             {File: "a.txt", Index: 2, Of: 11, Done: 12},
		"download: the connection broke; again in 4s (a.txt)":        {File: "a.txt", Why: "the connection broke", Waiting: 4 * time.Second},
		"reading 1 of 2 (a.txt)":                                     {File: "a.txt", Index: 1, Of: 2, Reading: true},
		"download: 2.50 GB (a.txt)":                                  {File: "a.txt", Done: 2_500_000_000},
	} {
		require.Equal(t, want, p.String())
	}
	var m meter
	now := time.Unix(1000, 0)
	for i := range 100 {
		rate, tell := m.tick(now.Add(time.Duration(i)*100*time.Millisecond), int64(i)*1000)
		require.Equal(t, i%2 == 0, tell)
		if tell && i > 0 {
			require.InDelta(t, 10_000, rate, 1)
		}
	}
}

func TestBaseURL(t *testing.T) {
	t.Setenv(BaseURLEnv, "")
	t.Setenv("HF_ENDPOINT", "")
	require.Equal(t, "https://huggingface.co/datasets", BaseURL())
	t.Setenv("HF_ENDPOINT", "https://mirror.example.org/")
	require.Equal(t, "https://mirror.example.org/datasets", BaseURL())
	t.Setenv(BaseURLEnv, "http://localhost:1/d/")
	require.Equal(t, "http://localhost:1/d", BaseURL())
}

func TestNamedSum(t *testing.T) {
	sum := sumText([]byte("x"))
	require.Equal(t, sum, namedSum(http.Header{"X-Linked-Etag": {`"` + sum + `"`}}))
	require.Equal(t, sumText([]byte("hello")), namedSum(http.Header{"Repr-Digest": {"sha-512=:AAAA:, sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"}}))
	for _, h := range []http.Header{{"Etag": {`"` + sum + `"`}}, {"X-Linked-Etag": {`"0f4e3a"`}}, {"Repr-Digest": {"sha-256=:!:"}}, {}} {
		require.Empty(t, namedSum(h))
	}
}

func hint(t *testing.T, err error) string {
	t.Helper()
	var e *Error
	require.True(t, errors.As(err, &e), "%v", err)
	return e.Hint()
}

func input(t *testing.T, err error) bool {
	t.Helper()
	var e *Error
	require.True(t, errors.As(err, &e), "%v", err)
	return e.Input
}

// What a server answers to the wish for the rest of a file is not believed
// blindly.
func TestDownloadAnswers(t *testing.T) {
	fresh := func() *download {
		d := &download{fetcher: newFetcher(Options{retry: impatient(), Report: func(Progress) {}}, t.TempDir(), manifest{}), have: 10, state: partState{Validator: `"1"`, Bytes: 100}}
		d.part = filepath.Join(d.dir, "a.part")
		return d
	}
	for span, want := range map[string]int64{
		"bytes 10-99/100": 10, "bytes 0-99/100": 0, "bytes 10-98/99": 0, "bytes 10-99/*": 0, "": 0, "lines 10-99/100": 0,
	} {
		resp := &http.Response{StatusCode: http.StatusPartialContent, Header: http.Header{"Content-Range": {span}}}
		d := fresh()
		from, err := d.accept(resp, resp.Header)
		require.Equal(t, want, from, span)
		require.Equal(t, want == 0, err != nil, span)
		require.Equal(t, want, d.have, "%q: what does not fit is given up", span)
	}
	d := fresh()
	err := d.write(t.Context(), strings.NewReader("short"), 10, time.NewTimer(time.Hour))
	require.ErrorContains(t, err, "the connection broke", "its end came early, without an error")
	require.Equal(t, int64(15), d.have)
	d = fresh()
	err = d.write(t.Context(), strings.NewReader(strings.Repeat("x", 91)), 10, time.NewTimer(time.Hour))
	require.ErrorContains(t, err, "more came than the file has")
	require.Zero(t, d.have)
}
