// A stand-in for the evaluator, with the same command line and exit codes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	f := flag.NewFlagSet("", flag.ExitOnError)
	out := f.String("out", "", "")
	f.String("source", "", "")
	model := f.String("model", "", "")
	f.String("data", "", "")
	f.Int("cores", 0, "")
	f.String("proved", "", "")
	f.Parse(os.Args[2:])
	if os.Args[1] == "data" {
		info := map[string]any{"fingerprint": "0123456789abcdef0123", "train_bytes": 5, "val_bytes": 3}
		text, _ := json.Marshal(info)
		for name, b := range map[string][]byte{"train/train.bin": []byte("train"), "val/val.bin": []byte("val"), "corpus.json": text} {
			path := filepath.Join(*out, name)
			os.MkdirAll(filepath.Dir(path), 0o755)
			os.WriteFile(path, b, 0o644)
		}
		fmt.Println(string(text))
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
	fmt.Printf(`{"val_bpb":%g,"graph_digest":"fake-graph","parameters":7}`, 2+float64(len(text))/100)
}
