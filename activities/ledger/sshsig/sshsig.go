// Package sshsig signs and checks files with SSH keys, in the format of
// ssh-keygen -Y (OpenSSH's PROTOCOL.sshsig): what one makes the other checks.
//
//	ssh-keygen -Y verify -n autoresearch -f allowed_signers -I NAME -s result.json.sig <result.json
//
// [Open] reads a private key, or asks the SSH agent for one whose public half is
// given: a key with a passphrase or one in hardware never leaves the agent.
// [Verify] says which key has signed; [Signers] is the list of those that may.
//
// # Errors
//
// Errors name the file and say what to do. None holds anything of a private key.
package sshsig

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Namespace keeps a signature of a decision from being taken for one of
// something else, such as a commit.
const Namespace = "autoresearch"

const (
	magic   = "SSHSIG"
	version = 1
	begin   = "-----BEGIN SSH SIGNATURE-----"
	end     = "-----END SSH SIGNATURE-----"
)

// envelope is what the armour holds, after the magic.
type envelope struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// message is what the key signs, after the magic.
type message struct {
	Namespace string
	Reserved  string
	Hash      string
	Digest    []byte
}

// signed is the bytes that the key signs for data.
func signed(hash string, data []byte) ([]byte, error) {
	m := message{Namespace: Namespace, Hash: hash}
	switch hash {
	case "sha512":
		sum := sha512.Sum512(data)
		m.Digest = sum[:]
	case "sha256":
		sum := sha256.Sum256(data)
		m.Digest = sum[:]
	default:
		return nil, fmt.Errorf("the signature uses the hash %q: sha256 and sha512 are known", hash)
	}
	return append([]byte(magic), ssh.Marshal(m)...), nil
}

// sign makes an armoured signature of data.
func sign(key ssh.Signer, data []byte) ([]byte, error) {
	const hash = "sha512"
	text, err := signed(hash, data)
	if err != nil {
		return nil, err
	}
	var sig *ssh.Signature
	if by, ok := key.(ssh.AlgorithmSigner); ok && key.PublicKey().Type() == ssh.KeyAlgoRSA { // plain ssh-rsa is SHA-1
		sig, err = by.SignWithAlgorithm(rand.Reader, text, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = key.Sign(rand.Reader, text)
	}
	if err != nil {
		return nil, err
	}
	e := envelope{Version: version, PublicKey: key.PublicKey().Marshal(), Namespace: Namespace, Hash: hash, Signature: ssh.Marshal(sig)}
	return armour(append([]byte(magic), ssh.Marshal(e)...)), nil
}

// armour writes base64 in lines of 70, as ssh-keygen does.
func armour(b []byte) []byte {
	text := base64.StdEncoding.EncodeToString(b)
	var out bytes.Buffer
	fmt.Fprintln(&out, begin)
	for len(text) > 0 {
		n := min(70, len(text))
		fmt.Fprintln(&out, text[:n])
		text = text[n:]
	}
	fmt.Fprintln(&out, end)
	return out.Bytes()
}

// Verify checks an armoured signature of data and returns the key that made it.
// Whether that key is to be trusted is for [Signers] to say.
func Verify(data, signature []byte) (ssh.PublicKey, error) {
	e, err := open(signature)
	if err != nil {
		return nil, err
	}
	if e.Namespace != Namespace {
		return nil, fmt.Errorf("the signature is for %q, not for %q", e.Namespace, Namespace)
	}
	key, err := ssh.ParsePublicKey(e.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("the signature's key is not readable: %w", err)
	}
	if _, certified := key.(*ssh.Certificate); certified {
		return nil, errors.New("the signature is by a certificate: sign with a plain key")
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal(e.Signature, &sig); err != nil {
		return nil, fmt.Errorf("the signature is not readable: %w", err)
	}
	if sig.Format == ssh.KeyAlgoRSA || key.Type() == ssh.InsecureKeyAlgoDSA {
		return nil, fmt.Errorf("the signature is of the kind %s, which can be forged", sig.Format)
	}
	text, err := signed(e.Hash, data)
	if err != nil {
		return nil, err
	}
	if err := key.Verify(text, &sig); err != nil {
		return nil, fmt.Errorf("the signature by %s is not one of these bytes", ssh.FingerprintSHA256(key))
	}
	return key, nil
}

func open(armoured []byte) (envelope, error) {
	var e envelope
	body, ok := strings.CutPrefix(strings.TrimSpace(string(armoured)), begin)
	body, closed := strings.CutSuffix(body, end)
	if !ok || !closed {
		return e, fmt.Errorf("no SSH signature: it begins with %q and ends with %q", begin, end)
	}
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
	if err != nil {
		return e, fmt.Errorf("the signature is not readable: %w", err)
	}
	blob, ok = bytes.CutPrefix(blob, []byte(magic))
	if !ok {
		return e, errors.New("the signature is not readable: it is no SSHSIG")
	}
	if err := ssh.Unmarshal(blob, &e); err != nil {
		return e, fmt.Errorf("the signature is not readable: %w", err)
	}
	if e.Version != version {
		return e, fmt.Errorf("the signature has version %d; version %d is known", e.Version, version)
	}
	return e, nil
}
