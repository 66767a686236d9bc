package postgres_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func createWebhook(t *testing.T, store *postgres.DB, types ...string) provision.WebhookKey {
	t.Helper()
	w, err := store.Webhooks.Create(t.Context(), "test",
		provision.Webhook{ID: uuid.NewString(), Provider: "acme", URL: "https://receiver.example/" + uuid.NewString(),
			EventTypes: types}, []byte("sealed"))
	require.NoError(t, err)
	return provision.WebhookKey{Provider: "acme", ID: w.ID}
}

// told are the subjects of the deliveries of a webhook in a state, oldest first.
func told(t *testing.T, store *postgres.DB, key provision.WebhookKey, state provision.DeliveryState) (subjects []string) {
	t.Helper()
	found, err := store.Deliveries.List(t.Context(), key, provision.DeliveryFilter{State: state, Limit: 100})
	require.NoError(t, err)
	for i := len(found) - 1; i >= 0; i-- {
		subjects = append(subjects, found[i].Subject)
	}
	return subjects
}

func next(t *testing.T, store *postgres.DB, key provision.WebhookKey) provision.NextDelivery {
	t.Helper()
	n, err := store.Deliveries.Next(t.Context(), key)
	require.NoError(t, err)
	return n
}

var (
	taken   = provision.DeliveryOutcome{DeliveryAttempt: provision.DeliveryAttempt{At: time.Now(), StatusCode: 204, TookMS: 3}}
	refused = provision.DeliveryOutcome{DeliveryAttempt: provision.DeliveryAttempt{At: time.Now(), StatusCode: 500, Error: "500"}}
)

func retried(in time.Duration) provision.DeliveryOutcome { o := refused; o.RetryIn = &in; return o }

func record(t *testing.T, store *postgres.DB, key provision.WebhookKey, outcome provision.DeliveryOutcome) string {
	t.Helper()
	id := next(t, store, key).ID
	require.NotEmpty(t, id)
	require.NoError(t, store.Deliveries.RecordAttempt(t.Context(), key, id, outcome))
	return id
}

func TestAnEndpointReceivesItsTypesFromItsCreationOn(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	emit(t, db, "acme", "stock.low", "before")
	all, stock, low := createWebhook(t, store), createWebhook(t, store, "stock.*"), createWebhook(t, store, "stock.low", "order.completed")
	emit(t, db, "acme", "stock.low", "1")
	emit(t, db, "acme", "stock.empty", "2")
	emit(t, db, "acme", "stocks.low", "3")
	emit(t, db, "other", "stock.low", "4")
	_, err := store.Webhooks.Test(ctx, "test", low)
	require.NoError(t, err)
	due, err := store.Deliveries.DueWebhooks(ctx, "")
	require.NoError(t, err)
	require.ElementsMatch(t, []provision.WebhookKey{all, stock, low}, due)
	require.Equal(t, []string{"1", "2", "3"}, told(t, store, all, ""))
	require.Equal(t, []string{"1", "2"}, told(t, store, stock, ""))
	require.Equal(t, []string{"1", low.ID}, told(t, store, low, ""), "a test goes to its endpoint only, whatever that listens to")
	due, err = store.Deliveries.DueWebhooks(ctx, "other")
	require.NoError(t, err)
	require.Empty(t, due)
}

func TestTheOldestUndeliveredEventBlocksTheOthers(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store)
	for _, subject := range []string{"1", "2", "3"} {
		emit(t, db, "acme", "stock.low", subject)
	}
	first := record(t, store, key, retried(time.Hour))
	n := next(t, store, key)
	require.Equal(t, first, n.ID)
	require.InDelta(t, time.Hour.Seconds(), n.Wait.Seconds(), 60)
	due, err := store.Deliveries.DueWebhooks(ctx, "acme")
	require.NoError(t, err)
	require.Empty(t, due, "its workflow has a timer")
	_, err = store.Deliveries.Sending(ctx, key, first)
	require.ErrorIs(t, err, provision.ErrConflict, "an attempt that is repeated does not send before its time")

	_, err = store.Deliveries.Resend(ctx, "test", key, first) // retry now
	require.NoError(t, err)
	require.Zero(t, next(t, store, key).Wait)
	record(t, store, key, refused) // the last attempt of the schedule
	require.Equal(t, []string{"1"}, told(t, store, key, provision.DeliveryFailed))
	record(t, store, key, taken)
	record(t, store, key, taken)
	require.Empty(t, next(t, store, key))
	require.Equal(t, []string{"2", "3"}, told(t, store, key, provision.DeliveryDelivered))
	_, err = store.Deliveries.Sending(ctx, key, first)
	require.ErrorIs(t, err, provision.ErrConflict)

	_, err = store.Deliveries.Resend(ctx, "test", key, first)
	require.NoError(t, err)
	sending, err := store.Deliveries.Sending(ctx, key, first)
	require.NoError(t, err)
	require.Equal(t, "1", sending.Event.Subject)
	require.Zero(t, sending.Attempts, "a resend begins the schedule again")
	require.NoError(t, store.Deliveries.RecordAttempt(ctx, key, first, taken))
	d, attempts, err := store.Deliveries.Get(ctx, key, first)
	require.NoError(t, err)
	require.Equal(t, provision.DeliveryDelivered, d.State)
	require.Len(t, attempts, 3)
	require.Equal(t, 500, attempts[0].StatusCode)
	require.Equal(t, sending.Event.ID, d.EventID)
}

func TestAnEndpointSaysWhatItsMessagesWaitFor(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store)
	blocked := func() *provision.BlockedDelivery {
		t.Helper()
		w, err := store.Webhooks.Get(ctx, key)
		require.NoError(t, err)
		all, err := store.Webhooks.List(ctx, "acme", nil, 10)
		require.NoError(t, err)
		require.Equal(t, []provision.Webhook{w}, all)
		return w.Blocked
	}
	emit(t, db, "acme", "stock.low", "1")
	emit(t, db, "acme", "stock.low", "2")
	require.NotEmpty(t, next(t, store, key).ID)
	require.Nil(t, blocked(), "it was not tried yet")

	began := time.Now().Add(-time.Hour)
	for i, err := range []string{"500", "502"} {
		outcome := retried(0)
		outcome.At, outcome.Error = began.Add(time.Duration(i)*time.Minute), err
		record(t, store, key, outcome)
	}
	first := next(t, store, key).ID
	d, _, err := store.Deliveries.Get(ctx, key, first)
	require.NoError(t, err)
	is := blocked()
	require.WithinDuration(t, began, is.Since, time.Millisecond)
	require.Equal(t, provision.BlockedDelivery{DeliveryID: first, EventID: d.EventID, EventType: "stock.low", Subject: "1", Since: is.Since,
		Attempts: 2, Error: "502", NextAttemptAt: *d.NextAttemptAt}, *is)
	described, err := store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Description: new("shop")})
	require.NoError(t, err)
	require.Equal(t, is, described.Blocked)

	_, err = store.Deliveries.Resend(ctx, "test", key, first)
	require.NoError(t, err)
	require.Nil(t, blocked(), "a resend begins again")
	again := retried(time.Hour)
	again.At = began.Add(30 * time.Minute)
	record(t, store, key, again)
	require.WithinDuration(t, again.At, blocked().Since, time.Millisecond, "of this round")
	moved, err := store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{URL: new("https://other.example/")})
	require.NoError(t, err)
	require.Nil(t, moved.Blocked)
	record(t, store, key, taken)
	require.Nil(t, blocked())
}

func TestATestWaitsForNothingAndChangesNothing(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store, "stock.*")
	test := func(outcome provision.DeliveryOutcome) provision.DeliveryState {
		t.Helper()
		tested, err := store.Webhooks.Test(ctx, "test", key)
		require.NoError(t, err)
		require.Equal(t, provision.EventWebhookTest, tested.EventType)
		require.Equal(t, provision.NextDelivery{ID: tested.ID}, next(t, store, key), "it goes first, and at once")
		due, err := store.Deliveries.DueWebhooks(ctx, "acme")
		require.NoError(t, err)
		require.Equal(t, []provision.WebhookKey{key}, due)
		_, err = store.Deliveries.Sending(ctx, key, tested.ID)
		require.NoError(t, err)
		require.Equal(t, tested.ID, record(t, store, key, outcome))
		d, attempts, err := store.Deliveries.Get(ctx, key, tested.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		return d.State
	}
	gone := retried(time.Hour)
	gone.Gone = true
	healthy, err := store.Webhooks.Get(ctx, key)
	require.NoError(t, err)
	for _, outcome := range []provision.DeliveryOutcome{gone, retried(time.Hour), refused} {
		require.Equal(t, provision.DeliveryFailed, test(outcome), "it has one attempt")
	}
	now, err := store.Webhooks.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, healthy, now, "a receiver that is tested before it is ready has not failed")

	for _, subject := range []string{"1", "2"} {
		emit(t, db, "acme", "stock.low", subject)
	}
	first := record(t, store, key, retried(time.Hour))
	failing, err := store.Webhooks.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, first, failing.Blocked.DeliveryID)
	require.Equal(t, provision.DeliveryFailed, test(refused))
	require.Equal(t, provision.DeliveryDelivered, test(taken))
	now, err = store.Webhooks.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, failing, now)
	require.Equal(t, first, next(t, store, key).ID)
	require.NotZero(t, next(t, store, key).Wait)

	require.NoError(t, store.Deliveries.Replay(ctx, "test", key, time.Now().Add(-time.Hour)))
	require.NotEmpty(t, next(t, store, key).ID)
	require.Equal(t, []string{"1", "2"}, told(t, store, key, provision.DeliveryPending), "a replay sends no test again")
}

func TestAWebhookThatWantsNothingOrFailsForDaysIsDisabled(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	gone, dead, watcher := createWebhook(t, store, "stock.*"), createWebhook(t, store, "stock.*"), createWebhook(t, store, "webhook.*")
	emit(t, db, "acme", "stock.low", "1")
	emit(t, db, "acme", "stock.low", "2")
	outcome := refused
	outcome.Gone, outcome.StatusCode, outcome.Error = true, 410, "410"
	record(t, store, gone, outcome)
	record(t, store, dead, refused)
	db.MustExec(`UPDATE webhooks SET failing_since = failing_since - interval '5 days'`)
	record(t, store, dead, refused)
	for key, reason := range map[provision.WebhookKey]string{gone: "410", dead: "last 5 days"} {
		w, err := store.Webhooks.Get(ctx, key)
		require.NoError(t, err)
		require.False(t, w.Enabled)
		require.Contains(t, w.DisabledBecause, reason)
		require.Empty(t, next(t, store, key))
	}
	due, err := store.Deliveries.DueWebhooks(ctx, "")
	require.NoError(t, err)
	require.Equal(t, []provision.WebhookKey{watcher}, due)
	require.ElementsMatch(t, []string{gone.ID, dead.ID}, told(t, store, watcher, ""))

	var forbidden *provision.StateError
	_, err = store.Webhooks.Test(ctx, "test", gone)
	require.ErrorAs(t, err, &forbidden)
	emit(t, db, "acme", "stock.low", "3")
	yes := true
	_, err = store.Webhooks.Update(ctx, "test", gone, 0, provision.WebhookUpdate{Enabled: &yes})
	require.NoError(t, err)
	record(t, store, gone, taken)
	record(t, store, gone, taken)
	record(t, store, gone, taken)
	require.Equal(t, []string{"1", "2", "3"}, told(t, store, gone, provision.DeliveryDelivered),
		"the events of the outage come later, and none is lost")
}

func TestTheCallbackOfAnOrderReceivesItsOrdersOnlyAndWaitsForTheSecret(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	for id, url := range map[string]string{"o-1": "https://a.example/x", "o-2": "https://b.example/x", "o-3": "https://a.example/x",
		"o-4": ""} {
		o := order(id, "")
		o.Request.CallbackURL = url
		_, err := store.Orders.Open(ctx, o)
		require.NoError(t, err)
		_, err = store.Orders.Open(ctx, o)
		require.NoError(t, err, "a repeat makes no second callback")
	}
	emit(t, db, "acme", "stock.low", "o-1")
	callbacks, err := store.Webhooks.List(ctx, "acme", nil, 10)
	require.NoError(t, err)
	require.Len(t, callbacks, 2)
	due, err := store.Deliveries.DueWebhooks(ctx, "")
	require.NoError(t, err)
	require.Empty(t, due, "nothing leaves unsigned")
	secret, err := store.Webhooks.CallbackSecret(ctx, "acme")
	require.NoError(t, err)
	require.Nil(t, secret.CreatedAt)
	require.Equal(t, int64(3), secret.Held)

	all := provision.WebhookKey{Provider: "acme", ID: provision.WebhookCallbacks}
	_, err = store.Webhooks.RotateSecret(ctx, "test", all, []byte("s"), time.Hour)
	require.NoError(t, err)
	due, err = store.Deliveries.DueWebhooks(ctx, "")
	require.NoError(t, err)
	require.Len(t, due, 2)
	for _, w := range callbacks {
		key := provision.WebhookKey{Provider: "acme", ID: w.ID}
		wanted := map[string][]string{"https://a.example/x": {"o-1", "o-3"}, "https://b.example/x": {"o-2"}}[w.URL]
		require.ElementsMatch(t, wanted, told(t, store, key, ""))
		var forbidden *provision.StateError
		require.ErrorAs(t, store.Webhooks.Delete(ctx, "test", key, 0, ""), &forbidden)
		_, err := store.Webhooks.RotateSecret(ctx, "test", key, []byte("s"), 0)
		require.ErrorAs(t, err, &forbidden)
	}

	// What happens while a callback is disabled comes when it is enabled again.
	key, no, yes := provision.WebhookKey{Provider: "acme", ID: callbacks[0].ID}, false, true
	for next(t, store, key).ID != "" {
		record(t, store, key, taken)
	}
	_, err = store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Enabled: &no})
	require.NoError(t, err)
	o := order("o-5", "")
	o.Request.CallbackURL = callbacks[0].URL
	_, err = store.Orders.Open(ctx, o)
	require.NoError(t, err)
	for range 2 {
		due, err = store.Deliveries.DueWebhooks(ctx, "")
		require.NoError(t, err)
		require.NotContains(t, due, key)
	}
	_, err = store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Enabled: &yes})
	require.NoError(t, err)
	due, err = store.Deliveries.DueWebhooks(ctx, "")
	require.NoError(t, err)
	require.Contains(t, due, key)
	require.Equal(t, []string{"o-5"}, told(t, store, key, provision.DeliveryPending))
}

func TestEverySecretSignsForAsLongAsItsRotationPromised(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store)
	emit(t, db, "acme", "stock.low", "1")
	secrets := func() (texts []string) {
		sending, err := store.Deliveries.Sending(ctx, key, next(t, store, key).ID)
		require.NoError(t, err)
		for _, sealed := range sending.Sealed {
			texts = append(texts, string(sealed))
		}
		return texts
	}
	rotate := func(secret string, overlap time.Duration) *time.Time {
		t.Helper()
		until, err := store.Webhooks.RotateSecret(ctx, "test", key, []byte(secret), overlap)
		require.NoError(t, err)
		return until
	}
	require.Equal(t, []string{"sealed"}, secrets())
	first := rotate("second", 3*time.Hour)
	require.WithinDuration(t, time.Now().Add(3*time.Hour), *first, time.Minute)
	require.Equal(t, []string{"second", "sealed"}, secrets())
	require.True(t, first.Equal(*rotate("third", time.Hour)), "the receiver of the first secret is not cut off by a second rotation")
	require.Equal(t, []string{"third", "second", "sealed"}, secrets())

	db.MustExec(`UPDATE webhook_secrets SET expires_at = now() WHERE sealed = 'second'`)
	require.Equal(t, []string{"third", "sealed"}, secrets(), "each has an end of its own")
	require.Nil(t, rotate("fourth", 0))
	require.Equal(t, []string{"fourth"}, secrets())

	for i := range provision.WebhookSecrets - 1 {
		rotate(fmt.Sprint("more ", i), time.Duration(i+1)*time.Hour)
	}
	require.Len(t, secrets(), provision.WebhookSecrets)
	var state *provision.StateError
	_, err := store.Webhooks.RotateSecret(ctx, "test", key, []byte("one too many"), time.Hour)
	require.ErrorAs(t, err, &state)
	require.Contains(t, state.Reason, "10 secrets sign already: wait until one of them ends, at "+
		time.Now().Add(time.Hour).UTC().Format("2006-01-02T"))
	require.Len(t, secrets(), provision.WebhookSecrets)
	rotate("after a leak", 0)
	require.Equal(t, []string{"after a leak"}, secrets())
	_, err = store.Webhooks.RotateSecret(ctx, "test", provision.WebhookKey{Provider: "other", ID: key.ID}, []byte("x"), 0)
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestAnEndpointOfAMarketplaceReceivesOnlyTheEventsOfItsOrders(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	create := func(marketplaces ...string) provision.WebhookKey {
		t.Helper()
		w, err := store.Webhooks.Create(ctx, "test", provision.Webhook{ID: uuid.NewString(), Provider: "acme",
			URL: "https://receiver.example/" + uuid.NewString(), Marketplaces: marketplaces}, []byte("sealed"))
		require.NoError(t, err)
		require.Equal(t, marketplaces, w.Marketplaces)
		return provision.WebhookKey{Provider: "acme", ID: w.ID}
	}
	all, north, both := create(), create("north"), create("south", "north")
	happens := func() {
		for _, marketplace := range []string{"north", "south", "west"} {
			_, err := db.Exec(`SELECT emit_event('acme', 'order.accepted', 'of ' || $1, jsonb_build_object('marketplace', $1::text))`, marketplace)
			require.NoError(t, err)
		}
		emit(t, db, "acme", "stock.low", "north/production") // which names a marketplace, and is not about an order
	}
	happens()
	_, err := store.Webhooks.Test(ctx, "test", north)
	require.NoError(t, err)
	_, err = store.Deliveries.DueWebhooks(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []string{"of north", "of south", "of west", "north/production"}, told(t, store, all, ""))
	require.Equal(t, []string{"of north", north.ID}, told(t, store, north, ""))
	require.Equal(t, []string{"of north", "of south"}, told(t, store, both, ""))

	// When an endpoint is limited, what it must no longer receive is neither sent, nor resent, nor replayed.
	record(t, store, all, taken)
	delivered := record(t, store, all, taken)
	now, err := store.Webhooks.Update(ctx, "test", all, 0, provision.WebhookUpdate{Marketplaces: &[]string{"north"}})
	require.NoError(t, err)
	require.Equal(t, []string{"north"}, now.Marketplaces)
	require.Empty(t, told(t, store, all, provision.DeliveryPending))
	var state *provision.StateError
	_, err = store.Deliveries.Resend(ctx, "test", all, delivered)
	require.ErrorAs(t, err, &state)
	require.Contains(t, state.Reason, "no longer receives the events of this marketplace")
	require.NoError(t, store.Deliveries.Replay(ctx, "test", all, time.Now().Add(-time.Hour)))
	require.NotEmpty(t, next(t, store, all))
	require.Equal(t, []string{"of north"}, told(t, store, all, provision.DeliveryPending))

	now, err = store.Webhooks.Update(ctx, "test", all, 0, provision.WebhookUpdate{Marketplaces: new([]string)})
	require.NoError(t, err)
	require.Nil(t, now.Marketplaces)
	happens()
	_, err = store.Deliveries.DueWebhooks(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []string{"of north", "of north", "of south", "of west", "north/production"},
		told(t, store, all, provision.DeliveryPending))
}

func TestEndedDeliveriesAreForgottenInTime(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := createWebhook(t, store)
	for _, subject := range []string{"delivered", "failed", "pending"} {
		emit(t, db, "acme", "stock.low", subject)
	}
	record(t, store, key, taken)
	record(t, store, key, refused)
	require.NotEmpty(t, next(t, store, key))
	db.MustExec(`ALTER TABLE events DISABLE TRIGGER events_append_only`)
	db.MustExec(`UPDATE events SET at = at - interval '91 days'`)
	db.MustExec(`UPDATE webhook_deliveries SET ended_at = ended_at - interval '31 days'`)
	_, err := store.Events.Purge(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"failed", "pending"}, told(t, store, key, ""))
	db.MustExec(`UPDATE webhook_deliveries SET ended_at = ended_at - interval '60 days'`)
	_, err = store.Events.Purge(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"pending"}, told(t, store, key, ""))
	require.Equal(t, []string{"pending"}, subjectsOf(t, db), "an event stays while a delivery needs it")
}

func subjectsOf(t *testing.T, db *sqlx.DB) (subjects []string) {
	t.Helper()
	require.NoError(t, db.Select(&subjects, `SELECT subject FROM events ORDER BY seq`))
	return subjects
}

func TestAHintComesWithTheEvent(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	db, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, provider := range []string{"acme", "other"} {
		require.NoError(t, db.Providers.Create(t.Context(), provider, provider))
	}
	hints := postgres.ListenEvents(t.Context(), url, slog.New(slog.DiscardHandler))
	mine, cancel := hints.Subscribe("acme")
	all, cancelAll := hints.Subscribe("")
	require.Eventually(t, func() bool { // until it listens
		emit(t, db.SQL(), "acme", "stock.low", "1")
		return len(mine) == 1 && len(all) > 0
	}, 20*time.Second, 10*time.Millisecond)
	cancelAll()
	require.Equal(t, "acme", <-mine)
	emit(t, db.SQL(), "other", "stock.low", "1")
	emit(t, db.SQL(), "acme", "stock.low", "1")
	require.Equal(t, "acme", <-mine)
	cancel()
}

func TestAReplaySendsEverythingAgainSinceATime(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	emit(t, db, "acme", "stock.low", "long ago")
	var since time.Time
	emit(t, db, "acme", "stock.low", "before the endpoint")
	require.NoError(t, db.Get(&since, `SELECT at FROM events WHERE subject = 'before the endpoint'`))
	key := createWebhook(t, store, "stock.*")
	for _, subject := range []string{"delivered", "failed", "pending"} {
		emit(t, db, "acme", "stock.low", subject)
	}
	record(t, store, key, taken)
	record(t, store, key, refused)
	require.NoError(t, store.Deliveries.Replay(ctx, "test", key, time.Now().Add(time.Hour)))
	require.Equal(t, []string{"pending"}, told(t, store, key, provision.DeliveryPending), "nothing has happened since")
	require.NoError(t, store.Deliveries.Replay(ctx, "test", key, since))
	require.NotEmpty(t, next(t, store, key))
	require.Equal(t, []string{"before the endpoint", "delivered", "failed", "pending"}, told(t, store, key, provision.DeliveryPending))
	for range 4 {
		record(t, store, key, taken)
	}
	require.Empty(t, next(t, store, key))
	other := provision.WebhookKey{Provider: "other", ID: key.ID}
	require.ErrorIs(t, store.Deliveries.Replay(ctx, "test", other, since), provision.ErrNotFound)
}

// What deliveries ask again and again costs the same however many events and deliveries there are.
func TestDeliveriesCostTheSameHoweverManyArePending(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key, busy := createWebhook(t, store), createWebhook(t, store)
	around(t, db, fmt.Sprintf(`INSERT INTO events (provider, type, subject, data)
		SELECT 'acme', 'stock.low', 'x', '{}' FROM generate_series(1, 100000) i;
		INSERT INTO webhook_deliveries (webhook_id, event_seq) SELECT '%s', seq FROM events;
		UPDATE webhooks SET position = (SELECT max(seq) FROM events)`, busy.ID))
	emit(t, db, "acme", "stock.low", "one more")
	db.MustExec(`VACUUM ANALYZE`)
	for name, c := range map[string]struct {
		query string
		args  []any
	}{
		"the webhooks that are due": {postgres.DueWebhooksSQL, []any{""}},
		"what a webhook is sent":    {postgres.HeadSQL, []any{"acme", busy.ID}},
		"the events of a stream":    {postgres.EventsSQL, []any{"acme", 99_990, 1 << 40, "", "", false, nil, 100}},
		"the webhooks that wait":    {postgres.BehindSQL, []any{"acme", 1 << 40}},
		"the callbacks that wait":   {postgres.CallbacksBehindSQL, []any{"acme", 99_990, 1 << 40}},
		"the purge of events":       {postgres.PurgeEventsSQL, []any{86400, 500}},
		"the purge of deliveries":   {postgres.PurgeDeliveriesSQL, []any{86400, 86400, 500}},
	} {
		var text []byte
		tx := db.MustBeginTx(ctx, nil)
		require.NoError(t, tx.QueryRowContext(ctx, `EXPLAIN (ANALYZE, FORMAT JSON) `+c.query, c.args...).Scan(&text), name)
		require.NoError(t, tx.Rollback())
		var plans []struct{ Plan map[string]any }
		require.NoError(t, json.Unmarshal(text, &plans))
		require.LessOrEqual(t, touched(plans[0].Plan), 200.0, "%s: %s", name, text)
	}
	due, err := store.Deliveries.DueWebhooks(ctx, "acme")
	require.NoError(t, err)
	require.ElementsMatch(t, []provision.WebhookKey{key, busy}, due)
}
