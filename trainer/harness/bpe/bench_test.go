package bpe

import (
	"os"
	"testing"
)

// corpusFile names the text of the benchmarks, such as a train.bin of bytes.
const corpusFile = "BPE_CORPUS"

func corpus(b *testing.B) []byte {
	text, err := os.ReadFile(os.Getenv(corpusFile))
	if err != nil {
		b.Skipf("set %s to a file of text: %v", corpusFile, err)
	}
	b.SetBytes(int64(len(text)))
	return text
}

func BenchmarkTrain8192(b *testing.B) {
	text := corpus(b)
	for b.Loop() {
		if _, err := Train(text, 8192, 2); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode8192(b *testing.B) {
	text := corpus(b)
	v, err := Train(text, 8192, 2)
	if err != nil {
		b.Fatal(err)
	}
	var ids []uint16
	for b.Loop() {
		ids = NewEncoder(v).Append(ids[:0], text)
	}
	b.ReportMetric(float64(len(text))/float64(len(ids)), "bytes/token")
}
