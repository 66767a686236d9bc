package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// call runs the program as its user does.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, logs bytes.Buffer
	err := run(t.Context(), args, &out, &logs)
	return out.String(), err
}

func TestTheStockByCommandLine(t *testing.T) {
	t.Parallel()
	database := "--database-url=" + pgtest.URL(t)
	mustCall := func(args ...string) string {
		t.Helper()
		out, err := call(t, append(args, database)...)
		require.NoError(t, err, "%v", args)
		return out
	}
	require.Contains(t, mustCall("migrate"), "up to date")
	mustCall("providers", "create", "acme", "--name=Acme")
	mustCall("pools", "create", "--provider=acme", "--marketplace=store")
	require.True(t, strings.HasPrefix(mustCall("keys", "create", "--provider=acme", "--name=store", "--marketplace=store"), "qm_live_"))

	add := []string{"accounts", "create", "--provider=acme", "--marketplace=store",
		"--model=SPAM", "--name=First", "--root-email=root@acme.example"}
	created := mustCall(append(add, "111122223333", "--role-arn=arn:aws:iam::111122223333:role/quartermaster")...)
	var added openapi.Account
	require.NoError(t, json.Unmarshal([]byte(created), &added))
	require.NotEmpty(t, added.ExternalID, "the operator needs it for the role")
	list := mustCall("accounts", "list", "--provider=acme")
	require.Contains(t, list, "111122223333")
	require.Contains(t, list, "Invalid", "nothing is drawn before its verification")
	require.Contains(t, list, provision.AwaitsVerification)
	require.NotContains(t, list, added.ExternalID)

	_, err := call(t, append(add, database, "111122223333", "--role-arn=arn:aws:iam::111122223333:role/quartermaster")...)
	require.ErrorIs(t, err, provision.ErrConflict)
	_, err = call(t, append(add, database, "12", "--role-arn=arn:aws:iam::999922223333:role/quartermaster")...)
	require.ErrorContains(t, err, "it has exactly 12 digits")
	require.ErrorContains(t, err, "the role is in account 999922223333", "every wrong field at once")
	_, err = call(t, append(add, database, "444422223333",
		"--role-arn=arn:aws:iam::444422223333:role/quartermaster", "--protected-accounts=444422223333")...)
	require.ErrorContains(t, err, "account 444422223333 is protected")
	_, err = call(t, "pools", "create", "--provider=unknown", "--marketplace=store", database)
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestKeysByCommandLine(t *testing.T) {
	t.Parallel()
	database := "--database-url=" + pgtest.URL(t)
	keys := func(args ...string) (string, error) {
		out, err := call(t, append(append([]string{"keys"}, args...), "--provider=acme", database)...)
		return strings.TrimSpace(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := keys(args...)
		require.NoError(t, err, "%v", args)
		return out
	}
	idOf := func(text string) string { return strings.Split(text, "_")[2] }
	_, err := call(t, "providers", "create", "acme", database)
	require.NoError(t, err)
	_, err = keys("create", "--name=store")
	require.ErrorContains(t, err, "a key of role marketplace needs at least one marketplace: there is none yet, so create the pool")
	for _, marketplace := range []string{"nordic", "south"} {
		_, err = call(t, "pools", "create", "--provider=acme", "--marketplace="+marketplace, database)
		require.NoError(t, err)
	}

	store := must("create", "--name=store", "--marketplace=nordic", "--marketplace=south")
	narrow := must("create", "--name=dashboard", "--role=viewer", "--scope=orders:read", "--scope=events:read", "--rate=2.5", "--expires=0")
	list := must("list")
	require.Regexp(t, idOf(store)+` +store +marketplace +all of the role +nordic and south +server's .* cli \S+ .* never +live`, list,
		"the least, unless it is said")
	require.Regexp(t, idOf(narrow)+` +dashboard +viewer +orders:read and events:read +all +2.5/s .* never +never +live`, list)
	require.NotContains(t, list, store)

	for flag, message := range map[string]string{
		"--scope=keys:write": "the role marketplace does not have keys:write, only admin has it",
		"--scope=all":        `"all" is not a scope`,
		"--rate=-1":          "-1 is not a limit",
		"--expires=-1h":      "is in the past",
		"--rate=1":           "a key of role marketplace needs at least one marketplace: name one that has a pool, out of nordic and south",
		"--marketplace=nord": `the provider has no pool for "nord": name one that has a pool, out of nordic and south`,
		"--role=viewer":      "a key of role viewer sees all marketplaces: leave this out",
		"--role=owner":       "--role must be one of",
		"--name=":            "needs 1 to 100 characters",
	} {
		args := []string{"create", "--name=x", flag}
		if flag == "--role=viewer" {
			args = append(args, "--marketplace=nordic")
		}
		_, err := keys(args...)
		require.ErrorContains(t, err, message)
	}

	_, err = keys("rotate", idOf(store), "--overlap=1m")
	require.ErrorContains(t, err, "use 1h0m0s to 720h0m0s")
	successor := must("rotate", idOf(store), "--overlap=2h")
	require.True(t, strings.HasPrefix(successor, "qm_live_"))
	require.Regexp(t, idOf(successor)+` +store +marketplace +all of the role +nordic and south `, must("list"), "a rotated key keeps its marketplaces")
	_, err = keys("rotate", idOf(store))
	require.ErrorContains(t, err, "was rotated already; its successor is "+idOf(successor))
	require.Regexp(t, idOf(store)+` .* replaced by `+idOf(successor), must("list"))
	require.Contains(t, must("revoke", idOf(store)), "revoked "+idOf(store))
	require.NotRegexp(t, `(?m)^`+idOf(store), must("list"))
	require.Regexp(t, idOf(store)+` .* revoked`, must("list", "--all"))
	_, err = keys("revoke", "000000000000")
	require.ErrorIs(t, err, provision.ErrNotFound)

	admin := must("create", "--name=admin", "--role=admin")
	require.Contains(t, must("revoke", idOf(admin)), "revoked", "the last one, too: here another one can be made")
}

func TestAnotherSchemaIsRefused(t *testing.T) {
	t.Parallel()
	_, err := call(t, "accounts", "list", "--provider=acme", "--database-url="+pgtest.EmptyURL(t))
	require.ErrorContains(t, err, "quartermaster migrate")
}

func TestKeysSealMakesAKeyThatTheConfigurationTakes(t *testing.T) {
	t.Parallel()
	out, err := call(t, "keys", "seal", "k7")
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

func TestAStopIsNoError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, run(ctx, []string{"migrate", "--database-url=" + pgtest.URL(t)}, &bytes.Buffer{}, &bytes.Buffer{}))
}
