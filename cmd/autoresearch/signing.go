package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/autoresearch-go/autoresearch/activities/ledger"
	"github.com/autoresearch-go/autoresearch/activities/ledger/sshsig"
)

// signingEnv names the signing key where no flag does. Its value is a path, and
// no candidate ever sees it: candidates have an environment of their own.
const signingEnv = "AUTORESEARCH_SIGNING_KEY"

// signing is what signs the decisions of this process; nothing unless it is
// asked for.
type signing struct {
	file string // the flag's
	key  *sshsig.Key
}

func signingFlag(c *cobra.Command, a *app) {
	c.Flags().StringVar(&a.signing.file, "signing-key", "", "sign each decision with the SSH key in `FILE`; a public key asks the\nSSH agent (default $"+signingEnv+", or no signature)")
}

// openSigningKey reads the key before anything is started, so that a wrong one
// is refused at once.
func (a *app) openSigningKey() error {
	file := a.signing.file
	if file == "" {
		file = a.getenv(signingEnv)
	}
	if file == "" {
		return nil
	}
	file = a.under(file)
	if rel, err := filepath.Rel(string(a.home()), file); err == nil && filepath.IsLocal(rel) {
		return usage("keep it in ~/.ssh", "the signing key %s lies in the home %s, which people copy and share", file, a.home())
	}
	key, err := sshsig.Open(file, a.getenv("SSH_AUTH_SOCK"))
	if err != nil {
		return usage("name another key with --signing-key FILE or $"+signingEnv+", or leave both out", "%w", err)
	}
	a.signing.key = key
	a.note("signing   decisions with %s; to check them: autoresearch verify --allowed-signers FILE, with the line: me %s", key.Fingerprint(), key.Public())
	return nil
}

// signer is for the ledger; nil is nobody.
func (s signing) signer() ledger.Signer {
	if s.key == nil {
		return nil
	}
	return s.key
}
