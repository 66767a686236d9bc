package postgres_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func TestAnEndpointSaysHowManyMessagesWait(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store, "stock.*")
	queue := func() provision.WebhookQueue {
		t.Helper()
		w, err := store.Webhooks.Get(ctx, key)
		require.NoError(t, err)
		return w.Queue
	}
	require.Equal(t, provision.WebhookQueue{}, queue())
	for _, subject := range []string{"1", "2", "3"} {
		emit(t, db, "acme", "stock.low", subject)
	}
	around(t, db, `UPDATE events SET at = at - interval '1 hour' WHERE subject = '1'`)
	require.NotEmpty(t, next(t, store, key).ID)
	waiting := queue()
	require.Equal(t, 3, waiting.Messages)
	require.WithinDuration(t, time.Now().Add(-time.Hour), *waiting.OldestAt, time.Minute)
	_, err := store.Webhooks.Test(ctx, "test", key)
	require.NoError(t, err)
	require.Equal(t, waiting, queue(), "a test is no message")
	record(t, store, key, refused)
	record(t, store, key, taken)
	require.Equal(t, 2, queue().Messages)

	no := false
	_, err = store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Enabled: &no})
	require.NoError(t, err)
	emit(t, db, "acme", "stock.low", "4")
	emit(t, db, "acme", "pool.claims_suspended", "of another type")
	emit(t, db, "other", "stock.low", "of another provider")
	require.Equal(t, 3, queue().Messages, "they wait while it is disabled, too")
	require.NoError(t, ignored(store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Enabled: new(true)})))
	require.NoError(t, store.Deliveries.Replay(ctx, "test", key, time.Now().Add(-2*time.Hour)))
	require.NoError(t, ignored(store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Enabled: &no})))
	require.Equal(t, 4, queue().Messages, "none is counted twice")

	around(t, db, fmt.Sprintf(`INSERT INTO events (provider, type, subject, data)
		SELECT 'acme', 'stock.low', 'x', '{}' FROM generate_series(1, %d) i`, provision.MostCounted+10))
	many := queue()
	require.Greater(t, many.Messages, provision.MostCounted-10)
	require.True(t, many.More)
	all, err := store.Webhooks.List(ctx, "acme", nil, 10)
	require.NoError(t, err)
	require.Equal(t, many, all[0].Queue)
}

func ignored[T any](_ T, err error) error { return err }

func TestTheMessagesOfADisabledCallbackWait(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	for id, url := range map[string]string{"o-1": "https://a.example/", "o-2": "https://b.example/"} {
		o := order(id, "")
		o.Request.CallbackURL = url
		_, err := store.Orders.Open(ctx, o)
		require.NoError(t, err)
	}
	all, err := store.Webhooks.List(ctx, "acme", nil, 10)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Zero(t, all[0].Queue.Messages, "an enabled one gets its deliveries at once")
	no := false
	disabled, err := store.Webhooks.Update(ctx, "test", provision.WebhookKey{Provider: "acme", ID: all[0].ID}, 0,
		provision.WebhookUpdate{Enabled: &no})
	require.NoError(t, err)
	require.Equal(t, 1, disabled.Queue.Messages)
	require.NotNil(t, disabled.Queue.OldestAt)
}

func TestAnEndpointSaysWhatTheLastAttemptCameTo(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store)
	endpoint := func() provision.Webhook {
		t.Helper()
		w, err := store.Webhooks.Get(ctx, key)
		require.NoError(t, err)
		return w
	}
	require.Nil(t, endpoint().LastAttemptAt)
	require.Equal(t, "test", endpoint().CreatedBy)
	emit(t, db, "acme", "stock.low", "1")
	first := record(t, store, key, retried(0))
	w := endpoint()
	require.NotNil(t, w.LastAttemptAt)
	require.Equal(t, retried(0).StatusCode, w.LastStatusCode)
	require.Equal(t, retried(0).Error, w.LastError)
	last := func() *provision.DeliveryAttempt {
		t.Helper()
		listed, err := store.Deliveries.List(ctx, key, provision.DeliveryFilter{Limit: 10})
		require.NoError(t, err)
		one, attempts, err := store.Deliveries.Get(ctx, key, first)
		require.NoError(t, err)
		require.Equal(t, attempts[len(attempts)-1], *one.LastAttempt)
		require.Equal(t, one, listed[len(listed)-1])
		return one.LastAttempt
	}
	require.Equal(t, retried(0).Error, last().Error)
	silent := retried(0)
	silent.StatusCode, silent.Error = 0, "no answer"
	record(t, store, key, silent)
	w = endpoint()
	require.Equal(t, []any{0, "no answer"}, []any{w.LastStatusCode, w.LastError})
	record(t, store, key, taken)
	require.Empty(t, last().Error)
	require.Empty(t, endpoint().LastError)
	resent, err := store.Deliveries.Resend(ctx, "test", key, first)
	require.NoError(t, err)
	require.Equal(t, last(), resent.LastAttempt)
	require.Empty(t, next(t, store, key).Wait)
	emit(t, db, "acme", "stock.low", "2")
	listed, err := store.Deliveries.List(ctx, key, provision.DeliveryFilter{Limit: 10})
	require.NoError(t, err)
	require.NotNil(t, listed[len(listed)-1].LastAttempt)
}

// 100,000 messages wait for one endpoint, and as many events for one that is disabled: reading both costs no more than the limit.
func TestTheMessagesOfAnEndpointAreCountedUpToALimit(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	busy, disabled := createWebhook(t, store), createWebhook(t, store, "order.*")
	around(t, db, fmt.Sprintf(`INSERT INTO events (provider, type, subject, data)
		SELECT 'acme', 'stock.low', 'x', '{}' FROM generate_series(1, 100000) i;
		INSERT INTO webhook_deliveries (webhook_id, event_seq) SELECT '%s', seq FROM events;
		UPDATE webhooks SET enabled = false, disabled_at = now(), disabled_by = 'test', disabled_because = 'test' WHERE id = '%s'`,
		busy.ID, disabled.ID))
	db.MustExec(`VACUUM ANALYZE`)
	var text []byte
	require.NoError(t, db.QueryRowContext(ctx, `EXPLAIN (ANALYZE, FORMAT JSON) `+postgres.WebhookQueueSQL,
		pq.Array([]string{busy.ID, disabled.ID}), provision.MostCounted).Scan(&text))
	var plans []struct{ Plan map[string]any }
	require.NoError(t, json.Unmarshal(text, &plans))
	require.LessOrEqual(t, touched(plans[0].Plan), 10.0*provision.MostCounted, "%s", text)
	all, err := store.Webhooks.List(ctx, "acme", nil, 10)
	require.NoError(t, err)
	require.Equal(t, []int{provision.MostCounted, 0}, []int{all[0].Queue.Messages, all[1].Queue.Messages})
}
