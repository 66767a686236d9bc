package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestPoolsAndStockByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	north := func(args ...string) []string { return append(args, "--marketplace=north", "--json") }
	s.must(north("pools", "create", "--report=cur", "--threshold=0")...)
	again := s.run(north("pools", "create", "--threshold=7")...)
	require.NoError(t, again.err)
	require.Contains(t, again.logs, "stays as it is")
	require.Contains(t, again.out, `"stock_threshold":0`)

	var set openapi.Pool
	updated := s.must(north("pools", "update",
		"--threshold=3", "--model-threshold=ECAM=2", "--model-threshold=SPAM=1", "--wait-deadline=2d", "--renotify-interval=6h",
		"--no-provide-root-user", "--on-failure=park", "--contact-types=BILLING,SECURITY",
		"--instructions=SPAM=Sign in, as {iam_user_name}; ask us.")...)
	require.NoError(t, json.Unmarshal([]byte(updated), &set))
	require.Equal(t, 3, *set.StockThreshold)
	require.Equal(t, openapi.ModelThresholds{{Model: "ECAM", Threshold: 2}, {Model: "SPAM", Threshold: 1}}, set.ModelThresholds)
	require.Equal(t, 48*60*60, *set.WaitDeadlineSeconds)
	require.False(t, set.ProvideRootUser)
	require.Equal(t, "park", set.OnFailure)
	require.Equal(t, openapi.AlternateContactTypes{"BILLING", "SECURITY"}, set.AlternateContactTypes)
	require.Equal(t, openapi.Instructions{{Model: "SPAM", Text: "Sign in, as {iam_user_name}; ask us."}}, set.Instructions)
	require.Equal(t, provision.LegacyCUR, set.ReportKind, "what is not named stays")
	set = openapi.Pool{}
	updated = s.must(north("pools", "update",
		"--model-threshold=ECAM=-1", "--wait-deadline=0s", "--provide-root-user", "--instructions=SPAM=")...)
	require.NoError(t, json.Unmarshal([]byte(updated), &set))
	require.Equal(t, openapi.ModelThresholds{{Model: "SPAM", Threshold: 1}}, set.ModelThresholds)
	require.Nil(t, set.WaitDeadlineSeconds)
	require.True(t, set.ProvideRootUser)
	require.Empty(t, set.Instructions)
	require.Equal(t, updated, s.must(north("pools", "show")...))
	refused := s.run(north("pools", "update", "--report-region=il-central-1")...)
	require.Contains(t, inWords(refused.err), "\n  report_region: AWS delivers no legacy report")
	require.Equal(t, exitRefused, exitCode(refused.err))

	require.Regexp(t, `north +production +cur +us-east-1 +park +3`, s.must("pools", "list"))
	require.Regexp(t, `(?m)^threshold +3$`, s.must("pools", "show", "--marketplace=north"))
	require.Regexp(t, `key \S+ +stock_threshold +0 +3`, s.must("pools", "history", "--marketplace=north"))

	require.Equal(t, "999988887777: protected", s.must("pools", "protect", "--reason=payer", "999988887777"))
	require.Contains(t, s.must("pools", "protected"), "999988887777")
	create := north("accounts", "create", "--model=SPAM", "--name=N", "--root-email=r@acme.example",
		"999988887777", "--role-arn=arn:aws:iam::999988887777:role/q")
	require.Contains(t, inWords(s.run(create...).err), "account 999988887777 is protected")
	require.ErrorContains(t, s.run("pools", "unprotect", "999988887777").err, "add --yes")
	s.must("pools", "unprotect", "--yes", "999988887777")
	s.must(create...)

	s.store.SQL().MustExec(`UPDATE pools
		SET claims_suspended_at = '2026-11-25 10:00:00Z', claims_suspended_because = 'order o could enter neither' WHERE marketplace = 'north'`)
	require.Regexp(t, `cur +us-east-1 +park +3 +suspended since 2026-11-25T10:00:00Z: order o could enter neither`, s.must("pools", "list"))
	require.Regexp(t, `0.0 days +- +suspended since 2026-11-25T10:00:00Z: order o could enter neither`, s.must("stock"))
	s.store.SQL().MustExec(`UPDATE pools SET claims_suspended_at = NULL, claims_suspended_because = ''`)

	stock := s.must("stock", "--marketplace=north")
	require.Regexp(t, `north/production +all +0 +3 +0 +0 +0 +0 +1 +0 +0.0 days +-`, stock)
	require.Regexp(t, ` +SPAM +0 +1 `, stock)
	require.NotContains(t, stock, "nordic")
	require.Equal(t, "north/production", s.must("stock", "--marketplace=north", "-q"))
}

func TestSettingsThatNeedCareAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	nordic := func(args ...string) []string { return append(args, "--marketplace=nordic", "--json") }
	require.NotContains(t, s.run(nordic("pools", "show")...).logs, "warning")
	refused := s.run(nordic("pools", "update", "--boundary=arn:aws:iam::aws:policy/PowerUserAccess")...)
	require.Contains(t, inWords(refused.err), "permissions_boundary_arn: ")
	require.Contains(t, inWords(refused.err), "does not allow iam:ChangePassword")
	for _, args := range [][]string{
		{"pools", "update", "--report=export", "--report-region=me-south-1", "--boundary=arn:aws:iam::111122223333:policy/B"},
		{"pools", "show"},
	} {
		r := s.run(nordic(args...)...)
		require.NoError(t, r.err)
		require.Contains(t, r.logs, "warning: report_region: AWS does not enable the region me-south-1 automatically")
		require.Contains(t, r.logs, "warning: permissions_boundary_arn: arn:aws:iam::111122223333:policy/B must allow iam:ChangePassword")
		require.True(t, json.Valid([]byte(r.out)))
	}
}
