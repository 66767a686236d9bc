package apitest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// Work records what an order in the state action_required has done in its account: the contacts needed a second attempt, and the
// alias is refused.
func (s *Seed) Work(t testing.TB, id string) {
	t.Helper()
	ctx, key := t.Context(), provision.OrderKey{Provider: s.Pool.Provider, ID: id}
	order, err := s.DB.Orders.Get(ctx, key.Tenant(), id)
	require.NoError(t, err)
	step := func(step provision.Step, attempt int32, end provision.AttemptEnd) {
		require.NoError(t, pgtest.Err(s.DB.Steps.Begin(ctx, key, order.AccountID, step, attempt)))
		require.NoError(t, s.DB.Steps.End(ctx, key, order.AccountID, step, end))
	}
	done := provision.AttemptEnd{State: provision.StepDone, Took: time.Second}
	step(provision.StepInspect, 1, done)
	step(provision.StepUser, 1, done)
	step(provision.StepContacts, 1, provision.AttemptEnd{
		State: provision.StepRetrying, Problem: "Throttled: AWS asks to go slower", Took: time.Second,
		AWS: &provision.AWSAnswer{Code: "ThrottlingException", Operation: "account:PutContactInformation", RequestID: "5a1e"},
	})
	step(provision.StepContacts, 2, done)
	step(provision.StepReport, 1, done)
	step(provision.StepAlias, 1, provision.AttemptEnd{
		State: provision.StepFailed, Problem: "AliasTaken (aws_account_alias): another AWS account has this alias", Took: time.Second,
		AWS: &provision.AWSAnswer{Code: "EntityAlreadyExists", Operation: "iam:CreateAccountAlias",
			RequestID: "3f0c7a52-1f1e-4a60-9d0e-6b1f1c2f9a10"},
	})
}
