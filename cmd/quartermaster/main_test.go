package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/secrets"
)

func TestAnotherSchemaIsRefused(t *testing.T) {
	t.Parallel()
	_, err := call(t, "providers", "list", "--database-url="+pgtest.EmptyURL(t))
	require.ErrorContains(t, err, "quartermaster migrate")
}

func TestASealKeyIsOneThatTheConfigurationTakes(t *testing.T) {
	t.Parallel()
	out, err := call(t, "seal-keys", "create", "k7")
	require.NoError(t, err)
	_, err = secrets.ParseRing(out)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(out, "k7:"))
}

func TestTheSimulatorIsRefusedOffThisMachine(t *testing.T) {
	t.Parallel()
	_, err := call(t, "worker", "--database-url=postgres://x", "--seal-keys=x", "--aws-endpoint=http://10.0.0.1:4566")
	require.ErrorContains(t, err, "only a loopback address is allowed")
}

func TestSecretsComeFromFilesToo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(file, []byte("k1:secret\n"), 0o600))
	set := map[string]string{}
	environment := map[string]string{"QM_SEAL_KEYS_FILE": file}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	keep := func(name, value string) error { set[name] = value; return nil }
	require.NoError(t, readSecretFiles(lookup, keep))
	require.Equal(t, map[string]string{"QM_SEAL_KEYS": "k1:secret"}, set)

	environment["QM_SEAL_KEYS"] = "k1:other"
	require.ErrorContains(t, readSecretFiles(lookup, keep), "both set")
	environment = map[string]string{"QM_DATABASE_URL_FILE": file + "-missing"}
	require.ErrorContains(t, readSecretFiles(lookup, keep), "QM_DATABASE_URL_FILE")
}

func TestAnInterruptedCommandSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := callWith(ctx, streams{}, "migrate", "--database-url="+pgtest.URL(t))
	require.ErrorIs(t, r.err, errInterrupted)
	require.Equal(t, exitInterrupted, exitCode(r.err))
	require.True(t, serves("worker"), "a server that is told to stop has done what it should")
}
