package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
	"github.com/autoresearch-go/autoresearch/experiment"
)

// newKey makes a key of its own.
func newKey(t *testing.T) *sshsig.Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := sshsig.Open(file, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// moody is a signer that does not always sign.
type moody struct {
	ledger.Signer
	fails bool
}

func (m *moody) Sign(ctx context.Context, data []byte) ([]byte, error) {
	if m.fails {
		return nil, errors.New("nobody has touched the key")
	}
	return m.Signer.Sign(ctx, data)
}

// signedBy lists the experiments with a signature that holds.
func signedBy(t *testing.T, l *ledger.Ledger, k *sshsig.Key) (numbers []int) {
	t.Helper()
	for n := range 10 {
		dir := filepath.Join(l.Home.Artifacts(), filepath.Dir(experiment.Key("mar5", n, "x")))
		sig, err := os.ReadFile(filepath.Join(dir, "result.json.sig"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "result.json"))
		if err != nil {
			t.Fatal(err)
		}
		by, err := sshsig.Verify(text, sig)
		if err != nil || ssh.FingerprintSHA256(by) != k.Fingerprint() {
			t.Errorf("experiment %d: %v, %v", n, by, err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// decide records and follows, as Decide does.
func decide(t *testing.T, l *ledger.Ledger, n int) []ledger.Notice {
	t.Helper()
	chained(t, l, n)
	notices, err := l.Follow(t.Context(), result(n))
	if err != nil {
		t.Fatal(err)
	}
	return notices
}

// A key that fails holds up no decision. What is missing is added at the next
// start, and only once.
func TestSign(t *testing.T) {
	l, key := newLedger(t), newKey(t)
	writeCampaign(t, l)
	decide(t, l, 0)
	signer := &moody{Signer: key}
	l.Signer = signer
	decide(t, l, 1)
	signer.fails = true
	for n := 2; n < 4; n++ {
		if notices := decide(t, l, n); len(notices) != 1 || !strings.Contains(string(notices[0]), "nobody has touched the key") {
			t.Errorf("notices = %q", notices)
		}
	}
	if got := signedBy(t, l, key); !slices.Equal(got, []int{1}) {
		t.Errorf("signed are %v", got)
	}
	repair := func(l *ledger.Ledger) []ledger.Notice {
		t.Helper()
		notices, err := l.Repair(t.Context(), "mar5")
		if err != nil {
			t.Fatal(err)
		}
		return notices
	}
	if notices := repair(l); len(notices) != 1 {
		t.Errorf("notices = %q", notices)
	}
	signer.fails = false
	if notices := repair(&ledger.Ledger{Home: l.Home, Store: l.Store, Signer: signer}); len(notices) > 0 {
		t.Errorf("notices = %q", notices)
	}
	if got := signedBy(t, l, key); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("signed are %v", got)
	}
	signer.fails = true // and would say so, if it were asked again
	if notices := repair(l); len(notices) > 0 {
		t.Errorf("notices = %q", notices)
	}
}

// A key that comes late signs the newest decision, which covers the others.
func TestSignLate(t *testing.T) {
	l, key := newLedger(t), newKey(t)
	writeCampaign(t, l)
	chained(t, l, 0, 1, 2)
	l.Signer = key
	if _, err := l.Repair(t.Context(), "mar5"); err != nil {
		t.Fatal(err)
	}
	if got := signedBy(t, l, key); !slices.Equal(got, []int{2}) {
		t.Errorf("signed are %v", got)
	}
}

// Whoever changes a ledger does not get it signed by starting a worker.
func TestSignsNothingOnTopOfAChange(t *testing.T) {
	for what, harm := range map[string]func(dir string) error{
		"a chain that is broken": func(dir string) error { return appendTo(filepath.Join(dir, "0001/result.json")) },
		"a signed decision":      func(dir string) error { return appendTo(filepath.Join(dir, "0002/result.json")) },
		"a signature":            func(dir string) error { return appendTo(filepath.Join(dir, "0002/result.json.sig")) },
	} {
		l, key := newLedger(t), newKey(t)
		writeCampaign(t, l)
		chained(t, l, 0, 1)
		l.Signer = key
		decide(t, l, 2)
		if err := harm(filepath.Join(l.Home.Artifacts(), "mar5")); err != nil {
			t.Fatal(err)
		}
		fresh := &ledger.Ledger{Home: l.Home, Store: l.Store}
		chained(t, fresh, 3)
		fresh.Signer = key
		notices, err := fresh.Repair(t.Context(), "mar5")
		if err != nil || len(notices) == 0 {
			t.Errorf("%s: Repair = %q, %v", what, notices, err)
		}
		if _, err := os.Stat(filepath.Join(l.Home.Artifacts(), "mar5/0003/result.json.sig")); err == nil {
			t.Errorf("%s: signed all the same", what)
		}
	}
}

// appendTo changes the bytes of a file: a JSON value stays the same, a signature
// is none any more.
func appendTo(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	more := "\n"
	if filepath.Ext(name) == ".sig" {
		more = "x"
	}
	return os.WriteFile(name, append(b, more...), 0o644)
}
