package race

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/autoresearch-go/autoresearch/trainer/harness/bpe"
	"github.com/autoresearch-go/autoresearch/trainer/harness/data"
)

// Corpus writes random tokens where the trainer looks for text, in the form of
// trainer/harness/data: bytes, or ids of 16 bits with a list of what they are.
func Corpus(dir string, vocab int) error {
	rng := rand.New(rand.NewPCG(1, 1))
	var text []byte
	for range 1 << 19 {
		id := uint16(1 + rng.IntN(vocab-1)) // 0 would end a document
		if vocab == bpe.Bytes {
			text = append(text, byte(id))
		} else {
			text = binary.LittleEndian.AppendUint16(text, id)
		}
	}
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, filepath.Base(data.TrainFile)), text, 0o644))
	if vocab == bpe.Bytes || err != nil {
		return err
	}
	var tokens []string
	for id := range vocab {
		token := []rune{rune(id)}
		if n := id - bpe.Bytes; n >= 0 {
			token = []rune{rune(1 + n/255), rune(1 + n%255)}
		}
		tokens = append(tokens, string(token))
	}
	return WriteJSON(filepath.Join(dir, data.TokensFile), map[string]any{"vocab": vocab, "tokens": tokens})
}
