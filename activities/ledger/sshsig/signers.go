package sshsig

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Signers is a list of those who may sign, as in ssh-keygen's file of allowed
// signers: a name, options, and a public key on each line. A file of public keys
// does as well.
type Signers struct {
	names map[string]string // by the key's wire format
}

// ReadSigners reads such a file.
func ReadSigners(file string) (Signers, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Signers{}, fmt.Errorf("reading the allowed signers: %w", err)
	}
	s := Signers{names: map[string]string{}}
	number := 0
	for line := range bytes.Lines(b) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := s.add(line); err != nil {
			return Signers{}, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	if len(s.names) == 0 {
		return Signers{}, fmt.Errorf("%s names no key that may sign here; a line is: NAME KEYTYPE KEY", file)
	}
	return s, nil
}

func (s Signers) add(line []byte) error {
	key, name, options, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil || len(options) > 0 { // not a plain public key: a name comes first
		first, rest, _ := bytes.Cut(line, []byte(" "))
		if key, _, options, _, err = ssh.ParseAuthorizedKey(rest); err != nil {
			return fmt.Errorf("no public key after a name: %w", err)
		}
		name = strings.Trim(string(first), `"`)
	}
	for _, o := range options {
		what, value, _ := strings.Cut(o, "=")
		if !strings.EqualFold(what, "namespaces") {
			return fmt.Errorf("the option %s is not supported here; check with ssh-keygen -Y verify", what)
		}
		if !matches(strings.Trim(value, `"`)) {
			return nil // a key for other things
		}
	}
	s.names[string(key.Marshal())] = name
	return nil
}

// matches says whether a list of patterns has our namespace, and no pattern with
// an exclamation mark takes it out again.
func matches(patterns string) bool {
	found := false
	for _, p := range strings.Split(patterns, ",") {
		p, not := strings.CutPrefix(p, "!")
		if ok, err := path.Match(p, Namespace); err == nil && ok {
			if not {
				return false
			}
			found = true
		}
	}
	return found
}

// Name returns the name of a key, and whether it may sign.
func (s Signers) Name(key ssh.PublicKey) (string, bool) {
	name, ok := s.names[string(key.Marshal())]
	return name, ok
}
