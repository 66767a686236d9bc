package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestManualStepsAreTickedAndUnticked(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	require.NoError(t, store.Orders.Allocate(ctx, key, claim(t, store, key).Account.ID, provision.Result{ManualSteps: []string{"a", "b"}}))
	tick := func(number int, done bool, id string) {
		require.NoError(t, store.Orders.Tick(ctx, key, number, done, provision.Intervention{Actor: "jane", Reason: "asked " + id, ID: id}))
	}
	ticked := func() map[int]provision.Tick {
		view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
		require.NoError(t, err)
		return view.Ticked
	}
	require.Empty(t, ticked())
	tick(1, false, "0")
	tick(2, true, "1")
	tick(2, true, "2")
	tick(1, true, "3")
	now := ticked()
	require.Len(t, now, 2)
	require.Equal(t, "jane", now[2].By)
	require.WithinDuration(t, time.Now(), now[2].At, time.Minute)
	tick(2, false, "4")
	require.Len(t, ticked(), 1)
	require.Contains(t, ticked(), 1)

	history, err := store.Orders.History(ctx, key.Tenant(), key.ID, 0, 50)
	require.NoError(t, err)
	var entries [][]any
	for _, entry := range history[len(history)-3:] {
		require.Equal(t, provision.Completed, entry.ToState)
		require.Equal(t, "jane", entry.Actor)
		entries = append(entries, []any{entry.Code, entry.Fields, entry.Reason})
	}
	require.Equal(t, [][]any{
		{"tick", []string{"manual_steps.2"}, "asked 1"}, {"tick", []string{"manual_steps.1"}, "asked 3"},
		{"untick", []string{"manual_steps.2"}, "asked 4"},
	}, entries, "what changes nothing is not recorded")
	require.ErrorIs(t, store.Orders.Tick(ctx, provision.OrderKey{Provider: "other", ID: "o"}, 1, true, provision.Intervention{Actor: "x"}),
		provision.ErrNotFound)
}
