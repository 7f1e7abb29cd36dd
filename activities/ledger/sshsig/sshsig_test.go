package sshsig_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
)

var text = []byte("{\"experiment\": 7}\n")

// keys are private keys of each kind.
func keys(t *testing.T) map[string]crypto.PrivateKey {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.PrivateKey{"ed25519": ed, "ecdsa": ec, "rsa": r}
}

func write(t *testing.T, name, content string, perm os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), perm); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyFile writes a private key as ssh-keygen does.
func keyFile(t *testing.T, key crypto.PrivateKey, passphrase string) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "key", string(pem.EncodeToMemory(block)), 0o600)
}

func opened(t *testing.T, path, socket string) *sshsig.Key {
	t.Helper()
	k, err := sshsig.Open(path, socket)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signature(t *testing.T, k *sshsig.Key) []byte {
	t.Helper()
	sig, err := k.Sign(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestSignAndVerify(t *testing.T) {
	for kind, private := range keys(t) {
		k := opened(t, keyFile(t, private, ""), "")
		sig := signature(t, k)
		by, err := sshsig.Verify(text, sig)
		if err != nil || ssh.FingerprintSHA256(by) != k.Fingerprint() {
			t.Errorf("%s: Verify = %v, %v", kind, by, err)
		}
		if _, err := sshsig.Verify(append([]byte(" "), text...), sig); err == nil || !strings.Contains(err.Error(), "not one of these bytes") {
			t.Errorf("%s: another text: %v", kind, err)
		}
	}
}

// agentWith serves a key at a socket.
func agentWith(t *testing.T, key crypto.PrivateKey) (socket string) {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "a") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); os.RemoveAll(dir) })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn); conn.Close() }()
		}
	}()
	return socket
}

func TestAgent(t *testing.T) {
	for kind, private := range keys(t) {
		socket := agentWith(t, private)
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		public := write(t, "key.pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o644)
		k := opened(t, public, socket)
		if by, err := sshsig.Verify(text, signature(t, k)); err != nil || ssh.FingerprintSHA256(by) != k.Fingerprint() {
			t.Errorf("%s: %v, %v", kind, by, err)
		}
		if _, err := sshsig.Open(public, ""); err == nil || !strings.Contains(err.Error(), "SSH_AUTH_SOCK") {
			t.Errorf("%s: without an agent: %v", kind, err)
		}
		if _, err := sshsig.Open(public, agentWith(t, keys(t)["ed25519"])); err == nil || !strings.Contains(err.Error(), "ssh-add") {
			t.Errorf("%s: an agent without the key: %v", kind, err)
		}
	}
}

// An agent that says nothing does not hold a decision up for ever.
func TestAgentThatDoesNotAnswer(t *testing.T) {
	private := keys(t)["ed25519"]
	socket := agentWith(t, private)
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	k := opened(t, write(t, "key.pub", string(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o644), socket)
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket) // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, err := k.Sign(ctx, text); err == nil {
		t.Error("no error")
	}
}

func TestUnusableKeys(t *testing.T) {
	private := keys(t)["ed25519"]
	public := keyFile(t, private, "")
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ path, words string }{
		"none":       {filepath.Join(t.TempDir(), "none"), "no such file"},
		"passphrase": {keyFile(t, private, "secret"), "ssh-add"},
		"hardware":   {write(t, "sk", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n", 0o600), "ssh-add"},
		"no key":     {write(t, "x", "hello", 0o600), "ssh-keygen -t ed25519"},
		"for others": {public, "chmod 600"},
	} {
		if _, err := sshsig.Open(c.path, ""); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v; want %q", what, err, c.words)
		}
	}
}

// What is changed in a signature makes it none.
func TestDamagedSignatures(t *testing.T) {
	sig := string(signature(t, opened(t, keyFile(t, keys(t)["ed25519"], ""), "")))
	lines := strings.Split(sig, "\n")
	body := strings.Join(lines[1:len(lines)-2], "")
	blob, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	rebuilt := func(b []byte) []byte {
		return []byte(lines[0] + "\n" + base64.StdEncoding.EncodeToString(b) + "\n" + lines[len(lines)-2] + "\n")
	}
	if _, err := sshsig.Verify(text, rebuilt(blob)); err != nil {
		t.Fatalf("line ends do not matter: %v", err)
	}
	for i := range blob {
		bent := bytes.Clone(blob)
		bent[i] ^= 1
		if _, err := sshsig.Verify(text, rebuilt(bent)); err == nil {
			t.Errorf("byte %d of %d does not matter", i, len(blob))
		}
	}
	for _, bad := range []string{"", "x", lines[0], sig[:len(sig)/2], strings.Replace(sig, lines[1], "!!", 1)} {
		if _, err := sshsig.Verify(text, []byte(bad)); err == nil {
			t.Errorf("%q is a signature", bad)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := sshsig.Verify(text, sig); err == nil {
			t.Error("made up, and taken")
		}
	})
}

// keygen runs ssh-keygen.
func keygen(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("there is no ssh-keygen")
	}
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %v: %v: %s", args, err, out)
	}
	return string(out)
}

// What we sign ssh-keygen checks, and the other way round.
func TestSSHKeygen(t *testing.T) {
	for kind, bits := range map[string]string{"ed25519": "256", "rsa": "2048", "ecdsa": "384"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "key")
		keygen(t, nil, "-q", "-t", kind, "-b", bits, "-N", "", "-C", "me", "-f", file)
		k := opened(t, file, "")
		sig := filepath.Join(dir, "ours.sig")
		if err := os.WriteFile(sig, signature(t, k), 0o600); err != nil {
			t.Fatal(err)
		}
		allowed := filepath.Join(dir, "allowed")
		if err := os.WriteFile(allowed, []byte("me@here "+k.Public()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := keygen(t, text, "-Y", "verify", "-n", sshsig.Namespace, "-f", allowed, "-I", "me@here", "-s", sig); !strings.Contains(out, "Good") {
			t.Errorf("%s: ssh-keygen says %s", kind, out)
		}
		doc := filepath.Join(dir, "doc")
		if err := os.WriteFile(doc, text, 0o600); err != nil {
			t.Fatal(err)
		}
		keygen(t, nil, "-q", "-Y", "sign", "-n", sshsig.Namespace, "-f", file, doc)
		theirs, err := os.ReadFile(doc + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		by, err := sshsig.Verify(text, theirs)
		if err != nil || ssh.FingerprintSHA256(by) != k.Fingerprint() {
			t.Errorf("%s: theirs: %v, %v", kind, by, err)
		}
		keygen(t, nil, "-q", "-Y", "sign", "-n", "git", "-f", file, allowed)
		if theirs, err = os.ReadFile(allowed + ".sig"); err != nil {
			t.Fatal(err)
		}
		if _, err := sshsig.Verify([]byte("me@here "+k.Public()+"\n"), theirs); err == nil || !strings.Contains(err.Error(), `"git"`) {
			t.Errorf("%s: a signature for something else: %v", kind, err)
		}
	}
}

func TestSigners(t *testing.T) {
	mine, other := opened(t, keyFile(t, keys(t)["ed25519"], ""), ""), opened(t, keyFile(t, keys(t)["ed25519"], ""), "")
	by, err := sshsig.Verify(text, signature(t, mine))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		name string // "" is nobody
		err  string
	}{
		{"me@here " + mine.Public(), "me@here", ""},
		{"# people\n\nyou " + other.Public() + "\nme,us " + mine.Public() + " laptop\n", "me,us", ""},
		{mine.Public() + " laptop", "laptop", ""},
		{"me namespaces=\"git,auto*\" " + mine.Public(), "me", ""},
		{"me namespaces=\"git\" " + mine.Public() + "\nyou " + other.Public(), "", ""},
		{"me namespaces=\"*,!autoresearch\" " + mine.Public() + "\nyou " + other.Public(), "", ""},
		{"you " + other.Public(), "", ""},
		{"you " + other.Public() + "\nme valid-before=\"20300101\" " + mine.Public(), "", ":2: the option valid-before"},
		{"me", "", ":1: no public key"},
		{"", "", "names no key"},
	} {
		s, err := sshsig.ReadSigners(write(t, "allowed", c.file, 0o644))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v; want %q", c.file, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		if name, ok := s.Name(by); ok != (c.name != "") || name != c.name {
			t.Errorf("%q: %q, %v; want %q", c.file, name, ok, c.name)
		}
	}
}
