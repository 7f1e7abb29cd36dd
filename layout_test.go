package autoresearch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The architecture as a failing test. Imports point one way:
//
//	cmd -> workers -> workflows -> activities -> activities/*
//
// and everything may import experiment. docs/architecture.md says why.

const module = "github.com/autoresearch-go/autoresearch"

// rule says what the packages in a directory, and below it, may import of this
// module. The first rule whose directory fits a package is the one that holds.
type rule struct {
	dir  string   // "" is the module's root
	may  []string // directories, with all below them
	only bool     // and nothing but those and the standard library
	why  string
}

var rules = []rule{
	{"experiment", nil, true, "experiment holds the nouns; everything imports it, so it must be a leaf of the standard library"},
	{"gpu/health", []string{"gpu"}, false, "health watches GPUs from outside; it is for workers"},
	{"gpu", []string{"gpu"}, false, "gpu is the driver: the trainer and the workers import it, so it knows neither"},
	{"trainer", []string{"trainer", "gpu"}, true, "the trainer is the program under research: it is copied, built and run as a process, and knows nothing of Temporal or of us"},
	{"workflows/record", []string{"workflows", "workers", "activities", "experiment"}, false, "the recorder drives the workflows from outside"},
	{"workflows", []string{"workflows", "activities", "experiment"}, false, "workflow code is deterministic: it takes types and method names from activities, and leaves what touches the world to them"},
	{"activities", []string{"activities", "experiment", "gpu"}, false, "activities do not know who calls them"},
	{"workers", []string{"workers", "workflows", "activities", "experiment", "gpu"}, false, "workers compose what is below them; the CLI is above"},
	{"bench", []string{"bench", "workers", "workflows", "activities", "experiment", "trainer", "gpu"}, false, "a benchmark may measure anything but the CLI"},
	{"cmd", []string{"cmd", "workers", "workflows", "activities", "experiment", "gpu"}, false, "the CLI reaches the trainer only as a process"},
	{"", nil, true, "the module's root holds no code but this test"},
}

// activityTypes is what workflow code may name of the activities: what histories
// hold. The pluggable parts below are none of its business.
const activityTypes = module + "/activities"

func TestImportsPointOneWay(t *testing.T) {
	eachPackage(t, func(dir string, files []*ast.File, names []string) {
		r := rules[slices.IndexFunc(rules, func(r rule) bool { return within(dir, r.dir) })]
		for i, f := range files {
			if strings.HasSuffix(names[i], "_test.go") {
				continue // a test may look at its package from anywhere
			}
			for _, spec := range f.Imports {
				check(t, r, path.Join(dir, names[i]), strings.Trim(spec.Path.Value, `"`))
			}
		}
	})
}

func check(t *testing.T, r rule, file, imported string) {
	local, ours := strings.CutPrefix(imported, module+"/")
	switch {
	case !ours && r.only && strings.Contains(strings.Split(imported, "/")[0], "."):
		t.Errorf("%s imports %s, but may import the standard library only: %s", file, imported, r.why)
	case ours && !slices.ContainsFunc(r.may, func(dir string) bool { return within(local, dir) }):
		t.Errorf("%s imports %s, but imports point one way (cmd -> workers -> workflows -> activities -> activities/*): %s", file, local, r.why)
	case r.dir == "workflows" && within(local, "activities") && imported != activityTypes:
		t.Errorf("%s imports %s: workflows take types and method names from package activities alone; call the activity instead", file, local)
	case within(local, "trainer") && ours && r.dir != "trainer" && r.dir != "bench":
		t.Errorf("%s imports %s: nothing imports the trainer, a target builds and runs it", file, local)
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	eachPackage(t, func(dir string, files []*ast.File, names []string) {
		code := false
		for i, f := range files {
			if strings.HasSuffix(names[i], "_test.go") {
				continue
			}
			if code = true; f.Doc != nil && len(f.Doc.Text()) > 40 {
				return
			}
		}
		if code {
			t.Errorf("package %s has no package comment: say what it is for, its main types, and how it fails", dir)
		}
	})
}

// The engine's 462 modules stay out of ours.
func TestEngineIsItsOwnModule(t *testing.T) {
	own, err := os.ReadFile("engine/go.mod")
	if err != nil || !strings.HasPrefix(string(own), "module "+module+"/engine\n") {
		t.Fatalf("engine/go.mod should declare module %s/engine (%v)", module, err)
	}
	ours, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{"go.temporal.io/server", "github.com/temporalio/ui-server"} {
		if strings.Contains(string(ours), heavy) {
			t.Errorf("go.mod requires %s: only engine/go.mod may, and the engine is built and run as a process", heavy)
		}
	}
}

// eachPackage visits every directory of this module that has Go files.
func eachPackage(t *testing.T, visit func(dir string, files []*ast.File, names []string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); dir != "." && (err == nil || d.Name() == "testdata" || strings.ContainsAny(d.Name()[:1], "._")) {
			return fs.SkipDir // another module, or none of Go's business
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(names) == 0 {
			return err
		}
		var files []*ast.File
		for i, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			files, names[i] = append(files, f), filepath.Base(name)
		}
		visit(filepath.ToSlash(dir), files, names)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// within says whether dir is root or below it; root "" holds for all.
func within(dir, root string) bool {
	return root == "" || dir == root || strings.HasPrefix(dir, root+"/")
}

// What git holds stays small: a binary that slipped into a commit stays in every
// clone for good.
func TestNothingLargeIsCommitted(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if info, err := os.Stat(name); err == nil && info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes: nothing of more than 1 MiB belongs into git; remove it, and name it in .gitignore if a build made it", name, info.Size())
		}
	}
}
