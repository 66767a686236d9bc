package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestTheRoleOfAnAccountIsPrintedFilledIn(t *testing.T) {
	t.Parallel()
	database := "--database-url=" + pgtest.URL(t)
	const (
		id        = "111122223333"
		principal = "arn:aws:iam::999988887777:role/workers"
		policy    = "arn:aws:iam::aws:policy/job-function/Billing"
		boundary  = "arn:aws:iam::111122223333:policy/B"
	)
	north := []string{"--provider=acme", "--marketplace=north", database}
	mustCall := func(args ...string) string {
		t.Helper()
		out, err := call(t, args...)
		require.NoError(t, err, "%v", args)
		return out
	}
	mustCall("providers", "create", "acme", database)
	mustCall(append([]string{"pools", "create", "--policies=" + policy, "--boundary=" + boundary}, north...)...)
	var added openapi.Account
	created := mustCall(append([]string{"accounts", "create", "--model=SPAM", "--name=N", "--root-email=r@acme.example", id,
		"--role-arn=arn:aws:iam::" + id + ":role/ops/Quartermaster"}, north...)...)
	require.NoError(t, json.Unmarshal([]byte(created), &added))

	role := func(more ...string) (string, error) {
		return call(t, append([]string{"accounts", "role", id, "--provider=acme", database}, more...)...)
	}
	all, err := role("--principal=" + principal)
	require.NoError(t, err)
	require.NotContains(t, all, "${ACCOUNT}")
	var policies map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(all), &policies))
	require.Contains(t, string(policies["role"]), policy)
	require.Contains(t, string(policies["role"]), boundary)
	require.Contains(t, string(policies["trust"]), added.ExternalID)
	require.Contains(t, string(policies["trust"]), principal)
	require.Contains(t, string(policies["service"]), "arn:aws:iam::*:role/ops/Quartermaster")
	for _, only := range []string{"role", "trust", "service"} {
		one, err := role("--principal="+principal, "--only="+only)
		require.NoError(t, err)
		require.JSONEq(t, string(policies[only]), one)
		require.Contains(t, one, `"Statement"`)
	}
	_, err = role("--only=role")
	require.NoError(t, err, "what it may do does not depend on who assumes it")

	for given, want := range map[string]string{
		"": "--principal is missing",
		"arn:aws:sts::999988887777:assumed-role/workers/i-1": "name the role itself, arn:aws:iam::999988887777:role/workers",
		"workers":                     "write it as arn:aws:iam::<account id>:role/<name>",
		"arn:aws:iam::999988887777:*": "write it as",
	} {
		_, err := role("--principal=" + given)
		require.ErrorContains(t, err, want)
	}
	_, err = call(t, "accounts", "role", id, "--provider=other", "--principal="+principal, database)
	require.ErrorIs(t, err, provision.ErrNotFound, "another provider's account")
	require.NotContains(t, all, `\u003c`)
}
