// Package bpe turns text into tokens by byte pair encoding (Sennrich, Haddow
// and Birch 2016) on bytes: ids 0 to 255 are the bytes themselves, every id
// above stands for a string of bytes that is frequent in the training text.
//
//	v, err := bpe.Train(text, 4096, cores)   // learn a vocabulary
//	ids := bpe.NewEncoder(v).Append(nil, text)
//	text = v.Decode(ids)                     // always the same bytes again
//
// Text is first cut into pieces (words with the character before them, up to
// three digits, punctuation, white space; see next), and no token reaches
// across two pieces. Within a piece the encoder merges the two neighbours
// whose union is the token with the lowest id, the leftmost first, until no
// union is a token. So the list of tokens is the whole vocabulary.
//
// Any bytes can be encoded, valid UTF-8 or not. Byte 0, which ends documents,
// is always a token of its own, so a text may be cut after any zero byte and
// its parts encoded by themselves.
//
// The package exists because the trainer is built offline from the standard
// library alone, which excludes the libraries that do this.
//
// # How it fails
//
// Train refuses sizes that an id of 16 bits cannot hold and sizes that the
// text cannot fill; Parse refuses a list that is no vocabulary. Encoding and
// decoding do not fail; decoding an id that the vocabulary lacks panics.
package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Sizes of a vocabulary. Ids are stored in 16 bits.
const (
	Bytes    = 256
	MaxVocab = 1 << 16
)

// Vocabulary says which bytes each token id stands for. It is immutable.
type Vocabulary struct {
	tokens []string
}

// ByteVocabulary returns the vocabulary of the 256 single bytes.
func ByteVocabulary() *Vocabulary {
	v := &Vocabulary{make([]string, Bytes)}
	for i := range v.tokens {
		v.tokens[i] = string([]byte{byte(i)})
	}
	return v
}

// Size returns V, the number of token ids.
func (v *Vocabulary) Size() int { return len(v.tokens) }

// Token returns the bytes that id stands for.
func (v *Vocabulary) Token(id int) string { return v.tokens[id] }

// Decode returns the bytes that ids stand for, one after the other.
func (v *Vocabulary) Decode(ids []int32) []byte {
	var text []byte
	for _, id := range ids {
		text = append(text, v.tokens[id]...)
	}
	return text
}

// file is the JSON form. Each character of a token is one byte: U+0041 is byte
// 0x41, U+00FF is byte 0xff, which keeps ASCII readable and loses nothing.
type file struct {
	Vocab  int      `json:"vocab"`
	Tokens []string `json:"tokens"`
}

// Marshal returns the vocabulary as JSON, one token a line.
func (v *Vocabulary) Marshal() []byte {
	f := file{v.Size(), make([]string, v.Size())}
	for id, token := range v.tokens {
		f.Tokens[id] = string(latin1(token))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	_ = e.Encode(f) // strings and a number cannot fail
	return b.Bytes()
}

func latin1(token string) []rune {
	runes := make([]rune, len(token))
	for i := range len(token) {
		runes[i] = rune(token[i])
	}
	return runes
}

// Parse reads what Marshal has written. It believes nothing of what it reads.
func Parse(text []byte) (*Vocabulary, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("reading the vocabulary: %w", err)
	}
	if f.Vocab != len(f.Tokens) {
		return nil, fmt.Errorf("reading the vocabulary: it says vocab %d and lists %d tokens", f.Vocab, len(f.Tokens))
	}
	for id, token := range f.Tokens {
		raw := make([]byte, 0, len(token))
		for _, r := range token {
			if r > 0xff {
				return nil, fmt.Errorf("reading the vocabulary: token %d has the character %U; each must be a byte, up to U+00FF", id, r)
			}
			raw = append(raw, byte(r))
		}
		f.Tokens[id] = string(raw)
	}
	return newVocabulary(f.Tokens)
}

// newVocabulary checks a list of tokens: all bytes first, so that any text can
// be encoded, then longer ones, none of them twice and none with a zero byte.
func newVocabulary(tokens []string) (*Vocabulary, error) {
	if err := CheckSize(len(tokens)); err != nil {
		return nil, err
	}
	seen := make(map[string]int, len(tokens))
	for id, token := range tokens {
		switch first, double := seen[token]; {
		case id < Bytes && token != string([]byte{byte(id)}):
			return nil, fmt.Errorf("the vocabulary cannot encode byte %#02x: token %d is %q; the first 256 tokens must be the bytes in order", id, id, token)
		case double:
			return nil, fmt.Errorf("the vocabulary has the token %q twice, as %d and %d", token, first, id)
		case id >= Bytes && (len(token) < 2 || strings.IndexByte(token, 0) >= 0):
			return nil, fmt.Errorf("token %d of the vocabulary is %q; it must be two bytes or more, none of them zero", id, token)
		}
		seen[token] = id
	}
	return &Vocabulary{tokens}, nil
}

// CheckSize says why n cannot be the size of a vocabulary; nil means it can.
func CheckSize(n int) error {
	if n < Bytes || n > MaxVocab {
		return fmt.Errorf("a vocabulary of %d tokens is not possible; pass %d for single bytes, or up to %d", n, Bytes, MaxVocab)
	}
	return nil
}

// ErrTooSmallText is wrapped by Train when the text cannot fill the vocabulary.
var ErrTooSmallText = errors.New("the text is too small for the vocabulary")
