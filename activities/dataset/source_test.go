package dataset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// allDocs reads the documents of all splits.
func allDocs(t *testing.T, d Documents) []string {
	t.Helper()
	all := append(docsOf(t, d.Train), docsOf(t, d.Val)...)
	if d.Audit != "" {
		all = append(all, docsOf(t, d.Audit)...)
	}
	return all
}

// docsOf splits a file of documents.
func docsOf(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, len(b) == 0 || b[len(b)-1] == 0, "the last document has no end")
	var docs []string
	for part := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00"), "\x00") {
		docs = append(docs, part)
	}
	return docs
}

// tree writes files below a fresh directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mine")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

func fromPath(t *testing.T, path string) (Documents, error) {
	t.Helper()
	return write(t, experiment.Dataset{Path: path}, Options{least: 1})
}

// story is a document of its own.
func story(i int) string { return fmt.Sprintf("Story %d.\n\nIt has %d bears.\n", i, i*i) }

func TestDirectory(t *testing.T) {
	files := map[string]string{
		"empty.txt": "", "blank.md": " \n\n", "zero.txt": "a" + strings.Repeat("b", sampleBytes) + "\x00c", "copy.txt": story(3),
		"picture.png": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "archive.gz": "\x1f\x8b\x08\x00\x00",
		".hidden": "x", ".git/config": "x", "latin1.txt": strings.Repeat("Das hei\xdft nicht viel. ", 20),
	}
	for i := range 200 {
		files[fmt.Sprintf("sub/%d/story.txt", i)] = story(i)
	}
	dir := tree(t, files)
	require.NoError(t, os.Symlink("copy.txt", filepath.Join(dir, "link.txt")))
	d, err := fromPath(t, dir)
	require.NoError(t, err)
	require.Equal(t, "mine", d.Name)
	require.Equal(t, 201, d.Documents)
	require.Equal(t, LeftOut{Empty: 2, Zero: 1, Copies: 1, NoText: 2, Hidden: 2, Links: 1}, d.LeftOut)
	require.Equal(t, "left out: 2 empty documents, 1 document with a zero byte, 1 copy, 2 files without text, 2 hidden files, 1 link", d.LeftOut.String())

	train, val, audit := docsOf(t, d.Train), docsOf(t, d.Val), docsOf(t, d.Audit)
	require.Len(t, allDocs(t, d), 201)
	require.InDelta(t, 20, len(val), 12)
	require.InDelta(t, 20, len(audit), 12)
	all := map[string]bool{}
	for _, doc := range allDocs(t, d) {
		require.False(t, all[doc], "a document stands twice")
		all[doc] = true
	}
	for i := range 200 {
		require.True(t, all[story(i)], "story %d is lost", i)
	}

	// The names and places of files decide nothing.
	moved := map[string]string{"latin1.txt": files["latin1.txt"]}
	for i := range 200 {
		moved[fmt.Sprintf("%d", 1000-i)] = story(i)
	}
	again, err := fromPath(t, tree(t, moved))
	require.NoError(t, err)
	require.Equal(t, val, docsOf(t, again.Val))
	require.Equal(t, audit, docsOf(t, again.Audit))
	require.ElementsMatch(t, train, docsOf(t, again.Train))
	require.NotEqual(t, d.Digest, again.Digest, "the order is another")

	same, err := fromPath(t, dir)
	require.NoError(t, err)
	require.Equal(t, d.Digest, same.Digest)
}

func TestSplitTakesATenth(t *testing.T) {
	for name, c := range map[string]struct {
		docs, bytes int
		least, most int // bytes for validation, and as many for the audit
		audit       bool
	}{
		"two":   {2, 100, 101, 101, false},
		"three": {3, 100, 101, 101, false},
		"four":  {4, 100, 101, 101, true},
		"few":   {20, 1000, 2002, 2002, true},
		"many":  {2000, 500, 100_000, 101_000, true},
		"huge":  {4000, 5000, valBytes, valBytes + 10_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for i := range c.docs {
				doc := fmt.Sprintf("%d ", i)
				text.WriteString(doc + strings.Repeat("x", c.bytes-len(doc)) + endOfText)
			}
			d, err := fromPath(t, tree(t, map[string]string{"all.txt": text.String()})+"/all.txt")
			require.NoError(t, err)
			held := []string{d.Val}
			if require.Equal(t, c.audit, d.Audit != ""); c.audit {
				held = append(held, d.Audit)
			}
			for _, path := range held {
				info, err := os.Stat(path)
				require.NoError(t, err)
				require.GreaterOrEqual(t, int(info.Size()), c.least)
				require.LessOrEqual(t, int(info.Size()), c.most)
			}
			require.Equal(t, c.docs, d.Documents)
			require.Equal(t, int64(c.docs*c.bytes), d.Bytes)
		})
	}
}

// documents collects what a text is taken for.
func documents(t *testing.T, text string) []string {
	t.Helper()
	var docs []string
	require.NoError(t, eachText(strings.NewReader(text), func(doc []byte) error {
		docs = append(docs, string(doc))
		return nil
	}))
	return docs
}

func TestTextBecomesDocuments(t *testing.T) {
	paragraph := strings.Repeat("Word after word.", 63) + "\n"
	long := strings.Repeat(paragraph+"\n", 200) // 200 kB
	line := strings.Repeat("\u00e4", 100_000)   // no place to cut but between characters
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":       {"", []string{""}},
		"one":           {"a\n\nb\n", []string{"a\n\nb\n"}},
		"marked":        {"one\n<|endoftext|>\n\ntwo\n<|endoftext|>", []string{"one", "two"}},
		"last unmarked": {"one<|endoftext|>\ntwo\n", []string{"one", "two"}},
		"empty ones":    {"<|endoftext|>\n<|endoftext|>x", []string{"", "", "x"}},
		"at the limit":  {strings.Repeat("x", maxDocument), []string{strings.Repeat("x", maxDocument)}},
		"marker across the limit": {
			strings.Repeat("x", maxDocument-3) + endOfText + "y", []string{strings.Repeat("x", maxDocument-3), "y"}},
		"marker behind the limit": {
			strings.Repeat("x", maxDocument) + endOfText + "y", []string{strings.Repeat("x", maxDocument), "y"}},
	} {
		require.Equal(t, c.want, documents(t, c.text), name)
	}
	for name, text := range map[string]string{"paragraphs": long, "one line": line, "spaces": strings.Repeat("word ", 50_000), "bytes": strings.Repeat("\x80", 200_000)} {
		docs := documents(t, text)
		require.Equal(t, text, strings.Join(docs, ""), "%s: nothing is lost", name)
		require.Greater(t, len(docs), 2)
		for i, doc := range docs[:len(docs)-1] {
			require.LessOrEqual(t, len(doc), maxDocument)
			require.GreaterOrEqual(t, len(doc), maxDocument/2)
			switch name {
			case "paragraphs":
				require.True(t, strings.HasSuffix(doc, "\n\n"), "piece %d ends within a paragraph", i)
			case "spaces":
				require.True(t, strings.HasSuffix(doc, " "))
			case "one line":
				require.True(t, strings.HasSuffix(doc, "\u00e4") && strings.HasPrefix(doc, "\u00e4"), "piece %d splits a character", i)
			}
		}
		var again []string
		require.NoError(t, eachPiece([]byte(text), func(doc []byte) error { again = append(again, string(doc)); return nil }))
		require.Equal(t, text, strings.Join(again, ""))
	}
}

func TestJSONL(t *testing.T) {
	lines := func(text string) string {
		var b strings.Builder
		for i := range 50 {
			fmt.Fprintf(&b, text+"\n", i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"text":        lines(`{"id":"%[1]d","text":"line\n%[1]d \u00e4"}`),
		"only string": lines(`{"n":1,"story":"line\n%d \u00e4"}`),
		"blank lines": lines("\n" + `{"text":"line\n%d \u00e4"}` + "\n"),
	} {
		d, err := fromPath(t, tree(t, map[string]string{"a.jsonl": text})+"/a.jsonl")
		require.NoError(t, err, name)
		require.Equal(t, 50, d.Documents)
		require.Contains(t, allDocs(t, d), "line\n7 ä")
	}
	for text, want := range map[string]string{
		`{"text":"a"}` + "\n" + `{"text":`: "a.jsonl, line 2: unexpected end",
		`["a"]`:                            "line 1: json: cannot unmarshal array",
		`{"a":"x","b":"y"}`:                "none of the columns a, b is called text",
		`{"a":1,"b":null}`:                 "no column is text; the columns are a, b",
		`{}`:                               "there is no column",
	} {
		_, err := fromPath(t, tree(t, map[string]string{"a.jsonl": text}))
		require.ErrorContains(t, err, want)
		require.True(t, input(t, err))
	}
}

// rows of parquet files.
type (
	textRow struct {
		ID   int64  `parquet:"id"`
		Text string `parquet:"text,zstd,dict"`
		URL  string `parquet:"url"`
	}
	storyRow struct {
		Story *string `parquet:"story,optional,snappy"`
		Score float64 `parquet:"score"`
	}
	twoRow struct {
		Title string `parquet:"title"`
		Body  string `parquet:"body"`
	}
	numberRow struct {
		N    int64    `parquet:"n"`
		Tags []string `parquet:"tags,list"`
	}
)

func parquetOf[T any](t *testing.T, rows []T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shard.parquet")
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.PageBufferSize(4096), parquet.MaxRowsPerRowGroup(300))
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

func textRows(n int) []textRow {
	rows := make([]textRow, n)
	for i := range rows {
		rows[i] = textRow{int64(i), story(i), "https://example.org"}
	}
	return rows
}

func TestParquet(t *testing.T) {
	d, err := fromPath(t, parquetOf(t, textRows(1000)))
	require.NoError(t, err)
	require.Equal(t, 1000, d.Documents)
	all := allDocs(t, d)
	for i := range 1000 {
		require.Contains(t, all, story(i))
	}
	rows := make([]storyRow, 40)
	for i := range rows {
		if text := story(i); i%2 == 0 {
			rows[i].Story = &text
		}
	}
	d, err = fromPath(t, parquetOf(t, rows))
	require.NoError(t, err)
	require.Equal(t, 20, d.Documents, "rows without a text are none")

	big := ""
	for i := range 5000 {
		big += fmt.Sprintf("Sentence %d of a story that is as long as a book. ", i) // 250 kB
	}
	d, err = fromPath(t, parquetOf(t, []textRow{{1, big, ""}}))
	require.NoError(t, err)
	require.Equal(t, 1+len(big)/maxDocument, d.Documents, "it is cut")
	require.Equal(t, int64(len(big)), d.Bytes)
}

func TestParquetThatCannotBeUsed(t *testing.T) {
	_, err := fromPath(t, parquetOf(t, []twoRow{{"a", "b"}}))
	require.ErrorContains(t, err, "shard.parquet: none of the columns body, title is called text")
	require.Contains(t, hint(t, err), "rename the column")
	_, err = fromPath(t, parquetOf(t, []numberRow{{1, []string{"a"}}}))
	require.ErrorContains(t, err, "no column is text; the columns are n, tags")

	whole, err := os.ReadFile(parquetOf(t, textRows(2000)))
	require.NoError(t, err)
	damage := func(b []byte) string {
		return filepath.Join(tree(t, map[string]string{"x.parquet": string(b)}), "x.parquet")
	}
	for _, n := range []int{1, 8, 11, 12, 100, len(whole) / 2, len(whole) - 8, len(whole) - 1} {
		_, err := fromPath(t, damage(whole[:n]))
		require.ErrorContains(t, err, "x.parquet is no whole parquet file", "%d of %d bytes", n, len(whole))
		require.True(t, input(t, err))
		require.Contains(t, hint(t, err), "cut off or damaged")
	}
	_, err = fromPath(t, damage([]byte("Not parquet at all, in spite of its name.\n")))
	require.ErrorContains(t, err, "no whole parquet file")

	// A bit that turns anywhere in the column of the text is noticed, or does no
	// harm: pages have checksums.
	var want []string
	read := func(path string) (docs []string, err error) {
		err = eachParquet(path, func(doc []byte) error { docs = append(docs, string(doc)); return nil })
		return docs, err
	}
	want, err = read(damage(whole))
	require.NoError(t, err)
	noticed, from, to := 0, 0, 0
	const places = 100
	from, to = textPlace(t, whole)
	for i := range places {
		b := bytes.Clone(whole)
		b[from+i*(to-from)/places] ^= 4
		got, err := read(damage(b))
		if err == nil {
			require.Equal(t, want, got, "damage at byte %d", from+i*(to-from)/places)
			continue
		}
		require.ErrorContains(t, err, "no whole parquet file")
		noticed++
	}
	t.Logf("%d of %d damages noticed", noticed, places)
	require.Greater(t, noticed, places*8/10)
}

// textPlace is where the first pages of the column "text" lie.
func textPlace(t *testing.T, b []byte) (from, to int) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	for _, c := range f.Metadata().RowGroups[0].Columns {
		if m := c.MetaData; m.PathInSchema[0] == "text" {
			from = int(m.DataPageOffset)
			if m.DictionaryPageOffset > 0 {
				from = int(m.DictionaryPageOffset)
			}
			return from, from + int(m.TotalCompressedSize)
		}
	}
	require.Fail(t, "no column text")
	return 0, 0
}

func TestPathsThatCannotBeUsed(t *testing.T) {
	dir := tree(t, map[string]string{
		"empty.txt": "", "one.txt": "Only this.\n", "binary.txt": "a\x00b", "utf16.txt": "\xff\xfea\x00b\x00",
		"none/x.png": "\x89PNG\x00", "nothing/.hidden": "x", "copies/a": "same", "copies/b": "same",
	})
	for name, want := range map[string]string{
		"missing.txt": "there is no " + dir + "/missing.txt",
		"empty.txt":   "empty.txt is empty",
		"one.txt":     "there is too little to train and to validate on: 1 document, 11 bytes of text",
		"binary.txt":  "binary.txt is not a text",
		"utf16.txt":   "utf16.txt is not a text",
		"none":        "none has no file of text, .jsonl or .parquet (left out: 1 file without text)",
		"nothing":     "nothing has no file of text, .jsonl or .parquet (left out: 1 hidden file)",
		"copies":      "1 document, 4 bytes of text",
		"one.txt/x":   "there is no " + dir + "/one.txt/x",
	} {
		_, err := fromPath(t, filepath.Join(dir, name))
		require.ErrorContains(t, err, want)
		require.True(t, input(t, err), name)
		require.NotEmpty(t, hint(t, err), name)
	}
	_, err := Find(experiment.Dataset{Name: experiment.GoSource}, Options{})
	require.Error(t, err)
}

func TestPathsThatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 {
		err := reading("/secret", &os.PathError{Op: "open", Path: "/secret", Err: os.ErrPermission})
		require.ErrorContains(t, err, "/secret cannot be read: permission denied")
		require.Contains(t, hint(t, err), "chmod")
		require.True(t, input(t, err))
		return
	}
	dir := tree(t, map[string]string{"a.txt": "text", "b/c.txt": "text"})
	require.NoError(t, os.Chmod(filepath.Join(dir, "a.txt"), 0))
	_, err := fromPath(t, dir)
	require.ErrorContains(t, err, "a.txt cannot be read: permission denied")
}

// A look finds what can be seen without reading everything.
func TestLook(t *testing.T) {
	whole, err := os.ReadFile(parquetOf(t, textRows(100)))
	require.NoError(t, err)
	dir := tree(t, map[string]string{
		"small.txt": "Only this.\n", "empty.txt": "", "enough.txt": strings.Repeat("text\n", 20_000),
		"good/a.parquet": string(whole), "cut/a.parquet": string(whole[:len(whole)-5]), "cut/enough.txt": strings.Repeat("text\n", 20_000),
	})
	for name, want := range map[string]string{
		"enough.txt": "", "good": "", "small.txt": "has only 11 bytes of text: at least 65536", "empty.txt": "is empty",
		"cut": "cut/a.parquet is no whole parquet file",
	} {
		s, err := Find(experiment.Dataset{Path: filepath.Join(dir, name)}, Options{})
		require.NoError(t, err)
		if err := s.Look(t.Context()); want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
			require.True(t, input(t, err))
		}
	}
	for fetch, want := range map[bool]bool{true: true, false: false} {
		s, err := Find(tiny, Options{Cache: t.TempDir(), Fetch: fetch, Base: "http://127.0.0.1:1"})
		require.NoError(t, err)
		require.Equal(t, want, s.Look(t.Context()) == nil)
	}
	_, err = write(t, experiment.Dataset{Path: filepath.Join(dir, "good")}, Options{})
	require.ErrorContains(t, err, "to train on, in 100 documents: at least 65536 are needed")
}

// The data sets that bring their own validation text keep it apart, and only
// its beginning is needed.
func TestOwnValidation(t *testing.T) {
	o := newOrigin(t, map[string][]byte{})
	for i := range 3 {
		rows := textRows(100)
		for j := range rows {
			rows[j].Text = fmt.Sprintf("shard %d, %s", i, rows[j].Text)
		}
		b, err := os.ReadFile(parquetOf(t, rows))
		require.NoError(t, err)
		o.files[fmt.Sprintf("shard_%05d.parquet", i)] = b
	}
	long := make([]textRow, 60)
	for i := range long {
		long[i].Text = fmt.Sprintf("val %d %s", i, strings.Repeat("y", 50_000))
	}
	b, err := os.ReadFile(parquetOf(t, long))
	require.NoError(t, err)
	o.files["shard_06542.parquet"] = b
	from, to := textPlace(t, o.files["shard_00000.parquet"])
	damage := step{flip: (from + to) / 2}
	o.then(step{}, damage) // within a page of a shard, without a sum from the server
	opts := tinyOptions(t, o)
	d, err := write(t, experiment.Dataset{Name: experiment.ClimbMix, Shards: 2}, opts)
	require.NoError(t, err)
	require.Equal(t, "climbmix:2", d.Name)
	require.Equal(t, 3, d.Files)
	require.Len(t, docsOf(t, d.Train), 200)
	require.Len(t, docsOf(t, d.Val), valBytes/50_000+1)
	require.Len(t, docsOf(t, d.Audit), valBytes/50_000+1)
	require.True(t, strings.HasPrefix(docsOf(t, d.Audit)[0], "val 11 "))
	require.Equal(t, "shard 0, "+story(0), docsOf(t, d.Train)[0])
	require.Len(t, o.spans(), 4, "the damaged shard was fetched again")

	// More shards of the same set use what is there.
	_, err = write(t, experiment.Dataset{Name: experiment.ClimbMix, Shards: 3}, Options{Cache: opts.Cache, least: 1})
	require.ErrorContains(t, err, "the data set climbmix:3 is not prepared: 3 of its 4 files are in ")
	require.Equal(t, "fetch it with: autoresearch prepare --dataset climbmix:3", hint(t, err))
	_, err = write(t, experiment.Dataset{Name: experiment.ClimbMix, Shards: 3}, opts)
	require.NoError(t, err)
	require.Len(t, o.spans(), 5)

	o.then(step{}, damage, damage)
	_, err = write(t, experiment.Dataset{Name: experiment.ClimbMix, Shards: 1}, tinyOptions(t, o))
	require.ErrorContains(t, err, "is damaged")
	require.ErrorContains(t, err, "no whole parquet file")
}

func TestWritingToAFullDisk(t *testing.T) {
	w, err := newWriter("/dev/full")
	require.NoError(t, err)
	for range 3000 { // more than its buffer
		if err = w.add(make([]byte, 1000)); err != nil {
			break
		}
	}
	require.ErrorContains(t, err, "writing /dev/full: the disk is full")
	require.False(t, input(t, err))
	require.Error(t, w.close())
}
