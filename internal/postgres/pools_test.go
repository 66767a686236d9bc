package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestSettingsOfAPoolAreCreatedUpdatedAndInTheHistory(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	fresh := provision.DefaultPool(provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Test})
	made, err := store.Pools.Create(ctx, "key abc", fresh)
	require.NoError(t, err)
	fresh.Version, fresh.CreatedAt = 1, made.CreatedAt
	require.Equal(t, fresh, made, "what is not set has the default")
	inherited, err := store.Pools.Get(ctx, pool) // setup created it with the default settings
	require.NoError(t, err)
	fresh.Pool, fresh.CreatedAt = pool, inherited.CreatedAt
	require.Equal(t, fresh, inherited, "the defaults of the schema are those of the program")
	_, err = store.Pools.Create(ctx, "key abc", made)
	require.ErrorIs(t, err, provision.ErrConflict)
	made.Provider = "unknown"
	_, err = store.Pools.Create(ctx, "key abc", made)
	require.ErrorIs(t, err, provision.ErrNotFound)

	everything := func(c *provision.PoolConfig) {
		three := 3
		c.Settings = provision.PoolSettings{AlternateContactTypes: []string{"BILLING"}, ReportKind: provision.LegacyCUR,
			ReportRegion: "eu-west-1", ReportPrefix: "a/b",
			UserPolicyARNs: []string{"arn:aws:iam::aws:policy/Billing"}, PermissionsBoundary: "arn:aws:iam::111122223333:policy/B",
			OnFailure: provision.OnFailurePark, WaitDeadline: time.Hour, ActionDeadline: 2 * time.Hour,
			Instructions: map[provision.Model]string{"SPAM": "{alias}"}}
		c.StockThreshold, c.ModelThresholds, c.RenotifyEvery = &three, map[provision.Model]int{"ECAM": 2}, 3*time.Hour
	}
	edited, err := store.Pools.Update(ctx, "key abc", pool, 1, everything)
	require.NoError(t, err)
	want := inherited
	everything(&want)
	want.Version = 2
	require.Equal(t, want, edited)
	_, err = store.Pools.Update(ctx, "key abc", pool, 1, func(*provision.PoolConfig) { t.Error("another update was faster") })
	require.ErrorIs(t, err, provision.ErrStale)
	same, err := store.Pools.Update(ctx, "key abc", pool, 2, everything)
	require.NoError(t, err)
	require.EqualValues(t, 2, same.Version, "nothing was changed")
	_, err = store.Pools.Update(ctx, "key abc", pool, 0, func(c *provision.PoolConfig) { c.Settings.ReportRegion = "mx-central-1" })
	var invalid *provision.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "report_region", invalid.Fields[0].Field)

	db.MustExec(`UPDATE pools SET on_failure = 'return' WHERE marketplace = 'north'`)
	db.MustExec(`UPDATE pools SET verification_suspended_at = now() WHERE marketplace = 'north'`)
	events, err := store.Pools.History(ctx, pool, 0, 100)
	require.NoError(t, err)
	changed := map[string]string{}
	for _, e := range events[1 : len(events)-1] {
		require.Equal(t, "key abc", e.Actor)
		changed[e.What] = string(e.Old) + " → " + string(e.New)
	}
	require.Len(t, changed, 14, "%v", changed)
	require.Equal(t, `"us-east-1" → "eu-west-1"`, changed["report_region"])
	require.Equal(t, ` → 3`, changed["stock_threshold"])
	require.Equal(t, `{} → {"SPAM": "{alias}"}`, changed["instructions"])
	require.Equal(t, "created", events[0].What)
	last := events[len(events)-1]
	require.Equal(t, "on_failure", last.What)
	require.Contains(t, last.Actor, "database user ", "a change by hand has an actor too")
	_, err = db.ExecContext(ctx, `UPDATE pool_history SET actor = 'forged'`)
	require.ErrorContains(t, err, "append-only")

	rest, err := store.Pools.History(ctx, pool, last.Seq, 100)
	require.NoError(t, err)
	require.Empty(t, rest)
	_, err = store.Pools.History(ctx, provision.Pool{Provider: "other", Marketplace: "north", Environment: provision.Production}, 0, 100)
	require.ErrorIs(t, err, provision.ErrNotFound)
	list, err := store.Pools.List(ctx, provision.Pool{Provider: "acme"}, 10)
	require.NoError(t, err)
	require.Len(t, list, 2)
	list, err = store.Pools.List(ctx, list[0].Pool, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "south", list[0].Marketplace)
	list, err = store.Pools.List(ctx, provision.Pool{Provider: "other"}, 10)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestAnOrderKeepsTheSettingsItWasPlacedUnder(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	o := order("early", "")
	before, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	_, err = store.Pools.Update(ctx, "test", pool, 0, func(c *provision.PoolConfig) {
		c.Settings.OnFailure, c.Settings.Instructions = provision.OnFailurePark, map[provision.Model]string{"SPAM": "new"}
	})
	require.NoError(t, err)
	again, err := store.Orders.Open(ctx, o) // its workflow starts again
	require.NoError(t, err)
	require.Equal(t, before, again)
	late, err := store.Orders.Open(ctx, order("late", ""))
	require.NoError(t, err)
	require.Equal(t, provision.OnFailurePark, late.Settings.OnFailure)
	require.Equal(t, "new", late.Settings.Instructions["SPAM"])
}
