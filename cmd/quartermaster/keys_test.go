package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func idOf(text string) string { return strings.Split(text, "_")[2] }

func TestKeysByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	store := s.must("keys", "create", "--name=store", "--expires=30d", "--marketplace=nordic")
	narrow := s.must("keys", "create", "--name=dashboard", "--role=viewer", "--scope=orders:read", "--scope=events:read", "--rate=2.5",
		"--expires=0")
	list := s.must("keys", "list")
	require.Regexp(t, idOf(store)+` +store +marketplace +all of the role +nordic +server's .* key \S+ .* never +live`, list,
		"the least, unless it is said")
	require.Regexp(t, idOf(narrow)+` +dashboard +viewer +orders:read and events:read +all +2.5/s .* never +never +live`, list)
	require.NotContains(t, list, store)
	key, err := s.store.APIKeys.Get(t.Context(), "acme", idOf(store))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(30*24*time.Hour), *key.ExpiresAt, time.Minute)

	for flag, message := range map[string]string{
		"--scope=keys:write": "the role marketplace does not have keys:write, only admin has it",
		"--expires=-1h":      "is in the past",
		"--name=":            "name: ",
		"--rate=0":           "needs at least one marketplace: name one that has a pool, out of nordic",
	} {
		args := []string{"keys", "create", "--name=x", flag}
		if flag != "--rate=0" {
			args = append(args, "--marketplace=nordic")
		}
		refused := s.run(args...)
		require.Contains(t, inWords(refused.err), message)
		require.Equal(t, exitRefused, exitCode(refused.err), flag)
	}
	require.ErrorContains(t, s.run("keys", "create", "--name=x", "--role=owner").err, "--role must be one of")

	require.ErrorContains(t, s.run("keys", "rotate", idOf(store), "--overlap=1m").err, "use full hours from 1h0m0s to 720h0m0s")
	rotated := s.run("keys", "rotate", idOf(store), "--overlap=2h")
	require.NoError(t, rotated.err)
	require.Contains(t, rotated.logs, "key "+idOf(store)+" stays valid until ")
	successor := strings.TrimSpace(rotated.out)
	require.True(t, strings.HasPrefix(successor, "qm_live_"))
	require.Contains(t, inWords(s.run("keys", "rotate", idOf(store)).err), "its successor is "+idOf(successor))
	require.Regexp(t, idOf(store)+` .* replaced by `+idOf(successor), s.must("keys", "list"))

	require.ErrorContains(t, s.run("keys", "revoke", idOf(store)).err, "add --yes")
	declined := s.with(atTerminal("n\n"), "keys", "revoke", idOf(store))
	require.ErrorContains(t, declined.err, "nothing was done")
	require.Contains(t, declined.logs, idOf(store)+"  store  marketplace  last used never")
	require.Contains(t, s.must("keys", "revoke", idOf(store), "--yes"), idOf(store)+": revoked at ")
	require.NotRegexp(t, `(?m)^`+idOf(store), s.must("keys", "list"))
	require.Regexp(t, idOf(store)+` .* revoked`, s.must("keys", "list", "--ended"))
	require.Equal(t, exitNotFound, exitCode(s.run("keys", "revoke", "000000000000", "--yes").err))
}

func TestTheFirstKeyOfAProviderNeedsTheDatabaseOnly(t *testing.T) {
	t.Parallel()
	url, store := setupStock(t)
	database := "--database-url=" + url
	text, err := call(t, "providers", "key", "acme", "--expires=52w", database)
	require.NoError(t, err)
	key, err := store.APIKeys.Get(t.Context(), "acme", idOf(text))
	require.NoError(t, err)
	require.Equal(t, provision.RoleAdmin, key.Role)
	require.WithinDuration(t, time.Now().Add(364*24*time.Hour), *key.ExpiresAt, time.Minute)
	_, err = call(t, "providers", "key", "amce", "--name=admin", database)
	require.ErrorContains(t, err, `there is no provider "amce": use acme or globex`)
	require.Equal(t, exitNotFound, exitCode(err))
	_, err = call(t, "providers", "key", "acme", "--expires=-1h", database)
	require.ErrorContains(t, err, "is in the past")
	require.Equal(t, exitRefused, exitCode(err))
	list, err := call(t, "providers", "list", database)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^acme +acme +\S+Z$`, list)
}

func TestACommandThatShowsASecretDoesItsWorkOnce(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.Completed)
	for _, args := range [][]string{
		{"keys", "create", "--name=a", "--role=viewer"},
		{"webhooks", "create", "https://hooks.example.com/"},
		{"webhooks", "callback-secret"},
		{"orders", "password", "o-1", "--reason=lost"},
	} {
		args = append(args, "--idempotency-key="+strings.Join(args[:2], " "))
		first := s.must(args...)
		again := s.run(args...)
		require.ErrorContains(t, again.err, "an earlier request with this Idempotency-Key", args)
		require.Equal(t, exitRefused, exitCode(again.err), args)
		require.NotContains(t, again.out+again.logs, first)
	}
	id := idOf(s.must("keys", "create", "--name=b", "--role=viewer"))
	rotated := s.run("keys", "rotate", id, "--idempotency-key=r")
	require.NoError(t, rotated.err)
	again := s.run("keys", "rotate", id, "--idempotency-key=r")
	require.ErrorContains(t, again.err, "replaced API key "+id+" by "+idOf(strings.TrimSpace(rotated.out)))
	hook := s.must("webhooks", "create", "https://hooks.example.com/", "-q")
	s.must("webhooks", "rotate-secret", hook, "--idempotency-key=h")
	require.ErrorContains(t, s.run("webhooks", "rotate-secret", hook, "--idempotency-key=h").err, "replaced the secret of webhook "+hook)
	first := s.must("webhooks", "rotate-secret", hook)
	require.NotEqual(t, first, s.must("webhooks", "rotate-secret", hook), "each command has a key of its own")
}

func TestRolesByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	require.Regexp(t, `(?m)^viewer +Reads everything except API keys\. +orders:read, `, s.must("keys", "roles"))
	require.Equal(t, "marketplace\nviewer\noperator\nadmin", s.must("keys", "roles", "-q"))
}

func TestFiltersByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	require.Contains(t, s.must("filters", "save", "Stuck in the Baltics", "--list=orders", "--query=state=action_required&marketplace=baltic"),
		"state=action_required&marketplace=baltic")
	require.Regexp(t, `Stuck in the Baltics +orders +state=action_required&marketplace=baltic`, s.must("filters", "list"))
	refused := s.run("filters", "save", "a/b", "--list=orders", "--query=x=1")
	require.Contains(t, inWords(refused.err), "must not contain a slash")
	require.Contains(t, s.must("filters", "delete", "Stuck in the Baltics", "--yes"), "Stuck in the Baltics: deleted")
	require.Equal(t, exitNotFound, exitCode(s.run("filters", "delete", "Stuck in the Baltics", "--yes").err))
	require.Empty(t, s.must("filters", "list", "-q"))
}
