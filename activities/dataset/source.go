package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// Options say where data sets come from and what may be done to get them.
type Options struct {
	Cache  string         // directory of downloads, which are kept
	Fetch  bool           // download what is not there; else that is an error
	Report func(Progress) // told a few times a second what is being done; nil is nobody
	Base   string         // address that the names of downloads are relative to; "" is BaseURL()

	client *http.Client                     // nil: one of our own
	retry  *retries                         // nil: patient ones
	least  int64                            // bytes to train on; 0: minTrainBytes
	free   func(dir string) (uint64, error) // free bytes; nil asks the system
}

// Source is a data set that has been found, but not read.
type Source struct {
	set experiment.Dataset
	o   Options
}

// Find looks a data set up. A path has to exist.
func Find(set experiment.Dataset, o Options) (*Source, error) {
	if o.Report == nil {
		o.Report = func(Progress) {}
	}
	if o.least == 0 {
		o.least = minTrainBytes
	}
	if set.Path != "" {
		if _, err := os.Stat(set.Path); err != nil {
			return nil, reading(set.Path, err)
		}
	} else if remoteOf(set) == nil {
		return nil, bad("", "the data set %s has no files", set)
	}
	return &Source{set, o}, nil
}

// Key is what the documents are made from, where that is known without reading
// it: downloads are. Equal keys give equal documents.
func (s *Source) Key() (string, bool) {
	r := remoteOf(s.set)
	if r == nil {
		return "", false
	}
	m, err := readManifest(filepath.Join(s.o.Cache, r.dir))
	if err != nil {
		return "", false
	}
	h := sha256.New()
	for _, name := range r.names() {
		sum, ok := m.Files[name]
		if !ok {
			return "", false
		}
		fmt.Fprintf(h, "%s %s %d\n", name, sum.SHA256, importVersion)
	}
	return hex.EncodeToString(h.Sum(nil)), true
}

// Look finds what is wrong without reading all of it: a path without text, a
// parquet file that is cut off, a download that is not there and must not be
// fetched. What it does not see, Write does.
func (s *Source) Look(ctx context.Context) error {
	if r := remoteOf(s.set); r != nil {
		if _, known := s.Key(); known || s.o.Fetch {
			return nil
		}
		return s.provide(ctx, r)
	}
	var out LeftOut
	list, err := walk(ctx, s.set.Path, &out)
	if err != nil {
		return err
	}
	text, packed := int64(0), false
	for _, f := range list {
		text += f.bytes
		if f.as == parquetFile {
			packed = true // its text may be many times as long
			if err := lookAtParquet(f.path); err != nil {
				return err
			}
		}
	}
	if text < s.o.least && !packed {
		return bad(wantHint, "%s has only %d bytes of text: at least %d are needed to train on", s.set.Path, text, s.o.least)
	}
	return nil
}

// importVersion changes when the same files give other documents: 2 brought the
// audit documents.
const importVersion = 2

// Write makes the documents in dir, which exists. What has to be downloaded is
// downloaded first.
func (s *Source) Write(ctx context.Context, dir string) (Documents, error) {
	var d Documents
	var err error
	if r := remoteOf(s.set); r == nil {
		d, err = s.writePath(ctx, dir)
	} else if err = s.provide(ctx, r); err == nil {
		d, err = s.writeRemote(ctx, r, dir)
	}
	if err != nil {
		return Documents{}, err
	}
	if info, err := os.Stat(d.Train); err == nil && info.Size() < s.o.least {
		return Documents{}, bad(wantHint, "%s has only %d bytes to train on, in %s: at least %d are needed",
			s.set, info.Size(), counted(d.Documents, "document", "documents"), s.o.least)
	}
	return d, nil
}

// writePath reads the files of the user's own and splits their documents.
func (s *Source) writePath(ctx context.Context, dir string) (Documents, error) {
	var c Count
	list, err := walk(ctx, s.set.Path, &c.LeftOut)
	if err != nil {
		return Documents{}, err
	}
	p, err := newPool(filepath.Join(dir, "pool.docs"), &c)
	if err != nil {
		return Documents{}, err
	}
	defer os.Remove(p.out.path)
	if err := s.readAll(ctx, list, &c, p.add); err != nil {
		return Documents{}, errors.Join(err, p.out.close())
	}
	out, err := newFiles(dir)
	if err != nil {
		return Documents{}, err
	}
	if err := p.split(out); err != nil {
		return Documents{}, fmt.Errorf("%s: %w", s.set.Path, err)
	}
	return out.done(filepath.Base(s.set.Path), c)
}

// writeRemote reads the files of a data set that brings its own validation
// text, of which the beginning is enough; what comes next is for the audit.
func (s *Source) writeRemote(ctx context.Context, r *remote, dir string) (Documents, error) {
	out, err := newFiles(dir)
	if err != nil {
		return Documents{}, err
	}
	var c, val, audit Count
	at := func(name string) found {
		path := filepath.Join(s.o.Cache, r.dir, name)
		as := plainText
		if strings.HasSuffix(name, ".parquet") {
			as = parquetFile
		}
		return found{path: path, as: as}
	}
	var list []found
	for _, name := range r.train {
		list = append(list, at(name))
	}
	if err := s.readAll(ctx, list, &c, adder(&c, out.train)); err != nil {
		return Documents{}, err
	}
	enough := errors.New("enough")
	addVal, addAudit := adder(&val, out.val), adder(&audit, out.audit)
	err = s.readAll(ctx, []found{at(r.val)}, &val, func(doc []byte) error {
		switch {
		case val.Bytes < valBytes:
			return addVal(doc)
		case audit.Bytes < valBytes:
			return addAudit(doc)
		}
		return enough
	})
	if err != nil && !errors.Is(err, enough) {
		return Documents{}, err
	}
	c.Files += val.Files
	c.Documents += val.Documents + audit.Documents
	c.Bytes += val.Bytes + audit.Bytes
	return out.done(s.set.String(), c)
}

// adder writes the documents that can be used.
func adder(c *Count, w *writer) func([]byte) error {
	return func(doc []byte) error {
		if !c.usable(doc) {
			return nil
		}
		return w.add(doc)
	}
}

// readAll calls emit for all documents of the files.
func (s *Source) readAll(ctx context.Context, list []found, c *Count, emit func([]byte) error) error {
	for i, f := range list {
		c.Files++
		s.o.Report(Progress{Reading: true, File: filepath.Base(f.path), Index: i + 1, Of: len(list)})
		err := eachDocument(f.path, f.as, func(doc []byte) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return emit(doc)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
