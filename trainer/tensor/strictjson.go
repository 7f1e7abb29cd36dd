package tensor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// jsonBounds say how much a JSON text from outside may hold. They are held
// before anything is decoded, because three bytes of JSON can become a struct
// of a hundred. Zero fields bound nothing.
type jsonBounds struct {
	objects int // in the whole text
	keys    int // of any one object
	values  int // numbers, strings, keys, objects and arrays in the whole text
}

// checkJSON reads b as one JSON value and refuses what decoders take without a
// word: a key that stands twice in an object, in whatever case, and text that is
// not UTF-8.
func checkJSON(b []byte, bounds jsonBounds) error {
	if !utf8.Valid(b) {
		return errors.New("the text is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		return err
	}
	return (&jsonScan{bounds: bounds}).scan(b)
}

// jsonScan goes through valid JSON and keeps only the keys of what is open.
type jsonScan struct {
	bounds          jsonBounds
	open            []map[string]bool // keys of each open object; nil for an array
	key             bool              // the next string is a key
	objects, values int
}

func (s *jsonScan) scan(b []byte) error {
	for i := 0; i < len(b); i++ {
		from := i
		switch c := b[i]; c {
		case ' ', '\t', '\n', '\r', ':':
			continue
		case ',':
			s.key = s.open[len(s.open)-1] != nil
			continue
		case '}', ']':
			s.open, s.key = s.open[:len(s.open)-1], false
			continue
		case '{':
			s.open, s.key = append(s.open, map[string]bool{}), true
			s.objects++
		case '[':
			s.open, s.key = append(s.open, nil), false
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if s.key {
				if err := s.take(b[from : i+1]); err != nil {
					return err
				}
			}
		default: // a number or a literal
			for i+1 < len(b) && !strings.ContainsRune(",]} \t\n\r", rune(b[i+1])) {
				i++
			}
		}
		s.values++
		if n := s.bounds.objects; n > 0 && s.objects > n {
			return fmt.Errorf("more than %d objects", n)
		}
		if n := s.bounds.values; n > 0 && s.values > n {
			return fmt.Errorf("more than %d values", n)
		}
	}
	return nil
}

// take notes a key of the innermost object.
func (s *jsonScan) take(quoted []byte) error {
	var key string
	if err := json.Unmarshal(quoted, &key); err != nil {
		return err
	}
	keys := s.open[len(s.open)-1]
	key = strings.ToLower(key)
	if s.key = false; keys[key] {
		return fmt.Errorf("the key %.80q stands twice in an object", key)
	}
	if keys[key] = true; s.bounds.keys > 0 && len(keys) > s.bounds.keys {
		return fmt.Errorf("more than %d keys in an object", s.bounds.keys)
	}
	return nil
}
