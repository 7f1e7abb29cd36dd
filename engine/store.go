package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/headers"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// clusterName is the name of the one Temporal cluster in the database.
const clusterName = "active"

// prepareStore leaves a database that this server can open: made when missing,
// refused when another minor version made it, with all namespaces.
func prepareStore(o Options) error {
	_, err := os.Stat(o.DB)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = createStore(o)
	case err == nil:
		err = checkVersion(o.DB)
	default:
		err = fmt.Errorf("look at the database: %w", err)
	}
	if err != nil {
		return err
	}
	return createNamespaces(sqlConfig(o.DB, "wal"), o)
}

// createStore makes the database under another name and renames it when
// complete: a kill half-way must not leave a database without its tables. The
// rollback journal keeps everything in the one file that is renamed.
func createStore(o Options) error {
	tmp := o.DB + ".new"
	for _, left := range []string{tmp, tmp + "-journal"} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an interrupted start left: %w", err)
		}
	}
	cfg := sqlConfig(tmp, "delete")
	if err := sqlite.SetupSchema(cfg); err != nil {
		return fmt.Errorf("create the database %s: %w", o.DB, err)
	}
	if err := createNamespaces(cfg, o); err != nil {
		return err
	}
	if err := os.WriteFile(versionFile(o.DB), []byte(headers.ServerVersion+"\n"), 0o644); err != nil {
		return fmt.Errorf("record the server version: %w", err)
	}
	if err := os.Rename(tmp, o.DB); err != nil {
		return fmt.Errorf("put the new database in place: %w", err)
	}
	return nil
}

// createNamespaces adds the namespaces that the database lacks. Retention and
// search attributes count only at creation.
func createNamespaces(cfg *config.SQL, o Options) error {
	for _, name := range o.Namespaces {
		ns, err := sqlite.NewNamespaceConfig(clusterName, name, false, searchAttributes)
		if err != nil {
			return fmt.Errorf("configure namespace %q: %w", name, err)
		}
		ns.Detail.Config.Retention = durationpb.New(o.Retention)
		if err := sqlite.CreateNamespaces(cfg, ns); err != nil {
			return fmt.Errorf("create namespace %q: %w", name, err)
		}
	}
	return nil
}

// sqlConfig describes the database to Temporal. Each commit is synced
// (synchronous=2): a campaign survives the plug being pulled.
func sqlConfig(path, journal string) *config.SQL {
	return &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: escapePath(path),
		ConnectAttributes: map[string]string{
			"mode": "rwc", "journal_mode": journal, "synchronous": "2", "busy_timeout": "10000",
		},
	}
}

// escapePath makes a path safe inside SQLite's "file:" URI, into which the
// plugin pastes it.
func escapePath(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

func versionFile(db string) string { return db + ".version" }

// checkVersion refuses a database made by another minor version of the server:
// there is no SQLite schema migration between them.
func checkVersion(db string) error {
	b, err := os.ReadFile(versionFile(db))
	if errors.Is(err, fs.ErrNotExist) {
		// A database copied without its version file: take it for ours.
		return os.WriteFile(versionFile(db), []byte(headers.ServerVersion+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("read the server version of the database: %w", err)
	}
	made := strings.TrimSpace(string(b))
	if minor(made) != minor(headers.ServerVersion) {
		return fmt.Errorf("database %s was made by Temporal server %s and this engine is %s: the schema may differ and there is no migration; "+
			"use the autoresearch release that made it, or move the file away to start with an empty one", db, made, headers.ServerVersion)
	}
	return nil
}

// minor cuts "1.32.1" to "1.32".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}
