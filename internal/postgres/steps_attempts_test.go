package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestAStepKeepsItsFirstAndItsLastFailedAttempts(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	fails := func(n int) {
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
		end := provision.AttemptEnd{State: provision.StepRetrying, Problem: fmt.Sprintf("problem %d", n), Took: 2 * time.Second}
		if n%2 == 0 {
			end.AWS = &provision.AWSAnswer{Code: "Throttling", Operation: "iam:CreateAccountAlias", RequestID: fmt.Sprint(n)}
		}
		require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, end))
	}
	step := func() provision.StepView {
		view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
		require.NoError(t, err)
		require.Len(t, view.Steps, 1)
		return view.Steps[0]
	}
	before := time.Now()
	fails(1)
	fails(2)
	now := step()
	require.Len(t, now.FailedAttempts, 2)
	first := now.FailedAttempts[0]
	require.Equal(t, 1, first.Number)
	require.Equal(t, "problem 1", first.Problem)
	require.Nil(t, first.AWS)
	require.False(t, first.Undo)
	require.WithinDuration(t, before, first.Ended, 10*time.Second)
	require.Equal(t, 2*time.Second, first.Ended.Sub(first.Began))
	require.Equal(t, &provision.AWSAnswer{Code: "Throttling", Operation: "iam:CreateAccountAlias", RequestID: "2"}, now.AWS)

	for n := 3; n <= 30; n++ {
		fails(n)
	}
	var numbers []int
	for _, attempt := range step().FailedAttempts {
		require.Equal(t, fmt.Sprintf("problem %d", attempt.Number), attempt.Problem)
		numbers = append(numbers, attempt.Number)
	}
	require.Equal(t, []int{1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30}, numbers)

	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 2)))
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: provision.StepDone}))
	now = step()
	require.Len(t, now.FailedAttempts, 23, "they stay when the step is done")
	require.Nil(t, now.AWS, "the step has no problem any more")

	_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
	require.NoError(t, err)
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias,
		provision.AttemptEnd{State: provision.StepRetrying, Problem: "late", Took: time.Second}))
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias,
		provision.AttemptEnd{State: provision.StepUndoing, Problem: "refused", Took: time.Second}))
	last := step().FailedAttempts[22]
	require.True(t, last.Undo)
	require.Equal(t, "refused", last.Problem, "an attempt at the step that ends during its undo counts no more")
	require.Equal(t, 31, last.Number)
	listed, err := store.Orders.List(ctx, key.Tenant(), provision.OrderFilter{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, listed[0].Steps[0].FailedAttempts, "lists leave them out")
	require.Equal(t, "refused", listed[0].Steps[0].Problem)
}

// What never fails writes no attempts.
func TestAStepThatNeverFailsHasNoAttempts(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	for _, state := range []provision.StepState{provision.StepStopped, provision.StepDone} {
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
		require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: state, Took: time.Second}))
	}
	_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
	require.NoError(t, err)
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: provision.StepUndone}))
	var untouched bool
	require.NoError(t, db.GetContext(ctx, &untouched, `SELECT failed_attempts IS NULL FROM order_steps`))
	require.True(t, untouched)
}
