package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestAccountsAreSearchedAndCounted(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.Completed)
	s.account("111122223333", provision.AccountInvalid)
	s.account("111133334444", provision.AccountReady)
	require.Equal(t, "111122223333\n111133334444", s.must("accounts", "list", "--search=pool 1111", "-q"))
	require.Equal(t, "111133334444", s.must("accounts", "list", "--search=aws+111133334444@acme.example", "-q"))
	require.Equal(t, "000000500001", s.must("accounts", "list", "--search=o-1", "-q"))
	require.Equal(t, "111122223333", s.must("accounts", "list", "--to-verify", "-q"))
	require.Empty(t, s.must("accounts", "list", "--finding", "-q"))
	require.Contains(t, s.must("accounts", "export", "--search=111122223333"), "111122223333")
	require.NotContains(t, s.must("accounts", "export", "--search=111122223333"), "111133334444")

	counts := s.must("accounts", "counts", "--marketplace=nordic")
	require.Regexp(t, `(?m)^all +3$`, counts)
	require.Regexp(t, `(?m)^Ready +1$`, counts)
	require.Regexp(t, `(?m)^Allocated +1$`, counts)
	require.Regexp(t, `(?m)^Invalid, to verify +1$`, counts)
	require.Regexp(t, `(?m)^all +0$`, s.must("accounts", "counts", "--environment=test"))
	require.Regexp(t, `(?m)^place in line +1$`, s.must("accounts", "show", "111133334444"))
	require.NotContains(t, s.must("accounts", "show", "111122223333"), "place in line")
}

func TestChecksAndChangesOfAnAccountArePrinted(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	ctx := t.Context()
	s.account("111122223333", provision.AccountInvalid)
	account, now, err := s.store.Verifications.Account(ctx, "111122223333")
	require.NoError(t, err)
	result := provision.VerificationResult{AccountID: account.ID, Version: account.Version, LookedAt: &now, Checks: []provision.AccountCheck{
		{Name: provision.CheckRole, Outcome: provision.CheckFailed, At: &now}, {Name: provision.CheckClean, Outcome: provision.CheckNotReached}}}
	result.Fail(provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "the role cannot be assumed"})
	require.NoError(t, pgtest.Err(s.store.Verifications.Apply(ctx, []provision.VerificationResult{result})))
	checks := s.must("accounts", "checks", account.ID)
	require.Regexp(t, `(?m)^role +failed +\S+ +AccountCannotBeEntered: the role cannot be assumed`, checks)
	require.Regexp(t, `(?m)^clean +not_reached +- +-`, checks)

	s.order("o-1", provision.ActionRequired)
	key := provision.OrderKey{Provider: "acme", ID: "o-1"}
	require.NoError(t, pgtest.Err(s.store.Steps.Begin(ctx, key, "000000500001", provision.StepAlias, 1)))
	require.Regexp(t, `(?m)^\S+ +o-1 +account_alias +running +- +berg-logistics +-`, s.must("accounts", "changes", "000000500001"))
	require.Equal(t, exitNotFound, exitCode(s.run("accounts", "changes", "444422223333").err))
}

func TestTheStockOfThePastIsPrinted(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.account("111122223333", provision.AccountReady)
	require.NoError(t, pgtest.Err(s.store.Stock.Watch(t.Context())))
	require.Regexp(t, `(?m)^nordic/production +\S+ +1 +0 +-`, s.must("stock", "history", "--model=SPAM"))
	require.Equal(t, "nordic/production", s.must("stock", "history", "-q", "--since=7d"))
	require.Contains(t, s.must("stock"), "nordic/production", "the stock is shown when no command is named")
}

func TestReasonsOfDeletionsAndRevocationsAreInTheHistory(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.account("111122223333", provision.AccountReady)
	s.must("accounts", "delete", "111122223333", "--reason=closed in AWS", "--yes")
	s.must("pools", "protect", "--reason=payer", "999988887777")
	s.must("pools", "unprotect", "--reason=sold", "999988887777", "--yes")
	webhook := s.must("webhooks", "create", "https://hooks.example.com/", "-q")
	s.must("webhooks", "delete", webhook, "--reason=replaced", "--yes")
	key := s.must("keys", "create", "--name=shop", "--role=viewer", "-q")
	s.must("keys", "revoke", key, "--reason=the shop is gone", "--yes")
	history := s.must("history")
	for _, line := range []string{
		`111122223333 +delete .*deleted: closed in AWS`, `999988887777 +unprotected .*sold`, webhook + ` +webhook_deleted .*replaced`,
		key + ` +revoked .*the shop is gone`,
	} {
		require.Regexp(t, line, history)
	}
}
