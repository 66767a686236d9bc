package postgres_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func once(content, makes string) *provision.Once {
	sum := make([]byte, 32)
	copy(sum, content)
	return &provision.Once{Provider: "acme", Caller: "key admin", Key: "k-1", SHA256: sum, Makes: makes}
}

// createOnce creates a viewer's key by a request that takes effect once.
func createOnce(ctx context.Context, store *postgres.DB, id string, request *provision.Once) error {
	_, err := store.APIKeys.Create(provision.WithOnce(ctx, request), "key admin", apiKey(id, provision.RoleViewer))
	return err
}

func repeatOf(t *testing.T, err error) provision.RepeatError {
	t.Helper()
	var repeat *provision.RepeatError
	require.ErrorAs(t, err, &repeat)
	return *repeat
}

func TestARepeatedRequestMakesNothing(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	require.NoError(t, store.IdempotencyKeys.Check(ctx, *once("a", "")))
	require.NoError(t, createOnce(ctx, store, "first", once("a", "first")))
	repeat := repeatOf(t, createOnce(ctx, store, "second", once("a", "second")))
	require.Equal(t, "first", repeat.Made)
	require.WithinDuration(t, time.Now(), repeat.At, time.Minute)
	require.False(t, repeat.Differs)
	require.True(t, repeatOf(t, createOnce(ctx, store, "second", once("b", "second"))).Differs)
	require.Equal(t, repeat, repeatOf(t, store.IdempotencyKeys.Check(ctx, *once("a", ""))))
	keys, err := store.APIKeys.Find(ctx, "first", "second")
	require.NoError(t, err)
	require.Len(t, keys, 1)

	other := once("b", "other")
	other.Caller = "key viewer"
	require.NoError(t, createOnce(ctx, store, "other", other), "another caller's key is another one")
	require.NoError(t, createOnce(ctx, store, "free", nil))

	db.MustExec(`UPDATE idempotency_keys SET at = at - interval '25 hours' WHERE caller = 'key admin'`)
	require.NoError(t, createOnce(ctx, store, "second", once("b", "second")), "a day later the key is free")
	require.Equal(t, "second", repeatOf(t, createOnce(ctx, store, "third", once("b", "third"))).Made)
}

// A crash between the record and the thing must not leave one without the other: they are in one transaction.
func TestARequestThatFailsLeavesItsKeyUnused(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	require.NoError(t, createOnce(ctx, store, "taken", nil))
	require.ErrorContains(t, createOnce(ctx, store, "taken", once("a", "taken")), "api_keys_pkey")
	var records int
	require.NoError(t, db.Get(&records, `SELECT count(*) FROM idempotency_keys`))
	require.Zero(t, records)
	require.NoError(t, createOnce(ctx, store, "another", once("a", "another")))
}

func TestARepeatDoesNotWaitForTheRequestThatRuns(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	tx := db.MustBegin()
	tx.MustExec(`SELECT set_config('qm.actor', 'test', true)`)
	tx.MustExec(`LOCK TABLE access_history`) // the first request waits here, behind its record
	running := make(chan error, 1)
	go func() { running <- createOnce(ctx, store, "first", once("a", "first")) }()
	require.Eventually(t, func() bool {
		var waits bool
		require.NoError(t, db.Get(&waits, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'access_history'::regclass)`))
		return waits
	}, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, provision.RepeatError{Running: true}, repeatOf(t, createOnce(ctx, store, "second", once("a", "second"))))
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-running)
}

func TestOfManyEqualRequestsOneTakesEffect(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	var made atomic.Int32
	var all sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all.Go(func() {
			if createOnce(ctx, store, id, once("x", id)) == nil {
				made.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, made.Load())
	var keys int
	require.NoError(t, db.Get(&keys, `SELECT count(*) FROM api_keys`))
	require.Equal(t, 1, keys)
}

func TestAPasswordIsRequestedOnce(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := completedOrder(t, store, "o-1")
	request := wanted("1")
	request.Once = once("a", key.ID)
	_, err := store.Passwords.Request(ctx, key, request)
	require.NoError(t, err)
	_, err = store.Passwords.Request(ctx, key, request)
	require.NoError(t, err, "an activity that is tried again")
	require.Equal(t, key.ID, repeatOf(t, store.IdempotencyKeys.Check(ctx, *request.Once)).Made)
	second := wanted("2")
	second.Once = once("a", key.ID)
	_, err = store.Passwords.Request(ctx, key, second)
	var failure *provision.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, provision.CodeOrderNotInProgress, failure.Code)
	require.Contains(t, failure.Reason, "the same Idempotency-Key")
}

func TestRecordsOfRequestsArePurged(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	require.NoError(t, createOnce(ctx, store, "old", once("a", "old")))
	recent := once("a", "recent")
	recent.Key = "k-2"
	require.NoError(t, createOnce(ctx, store, "recent", recent))
	db.MustExec(`UPDATE idempotency_keys SET at = at - interval '25 hours' WHERE made = 'old'`)
	_, err := store.Events.Purge(ctx, 10)
	require.NoError(t, err)
	var left []string
	require.NoError(t, db.Select(&left, `SELECT made FROM idempotency_keys`))
	require.Equal(t, []string{"recent"}, left)
}
