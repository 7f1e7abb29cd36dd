package dataset

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// download is one file on its way.
type download struct {
	*fetcher
	name, url, part string
	progress        Progress

	state partState
	have  int64 // bytes in part that belong to state
	meter meter
}

// again is why an attempt failed that is worth another one.
type again struct {
	why   string
	after time.Duration // that the server asks for
	err   error
}

func (a *again) Error() string { return a.why }
func (a *again) Unwrap() error { return a.err }

// run downloads until part is complete, and returns what it is. It gives up
// after some attempts in a row that get no further than those before.
func (d *download) run(ctx context.Context) (fileSum, error) {
	d.load()
	furthest := d.have
	for all, failed := 1, 0; ; all++ {
		err := d.attempt(ctx)
		if err == nil {
			sum, err := sumOf(d.part)
			return sum, reading(d.part, err)
		}
		var a *again
		if !errors.As(err, &a) || ctx.Err() != nil {
			return fileSum{}, err
		}
		if failed++; d.have > furthest {
			furthest, failed = d.have, 1
		}
		if failed >= d.retry.most || all >= d.retry.all {
			return fileSum{}, trouble("run the command again when the network is better: what is there already is kept",
				"downloading %s: %w (attempt %d)", d.url, a, all)
		}
		if a.after > d.retry.asked {
			return fileSum{}, trouble("run the command again then: what is there already is kept", "downloading %s: %w, and asks to wait %v", d.url, a, a.after)
		}
		wait := max(d.retry.wait(failed-1), a.after)
		d.tell(Progress{Why: a.why, Waiting: wait, Done: d.have})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fileSum{}, context.Cause(ctx)
		}
	}
}

// tell reports, with what is the same all the time.
func (d *download) tell(p Progress) {
	p.File, p.Index, p.Of, p.Total = d.progress.File, d.progress.Index, d.progress.Of, d.state.Bytes
	d.report(p)
}

// attempt asks for the file, or for the rest of it, and writes what comes.
func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(d.retry.stall, func() { cancel(fmt.Errorf("no byte for %v", d.retry.stall)) })
	defer stalled.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return bad(BaseURLEnv+" names where data sets are downloaded from", "the address %s cannot be used: %w", d.url, err)
	}
	req.Header.Set("User-Agent", "autoresearch")
	req.Header.Set("Accept-Encoding", "identity") // lengths are those of the file
	if d.state.Validator == "" {
		d.have = 0 // it may be another file by now
	}
	if d.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		req.Header.Set("If-Range", d.state.Validator)
	}
	var linked http.Header
	client := *d.client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if linked == nil { // what the data set's own server says, before it sends us to a mirror
			linked = next.Response.Header
		}
		switch {
		case len(via) >= 10:
			return errors.New("too many redirects")
		case via[0].URL.Scheme == "https" && next.URL.Scheme != "https":
			return errors.New("redirected to an address that is not encrypted")
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return d.broken(ctx, err)
	}
	defer resp.Body.Close()
	if linked == nil {
		linked = resp.Header
	}
	offset, err := d.accept(resp, linked)
	if err != nil || offset < 0 {
		return err
	}
	return d.write(ctx, resp.Body, offset, stalled)
}

// broken is a connection that failed, worth another attempt unless the user
// has stopped us.
func (d *download) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return cause
		}
		err = cause
	}
	why := err
	var u *url.Error
	var op *net.OpError
	if errors.As(why, &u) {
		why = u.Err
	}
	if errors.As(why, &op) {
		why = op.Err
	}
	if errors.Is(why, io.ErrUnexpectedEOF) || errors.Is(why, io.EOF) {
		why = errors.New("the connection broke")
	}
	return &again{why: why.Error(), err: err}
}

// accept reads the head of an answer, and says where its body belongs. It is
// negative when the file is complete already.
func (d *download) accept(resp *http.Response, linked http.Header) (int64, error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return 0, d.begin(resp, linked)
	case code == http.StatusPartialContent && d.have > 0:
		from, total, ok := contentRange(resp)
		if sum := namedSum(linked); ok && from == d.have && (d.state.Bytes == 0 || total == d.state.Bytes) && (sum == "" || sum == d.state.SHA256) {
			return d.have, nil
		}
		d.forget() // it is another file by now
		return 0, &again{why: "the file has changed, and is started again"}
	case code == http.StatusRequestedRangeNotSatisfiable && d.have > 0:
		if _, total, ok := contentRange(resp); ok && total == d.have && total == d.state.Bytes {
			return -1, nil
		}
		d.forget()
		return 0, &again{why: "the file has changed, and is started again"}
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		return 0, &again{why: "the server answers " + resp.Status, after: retryAfter(resp)}
	case code == http.StatusNotFound, code == http.StatusGone:
		return 0, trouble("the data set may have moved: look for it, and name its place with "+BaseURLEnv+", or download it by hand and use --dataset PATH",
			"there is no %s: the server answers %s", d.url, resp.Status)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return 0, trouble("it may need an account or a proxy: download it by hand and use --dataset PATH, or name a mirror with "+BaseURLEnv,
			"%s may not be downloaded: the server answers %s", d.url, resp.Status)
	}
	return 0, trouble("name another place with "+BaseURLEnv+", or download it by hand and use --dataset PATH", "downloading %s: the server answers %s", d.url, resp.Status)
}

// begin takes an answer that holds the whole file.
func (d *download) begin(resp *http.Response, linked http.Header) error {
	if kind := resp.Header.Get("Content-Type"); strings.HasPrefix(kind, "text/html") {
		return trouble("a proxy or a login page may be in the way; or name another place with "+BaseURLEnv, "%s is a web page, not a file of the data set", d.url)
	}
	d.forget()
	if err := os.Truncate(d.part, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return writing(d.part, err)
	}
	d.state = partState{URL: d.url, Validator: validator(resp), Bytes: max(0, resp.ContentLength), SHA256: namedSum(linked)}
	if n, err := strconv.ParseInt(linked.Get("X-Linked-Size"), 10, 64); err == nil && d.state.Bytes == 0 {
		d.state.Bytes = n
	}
	if free, err := d.free(d.dir); err == nil && uint64(d.state.Bytes)+keepFree > free {
		return trouble(diskHint, "%s has %s, and only %s are free in %s", d.name, size(d.state.Bytes), size(int64(free)), d.dir)
	}
	return d.save()
}

// keepFree is left on the disk for everybody else.
const keepFree = 64 << 20

// write puts a body where it belongs.
func (d *download) write(ctx context.Context, body io.Reader, offset int64, stalled *time.Timer) error {
	f, err := os.OpenFile(d.part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return writing(d.part, err)
	}
	d.have, d.meter = offset, meter{}
	buffer := make([]byte, 256<<10)
	for err == nil {
		n, readErr := body.Read(buffer)
		if n > 0 {
			stalled.Reset(d.retry.stall)
			if _, err := f.WriteAt(buffer[:n], d.have); err != nil {
				return errors.Join(writing(d.part, err), f.Close())
			}
			d.have += int64(n)
			if rate, tell := d.meter.tick(time.Now(), d.have); tell {
				d.tell(Progress{Done: d.have, Rate: rate})
			}
		}
		err = readErr
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return writing(d.part, err)
	}
	switch {
	case err != io.EOF:
		return d.broken(ctx, err)
	case d.state.Bytes > 0 && d.have < d.state.Bytes:
		return d.broken(ctx, io.ErrUnexpectedEOF)
	case d.state.Bytes > 0 && d.have > d.state.Bytes:
		d.forget()
		return &again{why: "more came than the file has"}
	}
	d.tell(Progress{Done: d.have})
	return nil
}

// validator is what tells later whether the file is still the same: by the
// rules of If-Range a strong ETag, or a date.
func validator(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return resp.Header.Get("Last-Modified")
}

var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// namedSum is the SHA-256 that the server gives for the whole file: Hugging
// Face's header for large files, or the digest field of RFC 9530. An ETag is
// none, whatever it looks like.
func namedSum(h http.Header) string {
	if tag := strings.ToLower(strings.Trim(h.Get("X-Linked-Etag"), `"`)); hexSum.MatchString(tag) {
		return tag
	}
	for _, field := range strings.Split(h.Get("Repr-Digest"), ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(field), "sha-256=:"); ok {
			if sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(value, ":")); err == nil && len(sum) == 32 {
				return hex.EncodeToString(sum)
			}
		}
	}
	return ""
}

var rangeForm = regexp.MustCompile(`^bytes (?:(\d+)-\d+|\*)/(\d+)$`)

// contentRange reads where a part begins, and how long the whole is.
func contentRange(resp *http.Response) (from, total int64, ok bool) {
	m := rangeForm.FindStringSubmatch(resp.Header.Get("Content-Range"))
	if m == nil {
		return 0, 0, false
	}
	from, _ = strconv.ParseInt(m[1], 10, 64)
	total, err := strconv.ParseInt(m[2], 10, 64)
	return from, total, err == nil
}

// retryAfter is how long the server asks to wait, in seconds or as a date.
func retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(0, n)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// inspectFormat reads a download as far as it takes to see that it is whole:
// parquet to its end, since its pages carry checksums.
func inspectFormat(path, name string) error {
	if filepath.Ext(name) == ".parquet" {
		return eachParquet(path, func([]byte) error { return nil })
	}
	as, err := formatOf(path)
	if err == nil && as == noText {
		err = bad("", "it is not a text")
	}
	return err
}
