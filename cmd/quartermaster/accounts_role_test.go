package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
)

func TestTheRoleOfAnAccountIsPrintedFilledIn(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	const (
		id        = "111122223333"
		principal = "arn:aws:iam::999988887777:role/workers"
		policy    = "arn:aws:iam::aws:policy/job-function/Billing"
		boundary  = "arn:aws:iam::111122223333:policy/B"
	)
	north := []string{"--marketplace=north"}
	s.must(append([]string{"pools", "create", "--policies=" + policy, "--boundary=" + boundary}, north...)...)
	var added openapi.Account
	created := s.must(append([]string{"accounts", "create", "--model=SPAM", "--name=N", "--root-email=r@acme.example", id,
		"--role-arn=arn:aws:iam::" + id + ":role/ops/Quartermaster", "--json"}, north...)...)
	require.NoError(t, json.Unmarshal([]byte(created), &added))

	role := func(more ...string) (string, error) {
		r := s.run(append([]string{"accounts", "role", id}, more...)...)
		return r.out, r.err
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
		"": "set QM_AWS_PRINCIPAL_ARN of the API",
		"arn:aws:sts::999988887777:assumed-role/workers/i-1": "name the role itself, arn:aws:iam::999988887777:role/workers",
		"workers":                     "write it as arn:aws:iam::<account id>:role/<name>",
		"arn:aws:iam::999988887777:*": "write it as",
	} {
		_, err := role("--principal=" + given)
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, exitNotFound, exitCode(s.run("accounts", "role", "444422223333", "--principal="+principal).err))
	require.NotContains(t, all, `\u003c`)

	require.NoError(t, s.store.Processes.ReportIdentity(t.Context(), "arn:aws:sts::999988887777:assumed-role/workers/i-1"))
	reported := s.run("accounts", "role", id, "--only=trust")
	require.NoError(t, reported.err)
	require.JSONEq(t, string(policies["trust"]), reported.out, "the role of the session that the worker reported")
	require.Contains(t, reported.logs, "without the role's path")
	require.NoError(t, s.store.Processes.ReportIdentity(t.Context(), "arn:aws:iam::999988887777:root"))
	_, err = role("--only=trust")
	require.ErrorContains(t, err, "neither a role nor a user")
}
