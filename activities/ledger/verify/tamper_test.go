package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/autoresearch-go/autoresearch/activities/artifact"
	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify/verifytest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// vandal changes a copy of a home.
type vandal struct {
	t    testing.TB
	home experiment.Home
}

func (v vandal) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v vandal) path(name string) string { return filepath.Join(string(v.home), name) }

func (v vandal) read(name string) string {
	v.t.Helper()
	b, err := os.ReadFile(v.path(name))
	v.must(err)
	return string(b)
}

func (v vandal) write(name, text string) {
	v.t.Helper()
	v.must(os.WriteFile(v.path(name), []byte(text), 0o644))
}

// replace changes text in a file, which must have it.
func (v vandal) replace(name, old, new string) {
	v.t.Helper()
	text := v.read(name)
	if !strings.Contains(text, old) {
		v.t.Fatalf("%s has no %q:\n%s", name, old, text)
	}
	v.write(name, strings.Replace(text, old, new, 1))
}

func (v vandal) remove(name string) {
	v.t.Helper()
	v.must(os.Remove(v.path(name)))
}

// git works on a repository of the vandal's own.
func (v vandal) git(args ...string) string {
	v.t.Helper()
	if from, err := os.Readlink(v.home.Repo()); err == nil {
		v.must(os.Remove(v.home.Repo()))
		v.must(os.CopyFS(v.home.Repo(), os.DirFS(from)))
	}
	cmd := exec.Command("git", append([]string{"--git-dir", v.home.Repo(), "-c", "user.name=u", "-c", "user.email=u@x"}, args...)...)
	out, err := cmd.Output()
	v.must(err)
	return strings.TrimSpace(string(out))
}

func result(n int) string { return "artifacts/" + experiment.Key(tag, n, "result.json") }

// result reads a decision, change changes it.
func (v vandal) result(n int) (r experiment.Result) {
	v.t.Helper()
	v.must(json.Unmarshal([]byte(v.read(result(n))), &r))
	return r
}

func (v vandal) change(n int, how func(r *experiment.Result)) {
	v.t.Helper()
	r := v.result(n)
	how(&r)
	b, err := json.MarshalIndent(r, "", "  ")
	v.must(err)
	v.write(result(n), string(b)+"\n")
}

// all reads the decisions in their order.
func (v vandal) all() (all []experiment.Result) {
	v.t.Helper()
	l := ledger.Ledger{Home: v.home, Store: artifact.NewFile(v.home.Artifacts())}
	all, err := l.Results(v.t.Context(), tag)
	v.must(err)
	return all
}

// rechain makes the links of all decisions again, and the table: what somebody
// can do who knows this program and has no key.
func (v vandal) rechain() {
	v.t.Helper()
	before := ledger.Digest([]byte(v.read("artifacts/" + tag + "/campaign.json")))
	all := v.all()
	for _, r := range all {
		v.change(r.Experiment, func(r *experiment.Result) { r.Previous = before })
		before = ledger.Digest([]byte(v.read(result(r.Experiment))))
	}
	v.write("results/"+tag+".tsv", string(ledger.Table(v.all())))
}

// The numbers of the campaign: #1 and #2 are kept, #3 does not build, #4 is
// worse, the loss of #5 is no number, #6 is kept.
var tampers = []struct {
	what    string
	do      func(v vandal)
	file    string // that a finding names
	problem string // what it says of it
}{
	{"a score", func(v vandal) {
		v.change(2, func(r *experiment.Result) { *r.ValBpb -= 0.1; r.Incumbent.ValBpb -= 0.1 })
	}, result(2), "it is not what it was"},
	{"a score, seen by the policy", func(v vandal) {
		v.change(2, func(r *experiment.Result) { *r.ValBpb -= 0.1 })
	}, result(2), "decides otherwise from what is recorded: val_bpb"},
	{"the last score", func(v vandal) { v.change(6, func(r *experiment.Result) { *r.ValBpb -= 0.1 }) }, result(6), "decides otherwise"},
	{"a measurement", func(v vandal) {
		v.change(4, func(r *experiment.Result) { r.Measurements[0].ValBpb = 1.5 })
	}, result(4), "is not that of evaluation.json: val_bpb"},
	{"charged time", func(v vandal) {
		v.change(1, func(r *experiment.Result) { r.Measurements[0].ChargedSeconds = 1; r.Sum() })
	}, result(1), "is not that of run-0.json: charged_seconds"},
	{"a sum", func(v vandal) { v.change(1, func(r *experiment.Result) { r.Tokens++ }) }, result(1), "sums are not those"},
	{"a verdict", func(v vandal) {
		v.change(4, func(r *experiment.Result) { r.Verdict, r.Reason = experiment.Keep, experiment.Improved })
	}, result(4), "decides otherwise"},
	{"the noise", func(v vandal) {
		v.change(1, func(r *experiment.Result) { r.Noise.StdDev /= 10 })
	}, result(1), "decides otherwise from what is recorded: noise.sd"},
	{"a seed, for a lucky one", func(v vandal) {
		v.change(6, func(r *experiment.Result) { r.Measurements[0].Seed = 7 })
	}, result(6), "the seed of run 0 is 7, and the campaign's seed gives"},
	{"a seed that was used before", func(v vandal) {
		v.change(6, func(r *experiment.Result) { r.Measurements[0].Seed = v.result(2).Measurements[0].Seed })
	}, result(6), "was used before, in " + result(2)},
	{"two results", func(v vandal) {
		one, two := v.read(result(1)), v.read(result(2))
		v.write(result(1), two)
		v.write(result(2), one)
	}, result(1), "it is the decision on experiment 2"},
	{"two results, numbers too", func(v vandal) {
		one, two := v.result(1), v.result(2)
		v.change(1, func(r *experiment.Result) { *r = two; r.Experiment, r.Sequence, r.Previous = 1, 1, one.Previous })
		v.change(2, func(r *experiment.Result) { *r = one; r.Experiment, r.Sequence, r.Previous = 2, 2, two.Previous })
	}, result(1), "it is not what it was: " + result(2)},
	{"the order of two decisions", func(v vandal) {
		v.change(3, func(r *experiment.Result) { r.Sequence = 4 })
		v.change(4, func(r *experiment.Result) { r.Sequence = 3 })
	}, result(4), "it is not what it was"},
	{"one decision twice", func(v vandal) {
		v.change(4, func(r *experiment.Result) { r.Sequence = 3 })
	}, result(4), "it is decision 3, and so is " + result(3)},
	{"the last decision away", func(v vandal) { v.remove(result(6)) }, "results/mar5.tsv", "it has 7 rows, and 6 decisions are stored"},
	{"a middle decision away", func(v vandal) { v.remove(result(3)) }, result(4), "it is decision 4, and decision 3 is missing"},
	{"the middle closed up", func(v vandal) {
		v.remove(result(3))
		for n := 4; n <= 6; n++ {
			v.change(n, func(r *experiment.Result) { r.Sequence-- })
		}
	}, result(2), "it is not what it was: " + result(4)},
	{"the baseline away", func(v vandal) { v.remove(result(0)) }, result(1), "decision 0 is missing"},
	{"a decision that is no JSON", func(v vandal) { v.write(result(5), "{") }, result(5), "it cannot be read"},
	{"a link", func(v vandal) {
		v.change(6, func(r *experiment.Result) { r.Previous = "" })
	}, result(6), "it has no link to the decision before it"},
	{"a patch", func(v vandal) {
		v.replace("artifacts/mar5/0001/candidate.patch", "0.015", "0.016")
	}, "artifacts/mar5/0001/candidate.patch", "it is not the change from"},
	{"a patch and its digest", func(v vandal) {
		v.replace("artifacts/mar5/0006/candidate.patch", "SSSL", "SSSS")
		v.change(6, func(r *experiment.Result) {
			r.Patch = ledger.Digest([]byte(v.read("artifacts/mar5/0006/candidate.patch")))
		})
	}, "artifacts/mar5/0006/candidate.patch", "it is not the change from"},
	{"a ref", func(v vandal) {
		v.git("update-ref", experiment.CandidateRef(tag, 4), v.result(1).Commit)
	}, "repo.git refs/experiments/mar5/0004", "it is at"},
	{"a ref away", func(v vandal) {
		v.git("update-ref", "-d", experiment.CandidateRef(tag, 4))
	}, "repo.git refs/experiments/mar5/0004", "it is at nothing"},
	{"the branch", func(v vandal) {
		v.git("update-ref", "refs/heads/autoresearch/mar5", v.result(1).Commit)
	}, "repo.git refs/heads/autoresearch/mar5", "and the incumbent is"},
	{"the repository away", func(v vandal) { v.must(os.RemoveAll(v.home.Repo())) }, "repo.git", "there is no repository"},
	{"another candidate", func(v vandal) {
		other := v.git("commit-tree", "-p", v.result(6).Parent, "-m", "mine", v.result(1).Commit+"^{tree}")
		v.git("update-ref", experiment.CandidateRef(tag, 6), other)
		v.change(6, func(r *experiment.Result) { r.Commit = other })
	}, "repo.git refs/experiments/mar5/0006", "was made for another experiment"},
	{"another candidate, well made", func(v vandal) {
		message := v.git("log", "-1", "--format=%B", v.result(6).Commit)
		other := v.git("commit-tree", "-p", v.result(6).Parent, "-m", message, v.result(1).Commit+"^{tree}")
		v.git("update-ref", experiment.CandidateRef(tag, 6), other)
		v.change(6, func(r *experiment.Result) { r.Commit = other })
	}, result(6), "it trained the sources"},
	{"another parent", func(v vandal) {
		v.change(6, func(r *experiment.Result) { r.Parent = v.result(4).Commit })
	}, result(6), "its parent is"},
	{"results.tsv", func(v vandal) {
		v.replace("results/mar5.tsv", "\tset Depth = 4\t", "\tset Depth = 40\t")
	}, "results/mar5.tsv", "line 4 is not what decision 2 gives"},
	{"results.tsv away", func(v vandal) { v.remove("results/mar5.tsv") }, "results/mar5.tsv", "the table is missing"},
	{"a proposal", func(v vandal) {
		v.replace("artifacts/mar5/0001/proposal-0-0.json", "it may help", "it will help")
	}, "artifacts/mar5/0001/proposal-0-0.json", "it was changed: decision 1 rests on"},
	{"a proposal away", func(v vandal) { v.remove("artifacts/mar5/0001/proposal-0-0.json") }, result(1), "the proposal that it rests on is missing"},
	{"what a proposal cost", func(v vandal) {
		v.change(6, func(r *experiment.Result) { r.Spent.CostUSD = 0 })
	}, result(6), "spent on proposals"},
	{"an evaluation", func(v vandal) {
		v.replace("artifacts/mar5/0002/evaluation.json", `"val_bpb": `, `"val_bpb": 1`)
	}, "artifacts/mar5/0002/evaluation.json", "it was changed: decision 2 rests on"},
	{"the last evaluation, and the decision", func(v vandal) {
		v.replace("artifacts/mar5/0006/evaluation.json", `"val_bpb": `, `"val_bpb": 1`)
		v.change(6, func(r *experiment.Result) {
			var e struct{ Measurement experiment.Measurement }
			v.must(json.Unmarshal([]byte(v.read("artifacts/mar5/0006/evaluation.json")), &e))
			r.Measurements[0] = e.Measurement
		})
	}, "artifacts/mar5/0006/evaluation.json", "it was changed"},
	{"an evaluation away", func(v vandal) { v.remove("artifacts/mar5/0000/evaluation-1.json") }, "artifacts/mar5/0000/evaluation-1.json", "it is missing"},
	{"the names of the records", func(v vandal) {
		v.change(6, func(r *experiment.Result) { r.Records = nil })
	}, result(6), "there is no record of run 0"},
	{"a run record", func(v vandal) {
		v.replace("artifacts/mar5/0004/run-0.json", `"tokens": 100000`, `"tokens": 900000`)
	}, "artifacts/mar5/0004/run-0.json", "it was changed"},
	{"a model", func(v vandal) {
		v.write("artifacts/mar5/0004/model.safetensors", "another")
	}, "artifacts/mar5/0004/model.safetensors", "it was changed: run-0.json names"},
	{"a source archive", func(v vandal) {
		name := "artifacts/_sources/" + v.result(4).Source + ".tar"
		v.replace(name, "Depth   = 11", "Depth   = 12")
	}, "artifacts/_sources/", "it was changed: experiment 4 trained"},
	{"the evaluator's sources", func(v vandal) {
		v.replace("artifacts/_sources/"+v.result(0).Evaluator+".tar", "0.03", "0.04")
	}, "artifacts/_sources/", "the evaluator is built from"},
	{"program.md", func(v vandal) {
		v.replace("artifacts/mar5/program-"+v.result(1).Program+".md", "Lower", "Raise")
	}, "artifacts/mar5/program-", "it was changed"},
	{"campaign.json", func(v vandal) {
		v.replace("artifacts/mar5/campaign.json", `"prior_sd": 0.01`, `"prior_sd": 0.0001`)
	}, "artifacts/mar5/campaign.json", "it is not what it was: " + result(0)},
	{"the data of one decision", func(v vandal) {
		v.change(3, func(r *experiment.Result) { r.Data = "other" })
	}, result(3), "its data have the fingerprint other"},
	{"the policy of one decision", func(v vandal) {
		v.change(3, func(r *experiment.Result) { r.Policy = "other/1" })
	}, result(3), "it was decided by other/1"},
	{"the campaign's seed", func(v vandal) {
		var c experiment.Campaign
		v.must(json.Unmarshal([]byte(v.read("artifacts/mar5/campaign.json")), &c))
		c.Settings.Seed++
		b, err := json.Marshal(c)
		v.must(err)
		v.write("artifacts/mar5/campaign.json", string(b))
		v.rechain()
	}, result(1), "the seed of run 0 is"},
	{"a score, all links made again", func(v vandal) {
		v.change(4, func(r *experiment.Result) { *r.ValBpb -= 0.001; r.Measurements[0].ValBpb -= 0.001; r.Message = "" })
		v.rechain()
	}, result(4), "is not that of evaluation.json: val_bpb"},
	{"the incumbent taken back, all links made again", func(v vandal) {
		v.remove(result(6))
		v.git("update-ref", "refs/heads/autoresearch/mar5", v.result(5).Incumbent.Commit)
		v.rechain()
	}, "artifacts/mar5", "no decision has the digest"}, // only because somebody has noted it
}

func TestTampering(t *testing.T) {
	home := finished(t)
	head := run(t, options(home)).Head
	var kept []int
	for _, r := range (vandal{t, home}).all() {
		if r.Verdict == experiment.Keep {
			kept = append(kept, r.Experiment)
		}
	}
	if !slices.Equal(kept, []int{0, 1, 2, 6}) {
		t.Fatalf("the campaign has kept %v", kept)
	}
	for _, c := range tampers {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			v := vandal{t, copyHome(t, home)}
			c.do(v)
			o := options(v.home)
			o.Head = head
			expect(t, run(t, o), c.file, c.problem)
		})
	}
}

// expect wants a finding about a file.
func expect(t *testing.T, r verify.Report, file, problem string) {
	t.Helper()
	for _, f := range r.Findings {
		if strings.HasPrefix(f.File, file) && strings.Contains(f.Problem, problem) && f.Advice != "" {
			return
		}
	}
	t.Errorf("no finding says %q of %s; there are:", problem, file)
	for _, f := range r.Findings {
		t.Log(f)
	}
}

// A ledger that somebody has made from end to end fits together. What tells it
// from the true one is a digest that was noted, or a signature.
func TestForgery(t *testing.T) {
	home := finished(t)
	honest := options(home)
	honest.Signers = signers(t, madeBy)
	r := run(t, honest)
	if !r.OK() || r.Signed != 7 || r.Covered != 7 || len(r.Unsigned) > 0 {
		t.Fatalf("the true ledger: %+v", r)
	}
	forge := func(t *testing.T) vandal {
		v := vandal{t, copyHome(t, home)}
		// Experiment 4 never was as bad as it says.
		v.replace("artifacts/mar5/0004/evaluation.json", `"val_bpb": `, `"val_bpb": 1`)
		v.change(4, func(r *experiment.Result) {
			text := []byte(v.read("artifacts/mar5/0004/evaluation.json"))
			var e struct{ Measurement experiment.Measurement }
			v.must(json.Unmarshal(text, &e))
			r.Measurements[0], r.ValBpb, r.Records["evaluation.json"] = e.Measurement, &e.Measurement.ValBpb, ledger.Digest(text)
		})
		v.rechain()
		return v
	}
	t.Run("without a signature", func(t *testing.T) {
		v := forge(t)
		for n := range 7 {
			v.remove(result(n) + ".sig")
		}
		if r := run(t, options(v.home)); !r.OK() {
			t.Errorf("nothing tells: %v", r.Findings)
		}
		o := options(v.home)
		o.Head = r.Head
		expect(t, run(t, o), "artifacts/mar5", "no decision has the digest")
		o = options(v.home)
		o.Signers = honest.Signers
		expect(t, run(t, o), result(4), "it is not signed, and no later signature covers it")
	})
	t.Run("with the old signatures", func(t *testing.T) {
		expect(t, run(t, options(forge(t).home)), result(4)+".sig", "is not one of these bytes")
	})
	t.Run("with another key", func(t *testing.T) {
		v := forge(t)
		for n := range 7 {
			v.remove(result(n) + ".sig")
		}
		l := ledger.Ledger{Home: v.home, Store: artifact.NewFile(v.home.Artifacts()), Signer: newKey(t)}
		_, err := l.Repair(t.Context(), tag)
		v.must(err)
		o := options(v.home)
		o.Signers = honest.Signers
		expect(t, run(t, o), result(6)+".sig", "which is no allowed signer")
	})
	t.Run("the last ones unsigned", func(t *testing.T) {
		v := vandal{t, copyHome(t, home)}
		v.remove(result(3) + ".sig")
		v.remove(result(6) + ".sig")
		o := options(v.home)
		o.Signers = honest.Signers
		r := run(t, o)
		if len(r.Findings) != 1 || !slices.Equal(r.Unsigned, []int{3, 6}) || r.Signed != 5 || r.Covered != 6 {
			t.Errorf("%+v", r)
		}
		expect(t, r, result(6), "it is not signed")
	})
}

// The ledger of one campaign does not pass for that of another.
func TestReplayOfAnotherCampaign(t *testing.T) {
	home, err := verifytest.Make(t.Context(), t.TempDir(), verifytest.Options{Policy: "threshold/1", Tag: "apr1"})
	if err != nil {
		t.Fatal(err)
	}
	v := vandal{t, home}
	v.must(os.Rename(v.path("artifacts/apr1"), v.path("artifacts/mar5")))
	v.must(os.Rename(v.path("results/apr1.tsv"), v.path("results/mar5.tsv")))
	for ref := range strings.SplitSeq(v.git("for-each-ref", "--format=%(refname) %(objectname)"), "\n") {
		name, at, _ := strings.Cut(ref, " ")
		v.git("update-ref", strings.Replace(name, "apr1", "mar5", 1), at)
	}
	r := run(t, options(v.home))
	expect(t, r, "artifacts/mar5/campaign.json", "it is not the record of campaign mar5")
	expect(t, r, result(3), "it is a decision of campaign apr1")
	// With the name changed everywhere, seeds and commits tell.
	v.replace("artifacts/mar5/campaign.json", "apr1", "mar5")
	for n := range 7 {
		v.replace(result(n), `"apr1"`, `"mar5"`)
	}
	v.rechain()
	r = run(t, options(v.home))
	expect(t, r, "repo.git refs/experiments/mar5/0003", `its message does not say "Campaign: mar5"`)
}

// A version without a chain has left its ledger. The next decision binds it.
func TestOldLedger(t *testing.T) {
	home := finished(t)
	v := vandal{t, home}
	for n := range 7 {
		v.remove(result(n) + ".sig")
		v.change(n, func(r *experiment.Result) {
			r.Previous, r.Evaluator, r.Source, r.Patch, r.Proposed, r.Records = "", "", "", "", "", nil
		})
	}
	r := run(t, options(home))
	if !r.OK() || r.Chained != 0 || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "without a hash chain") }) {
		t.Errorf("%+v", r)
	}
	v.change(4, func(r *experiment.Result) { r.Measurements[0].ValBpb = 1.5 })
	expect(t, run(t, options(home)), result(4), "is not that of evaluation.json: val_bpb")
}

// A table of a version with fewer columns is right as far as it goes.
func TestTableOfFewerColumns(t *testing.T) {
	home := finished(t)
	v := vandal{t, home}
	var b strings.Builder
	for line := range strings.Lines(v.read("results/mar5.tsv")) {
		b.WriteString(strings.Join(strings.Split(strings.TrimSpace(line), "\t")[:5], "\t") + "\n")
	}
	v.write("results/mar5.tsv", b.String())
	if r := run(t, options(home)); !r.OK() || len(r.Notes) != 1 {
		t.Errorf("%+v", r)
	}
	v.replace("results/mar5.tsv", "\tset Depth = 4\n", "\tset Depth = 40\n")
	expect(t, run(t, options(home)), "results/mar5.tsv", "line 4")
}

// A noted head is found again, wherever the ledger has gone on to.
func TestNotedHead(t *testing.T) {
	home := finished(t)
	v := vandal{t, home}
	for n := -1; n < 7; n++ {
		name := "artifacts/mar5/campaign.json"
		if n >= 0 {
			name = result(n)
		}
		o := options(home)
		o.Head = ledger.Digest([]byte(v.read(name)))[:12]
		if r := run(t, o); !r.OK() || r.NotedAt == nil || *r.NotedAt != n {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Nothing is written, also where nothing can be.
func TestReadsOnly(t *testing.T) {
	home := finished(t)
	before := state(t, home)
	if r := run(t, options(home)); !r.OK() {
		t.Errorf("%+v", r)
	}
	if after := state(t, home); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func state(t *testing.T, home experiment.Home) string {
	t.Helper()
	var b bytes.Buffer
	err := filepath.WalkDir(string(home), func(path string, d os.DirEntry, err error) error {
		if err == nil {
			var info os.FileInfo
			if info, err = d.Info(); err == nil {
				b.WriteString(path + " " + info.ModTime().String() + "\n")
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// newKey makes a signing key.
func newKey(t *testing.T) *sshsig.Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	file := filepath.Join(t.TempDir(), "key")
	if err := errors.Join(err, os.WriteFile(file, pem.EncodeToMemory(block), 0o600)); err != nil {
		t.Fatal(err)
	}
	k, err := sshsig.Open(file, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signers allows one key.
func signers(t *testing.T, k *sshsig.Key) *sshsig.Signers {
	t.Helper()
	file := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(file, []byte("me@here "+k.Public()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := sshsig.ReadSigners(file)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}
