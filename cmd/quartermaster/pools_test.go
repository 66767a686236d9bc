package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestPoolsAndStockByCommandLine(t *testing.T) {
	t.Parallel()
	database := "--database-url=" + pgtest.URL(t)
	north := []string{"--provider=acme", "--marketplace=north", database}
	mustCall := func(args ...string) string {
		t.Helper()
		out, err := call(t, args...)
		require.NoError(t, err, "%v", args)
		return out
	}
	mustCall("providers", "create", "acme", database)
	mustCall(append([]string{"pools", "create", "--report=cur", "--threshold=0"}, north...)...)
	require.Contains(t, mustCall(append([]string{"pools", "create", "--threshold=7"}, north...)...), "stays as it is")

	var set openapi.Pool
	updated := mustCall(append([]string{"pools", "update",
		"--threshold=3", "--model-threshold=ECAM=2", "--model-threshold=SPAM=1",
		"--wait-deadline=48h", "--renotify-interval=6h",
		"--no-provide-root-user", "--on-failure=park", "--contact-types=BILLING,SECURITY",
		"--instructions=SPAM=Sign in, as {iam_user_name}; ask us."}, north...)...)
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
	updated = mustCall(append([]string{"pools", "update",
		"--model-threshold=ECAM=-1", "--wait-deadline=0s", "--provide-root-user", "--instructions=SPAM="}, north...)...)
	require.NoError(t, json.Unmarshal([]byte(updated), &set))
	require.Equal(t, openapi.ModelThresholds{{Model: "SPAM", Threshold: 1}}, set.ModelThresholds)
	require.Nil(t, set.WaitDeadlineSeconds)
	require.True(t, set.ProvideRootUser)
	require.Empty(t, set.Instructions)
	var shown openapi.Pool
	require.NoError(t, json.Unmarshal([]byte(mustCall(append([]string{"pools", "show"}, north...)...)), &shown))
	require.Equal(t, set, shown)
	_, err := call(t, append([]string{"pools", "update", "--report-region=il-central-1", "--action-deadline=1s"}, north...)...)
	require.ErrorContains(t, err, "report_region: AWS delivers no legacy report")
	require.ErrorContains(t, err, "action_deadline_seconds: 1 is out of range", "every wrong one at once")

	require.Regexp(t, `north +production +cur +us-east-1 +park +3`, mustCall("pools", "list", "--provider=acme", database))
	history := mustCall(append([]string{"pools", "show", "--history"}, north...)...)
	require.Regexp(t, `cli \S+ +stock_threshold +0 +3`, history)

	mustCall("pools", "protect", "--provider=acme", "--note= payer ", "999988887777", database)
	require.Regexp(t, `999988887777.* payer`, mustCall("pools", "protected", "--provider=acme", database))
	_, err = call(t, "pools", "protect", "--provider=acme", "--note=pay\u202eer", "999988887777", database)
	require.ErrorContains(t, err, "--note has a character that changes the direction of the text")
	create := append([]string{"accounts", "create", "--model=SPAM", "--name=N", "--root-email=r@acme.example",
		"999988887777", "--role-arn=arn:aws:iam::999988887777:role/q"}, north...)
	_, err = call(t, create...)
	require.ErrorIs(t, err, provision.ErrProtected)
	mustCall("pools", "unprotect", "--provider=acme", "999988887777", database)
	mustCall(create...)

	db, err := postgres.Open(t.Context(), strings.TrimPrefix(database, "--database-url="))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SQL().MustExec(`UPDATE pools
		SET claims_suspended_at = '2026-11-25 10:00:00Z', claims_suspended_because = 'order o could enter neither'`)
	require.Regexp(t, `cur +us-east-1 +park +3 +suspended since 2026-11-25T10:00:00Z: order o could enter neither`,
		mustCall("pools", "list", "--provider=acme", database))
	require.Regexp(t, `0.0 days +- +suspended since 2026-11-25T10:00:00Z: order o could enter neither`, mustCall("stock", database))
	db.SQL().MustExec(`UPDATE pools SET claims_suspended_at = NULL, claims_suspended_because = ''`)

	stock := mustCall("stock", database)
	require.Regexp(t, `acme/north/production +all +0 +3 +0 +0 +0 +0 +1 +0 +0.0 days +-`, stock)
	require.Regexp(t, ` +SPAM +0 +1 `, stock)
	require.Contains(t, mustCall("stock", "--provider=acme", "--json", database), `"waiting_for_verification":1`)
}

func TestSettingsThatNeedCareAreWarnedOf(t *testing.T) {
	t.Parallel()
	database := "--database-url=" + pgtest.URL(t)
	north := []string{"--provider=acme", "--marketplace=north", database}
	run := func(args ...string) (out, logs string, err error) {
		var written, logged bytes.Buffer
		err = run(t.Context(), args, &written, &logged)
		return written.String(), logged.String(), err
	}
	_, err := call(t, "providers", "create", "acme", database)
	require.NoError(t, err)
	_, logs, err := run(append([]string{"pools", "create"}, north...)...)
	require.NoError(t, err)
	require.NotContains(t, logs, "warning")
	_, _, err = run(append([]string{"pools", "update", "--boundary=arn:aws:iam::aws:policy/PowerUserAccess"}, north...)...)
	require.ErrorContains(t, err, "permissions_boundary_arn: ")
	require.ErrorContains(t, err, "does not allow iam:ChangePassword")
	for _, args := range [][]string{
		{"pools", "update", "--report-region=me-south-1", "--boundary=arn:aws:iam::111122223333:policy/B"},
		{"pools", "show"},
	} {
		out, logs, err := run(append(args, north...)...)
		require.NoError(t, err)
		require.Contains(t, logs, "warning: report_region: AWS does not enable the region me-south-1 automatically")
		require.Contains(t, logs, "warning: permissions_boundary_arn: arn:aws:iam::111122223333:policy/B must allow iam:ChangePassword")
		require.True(t, json.Valid([]byte(out)))
	}
}
