// A stand-in for the evaluator, with the same command line and exit codes.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	f := flag.NewFlagSet("", flag.ExitOnError)
	out := f.String("out", "", "")
	f.String("source", "", "")
	docs := f.String("docs", "", "")
	valDocs := f.String("val-docs", "", "")
	auditDocs := f.String("audit-docs", "", "")
	f.String("name", "", "")
	vocab := f.Int("vocab", 256, "")
	model := f.String("model", "", "")
	f.String("data", "", "")
	f.Int("cores", 0, "")
	f.String("proved", "", "")
	audit := f.String("audit", "", "")
	limit := f.Float64("limit", 0, "")
	f.Int64("memory", 0, "")
	f.Parse(os.Args[2:])
	if os.Args[1] == "data" {
		makeData(*out, *docs, *valDocs, *auditDocs, *vocab)
		return
	}
	text, _ := os.ReadFile(*model)
	switch {
	case strings.Contains(string(text), "acausal"):
		fmt.Println(`{"reason":"not-causal","message":"position 7 sees position 8"}`)
		os.Exit(2)
	case !strings.HasPrefix(string(text), "fake model"):
		fmt.Fprintln(os.Stderr, "evaluate: broken")
		os.Exit(1)
	}
	took := 0.1
	switch {
	case strings.Contains(string(text), "very slow"):
		took = 3.5
	case strings.Contains(string(text), "slow"):
		took = 1.5
	}
	if *limit > 0 && took > *limit {
		fmt.Printf(`{"reason":"timeout","message":"too slow: %g s of %g s"}`, took, *limit)
		os.Exit(2)
	}
	bpb := 2 + float64(len(text))/100
	auditBpb := 0.0
	if *audit != "" {
		auditBpb = bpb + 0.5
	}
	fmt.Printf(`{"val_bpb":%g,"audit_bpb":%g,"val_seconds":0.125,"graph_digest":"fake-graph","parameters":7}`, bpb, auditBpb)
}

// makeData plays a tokenizer that makes a token of each byte.
func makeData(out, docs, valDocs, auditDocs string, vocab int) {
	train, val, audit := []byte("train"), []byte("val"), []byte("audit")
	if docs != "" {
		train, _ = os.ReadFile(docs)
		val, _ = os.ReadFile(valDocs)
		audit, _ = os.ReadFile(auditDocs)
	}
	if vocab == 60000 {
		fmt.Fprintf(os.Stderr, "reading...\nevaluate: learning from %s: too little text\n", docs)
		os.Exit(1)
	}
	info := map[string]any{
		"train_bytes": len(train), "val_bytes": len(val), "audit_bytes": len(audit), "vocab": vocab,
		"train_tokens": len(train), "val_tokens": len(val), "audit_tokens": len(audit),
		"files": bytes.Count(train, []byte{0}) + bytes.Count(val, []byte{0}) + bytes.Count(audit, []byte{0}),
	}
	if vocab > 256 {
		train, val, audit = append(train, train...), append(val, val...), append(audit, audit...)
	}
	info["fingerprint"] = fmt.Sprintf("%x", sha256.Sum256(slices.Concat(train, []byte("v"), val, audit)))
	text, _ := json.Marshal(info)
	for name, b := range map[string][]byte{"train/train.bin": train, "val/val.bin": val, "audit/audit.bin": audit, "corpus.json": text} {
		path := filepath.Join(out, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, b, 0o644)
	}
	fmt.Println(string(text))
}
