package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/headers"
)

func testOptions(t *testing.T) Options {
	o, err := parseFlags([]string{"-db", filepath.Join(t.TempDir(), "temporal.db")})
	require.NoError(t, err)
	return o
}

func TestStoreIsMadeWholeOrNotAtAll(t *testing.T) {
	o := testOptions(t)
	// What a kill in the middle of the first start leaves.
	require.NoError(t, os.WriteFile(o.DB+".new", []byte("half a database"), 0o644))
	require.NoError(t, prepareStore(o))
	require.NoFileExists(t, o.DB+".new")
	require.NoError(t, prepareStore(o), "the second start finds it complete")

	db, err := sql.Open("sqlite", o.DB)
	require.NoError(t, err)
	defer db.Close()
	var namespaces int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM namespaces WHERE name = 'default'").Scan(&namespaces))
	require.Equal(t, 1, namespaces)
	var mode string
	require.NoError(t, db.QueryRow("PRAGMA journal_mode").Scan(&mode))
	require.Equal(t, "wal", mode)
}

func TestStoreOfAnotherMinorVersionIsRefused(t *testing.T) {
	o := testOptions(t)
	require.NoError(t, prepareStore(o))
	version := versionFile(o.DB)
	for made, refused := range map[string]bool{"1.29.1": true, "2.32.1": true, minor(headers.ServerVersion) + ".99": false} {
		require.NoError(t, os.WriteFile(version, []byte(made+"\n"), 0o644))
		err := prepareStore(o)
		if refused {
			require.ErrorContains(t, err, "was made by Temporal server "+made)
		} else {
			require.NoError(t, err)
		}
	}
	require.NoError(t, os.Remove(version))
	require.NoError(t, prepareStore(o), "a database copied without its version file is taken for ours")
	require.FileExists(t, version)
}

func TestFlags(t *testing.T) {
	o := testOptions(t)
	dir := filepath.Dir(o.DB)
	require.Equal(t, filepath.Join(dir, "lock"), o.Lock)
	require.Equal(t, filepath.Join(dir, "state.json"), o.State)
	require.Equal(t, []string{"default"}, o.Namespaces)
	require.GreaterOrEqual(t, o.Retention, 30*24*time.Hour)
	for _, args := range [][]string{
		nil,
		{"-db", "x", "-ip", "0.0.0.0"},
		{"-db", "x", "-ip", "localhost"},
		{"-db", "x", "-retention", "1h"},
	} {
		_, err := parseFlags(args)
		require.Error(t, err, "%v", args)
	}
}

func TestLargeLogIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("old\n")
	require.NoError(t, err)
	require.NoError(t, putAside(path))
	_, err = f.WriteString("new\n") // whoever appends goes on at the start
	require.NoError(t, err)
	for name, want := range map[string]string{path: "new\n", path + ".1": "old\n"} {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}
