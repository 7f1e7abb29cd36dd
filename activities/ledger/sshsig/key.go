package sshsig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// patience is for an agent, whose key may want to be touched.
const patience = 10 * time.Second

// Key is what signs. It is safe for concurrent use.
type Key struct {
	public ssh.PublicKey
	signer ssh.Signer // nil: the agent has it
	socket string     // of the agent
}

// Open reads the key in a file: a private key without a passphrase, or a public
// key whose private half the agent at socket ($SSH_AUTH_SOCK) has.
func Open(path, socket string) (*Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the signing key: %w", err)
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(b); err == nil {
		return fromAgent(path, socket, public)
	}
	signer, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("the signing key %s has a passphrase: give it to an agent with 'ssh-add %s', and name %s.pub instead", path, path, path)
	case err != nil && bytes.Contains(b, []byte("PRIVATE KEY")):
		return nil, fmt.Errorf("the signing key %s is of a kind that cannot be used from a file: give it to an agent with 'ssh-add %s', and name %s.pub instead", path, path, path)
	case err != nil:
		return nil, fmt.Errorf("%s is no SSH key: 'ssh-keygen -t ed25519 -f FILE' makes one", path)
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("the signing key %s can be read by others: chmod 600 %s, and think of whether somebody has: %w", path, path, fs.ErrPermission)
	}
	if err != nil {
		return nil, err
	}
	return &Key{public: signer.PublicKey(), signer: signer}, nil
}

func fromAgent(path, socket string, public ssh.PublicKey) (*Key, error) {
	k := &Key{public: public, socket: socket}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := k.ask(ctx, func(agent.ExtendedAgent) (*ssh.Signature, error) { return nil, nil }); err != nil {
		return nil, fmt.Errorf("the public key %s needs an SSH agent: %w", path, err)
	}
	return k, nil
}

// Fingerprint names the key: SHA256:...
func (k *Key) Fingerprint() string { return ssh.FingerprintSHA256(k.public) }

// Public is the key's public half as it stands in a file of allowed signers,
// without a name.
func (k *Key) Public() string { return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(k.public))) }

// Sign returns a signature of data. An agent that does not answer, or whose key
// nobody touches, is an error soon.
func (k *Key) Sign(ctx context.Context, data []byte) ([]byte, error) {
	signer := k.signer
	if signer == nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		signer = agentSigner{ctx, k}
	}
	b, err := sign(signer, data)
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", k.Fingerprint(), err)
	}
	return b, nil
}

// agentSigner is a key that an agent has.
type agentSigner struct {
	ctx context.Context // of one signature
	key *Key
}

func (s agentSigner) PublicKey() ssh.PublicKey { return s.key.public }

func (s agentSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	return s.key.ask(s.ctx, func(a agent.ExtendedAgent) (*ssh.Signature, error) {
		var flags agent.SignatureFlags
		if s.key.public.Type() == ssh.KeyAlgoRSA {
			flags = agent.SignatureFlagRsaSha512
		}
		return a.SignWithFlags(s.key.public, data, flags)
	})
}

// ask talks to the agent, which must have the key.
func (k *Key) ask(ctx context.Context, what func(agent.ExtendedAgent) (*ssh.Signature, error)) (*ssh.Signature, error) {
	if k.socket == "" {
		return nil, errors.New("none is running here, or SSH_AUTH_SOCK is not set")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", k.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(until) // a socket has deadlines
	}
	a := agent.NewClient(conn)
	keys, err := a.List()
	if err != nil {
		return nil, err
	}
	for _, have := range keys {
		if bytes.Equal(have.Marshal(), k.public.Marshal()) {
			return what(a)
		}
	}
	return nil, fmt.Errorf("the agent at %s has no key %s: ssh-add it", k.socket, k.Fingerprint())
}
