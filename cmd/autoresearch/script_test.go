package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/activities/ledger/verify/verifytest"
	"github.com/autoresearch-go/autoresearch/activities/proposer/llm/llmtest"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// The scripts in testdata/script run the real command. None of them starts an
// engine: what needs one is tested end to end elsewhere.
//
//	autoresearch ARGS...     the command
//	made-ledger TAG LIMIT    puts a made-up campaign into ./.autoresearch;
//	                         with "parallel", one of parallel experiments; with
//	                         "confirmed", one whose policy confirms
//	made-campaign TAG [KEY]  puts one that was really decided, with its repository
//	                         and artifacts, into ./home; signed with a key
//	model-server NAME...     a language model's server, and OPENAI_BASE_URL;
//	                         -key KEY wants that key and quotes a wrong one,
//	                         -busy asks to wait
//	clone DIR                a repository with a committed target
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"autoresearch":  main,
		"made-ledger":   madeLedger,
		"made-campaign": madeCampaign,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			// The developer's own Temporal, caches and locale stay outside.
			e.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/user-cache")
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("TZ", "UTC")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "cuda" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return builtWithCUDA, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"clone": clone, "exits": exits, "model-server": modelServer},
	})
}

// clone makes a repository with a committed target.
func clone(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir+"/trainer", 0o755))
	ts.Check(os.WriteFile(dir+"/trainer/train.go", []byte("package main\n"), 0o644))
	ts.Check(os.WriteFile(dir+"/go.mod", []byte("module x\n"), 0o644))
	for _, cmd := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "-m", "x"}} {
		ts.Check(ts.Exec("git", append([]string{"-C", dir}, cmd...)...))
	}
}

// modelServer starts a server for the rest of the script.
func modelServer(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("model-server", flag.ContinueOnError)
	var o llmtest.Options
	f.StringVar(&o.Key, "key", "", "")
	busy := f.Bool("busy", false, "")
	ts.Check(f.Parse(args))
	o.Models = f.Args()
	s, err := llmtest.Start(o)
	ts.Check(err)
	ts.Defer(func() { s.Close() })
	if *busy {
		s.Then(slices.Repeat([]llmtest.Step{llmtest.RetryAfter("40")}, 100)...)
	}
	ts.Setenv("OPENAI_BASE_URL", s.URL())
}

// exits runs a command and checks its exit status: exits 2 autoresearch up.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func madeCampaign() {
	o := verifytest.Options{Tag: os.Args[1], Policy: "threshold/1"}
	var err error
	if len(os.Args) > 2 {
		o.Signer, err = newSigningKey(os.Args[2])
	}
	if err == nil {
		_, err = verifytest.Make(context.Background(), ".", o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// newSigningKey writes a private key, and its public half with a name beside it.
func newSigningKey(file string) (*sshsig.Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err == nil {
		err = os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
	}
	if err != nil {
		return nil, err
	}
	key, err := sshsig.Open(file, "")
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(file+".allowed", []byte("me@here "+key.Public()+"\n"), 0o644)
}

func madeLedger() {
	limit, err := strconv.Atoi(os.Args[2])
	if err == nil {
		results := made(os.Args[1])
		if len(os.Args) > 3 {
			results = map[string]func(string) []experiment.Result{"parallel": madeParallel, "confirmed": madeConfirmed}[os.Args[3]](os.Args[1])
		}
		err = writeMade(experiment.HomeDir, os.Args[1], limit, results)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
