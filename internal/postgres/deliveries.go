package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Deliveries are the events on their way to webhooks, and the attempts to deliver them.
type Deliveries struct{ db *database }

// deriveBatch is how many events are looked at in one transaction.
const deriveBatch = 500

// ofItsMarketplaces is true when the marketplaces of the webhook w allow the event e.
const ofItsMarketplaces = `(w.marketplaces IS NULL OR e.type = '` + provision.EventWebhookTest + `'
    OR COALESCE(e.marketplace = ANY(w.marketplaces), false))`

// deriveEndpointSQL adds the deliveries of an endpoint: every event of its provider that its marketplaces and types
// select. A test event has its delivery from the beginning.
const deriveEndpointSQL = `
WITH seen AS (
    SELECT e.seq, e.type, e.marketplace FROM events e
    WHERE e.provider = $2 AND e.seq > $3 AND e.seq <= $4 ORDER BY e.seq LIMIT $5
), wanted AS (
    INSERT INTO webhook_deliveries (webhook_id, event_seq)
    SELECT w.id, e.seq FROM seen e, webhooks w
    WHERE w.id = $1 AND e.type <> '` + provision.EventWebhookTest + `' AND ` + ofItsMarketplaces + `
        AND (w.event_types = '{}' OR EXISTS (SELECT 1 FROM unnest(w.event_types) t WHERE ` + ofType + `))
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS seen, COALESCE(max(seq), 0) AS last FROM seen`

// deriveCallbackSQL adds the deliveries of a callback: the events of the orders that have its URL.
const deriveCallbackSQL = `
WITH seen AS (
    SELECT e.seq FROM webhooks w JOIN orders o ON o.provider = w.provider AND o.request ->> 'callback_url' = w.url
    JOIN events e ON e.provider = o.provider AND e.subject = o.id AND starts_with(e.type, 'order.')
    WHERE w.id = $1 AND w.provider = $2 AND e.seq > $3 AND e.seq <= $4 ORDER BY e.seq LIMIT $5
), wanted AS (
    INSERT INTO webhook_deliveries (webhook_id, event_seq) SELECT $1, seq FROM seen ON CONFLICT DO NOTHING
)
SELECT count(*) AS seen, COALESCE(max(seq), 0) AS last FROM seen`

// derive writes the deliveries of the next batch of events for a webhook and moves its position. It returns
// whether there may be more events. A repeat changes nothing.
func (s Deliveries) derive(ctx context.Context, key provision.WebhookKey) (more bool, err error) {
	err = s.db.tx(ctx, deliveriesActor, func(tx *sqlx.Tx) error {
		w, err := lockWebhook(ctx, tx, key, 0)
		if err != nil || !w.Enabled {
			return err
		}
		var at struct{ Position, Settled int64 }
		if err := tx.GetContext(ctx, &at, `SELECT position, events_settled() AS settled FROM webhooks WHERE id = $1`, key.ID); err != nil {
			return err
		}
		query := deriveEndpointSQL
		if w.Kind == provision.WebhookCallback {
			query = deriveCallbackSQL
		}
		var batch struct{ Seen, Last int64 }
		if err := tx.GetContext(ctx, &batch, query, key.ID, key.Provider, at.Position, at.Settled, deriveBatch); err != nil {
			return err
		}
		to := at.Settled
		if more = batch.Seen == deriveBatch; more {
			to = batch.Last
		}
		_, err = tx.ExecContext(ctx, `UPDATE webhooks SET position = GREATEST(position, $2) WHERE id = $1`, key.ID, to)
		return err
	})
	return more, err
}

// hasSecret is true when a request to the webhook w can be signed.
const hasSecret = `EXISTS (SELECT 1 FROM webhook_secrets k WHERE k.provider = w.provider AND k.webhook_id IS NOT DISTINCT FROM
    CASE w.kind WHEN 'endpoint' THEN w.id END AND k.expires_at IS NULL)`

const headSQL = `
SELECT d.id, d.in_order AND d.event_seq > w.position AS ahead,
	GREATEST(EXTRACT(EPOCH FROM d.next_attempt_at - clock_timestamp()), 0)::float8 AS seconds
FROM webhooks w JOIN webhook_deliveries d ON d.webhook_id = w.id AND d.state = 'pending'
WHERE w.provider = $1 AND w.id = $2 AND w.enabled AND ` + hasSecret + ` ORDER BY d.in_order, d.event_seq LIMIT 1`

// Next returns a test, or else the oldest delivery that the webhook has not received: no newer event is sent before
// it. The result is empty when there is none, and when nothing may be sent because the webhook is deleted, disabled, or has no
// secret yet.
func (s Deliveries) Next(ctx context.Context, key provision.WebhookKey) (provision.NextDelivery, error) {
	for more := true; ; {
		var head struct {
			ID      string
			Ahead   bool // of the position: after a replay there may be older events that have no delivery yet
			Seconds float64
		}
		err := s.db.GetContext(ctx, &head, headSQL, key.Provider, key.ID)
		none := errors.Is(err, sql.ErrNoRows)
		switch {
		case err != nil && !none:
			return provision.NextDelivery{}, err
		case !none && !head.Ahead:
			return provision.NextDelivery{ID: head.ID, Wait: time.Duration(head.Seconds * float64(time.Second))}, nil
		case !more:
			return provision.NextDelivery{}, nil
		}
		if more, err = s.derive(ctx, key); err != nil && !errors.Is(err, provision.ErrNotFound) {
			return provision.NextDelivery{}, err
		}
	}
}

const behindSQL = `
SELECT w.provider, w.id FROM webhooks w
WHERE w.kind = 'endpoint' AND w.enabled AND w.provider = $1 AND EXISTS (SELECT 1 FROM events e WHERE e.provider = $1
    AND e.seq > w.position AND e.seq <= $2)`

const callbacksBehindSQL = `
SELECT DISTINCT w.provider, w.id FROM events e
JOIN orders o ON o.provider = e.provider AND o.id = e.subject
JOIN webhooks w ON w.provider = o.provider AND w.kind = 'callback' AND w.url = o.request ->> 'callback_url'
WHERE e.provider = $1 AND e.seq > $2 AND e.seq <= $3 AND starts_with(e.type, 'order.') AND w.enabled AND e.seq > w.position`

// lookedSQL moves the position only from where this look began, because a callback that was enabled since then has
// set it back.
const lookedSQL = `
INSERT INTO callback_positions AS l (provider, through) VALUES ($1, $3)
ON CONFLICT (provider) DO UPDATE SET through = EXCLUDED.through WHERE l.through = $2 AND l.through < EXCLUDED.through`

// catchUp writes the deliveries of all settled events of a provider.
func (s Deliveries) catchUp(ctx context.Context, provider string) error {
	var at struct{ Settled, Looked int64 }
	const positionsSQL = `SELECT events_settled() AS settled,
       COALESCE((SELECT through FROM callback_positions WHERE provider = $1), 0) AS looked`
	if err := s.db.GetContext(ctx, &at, positionsSQL, provider); err != nil {
		return err
	}
	var behind, callbacks []provision.WebhookKey
	if err := s.db.SelectContext(ctx, &behind, behindSQL, provider, at.Settled); err != nil {
		return err
	}
	if err := s.db.SelectContext(ctx, &callbacks, callbacksBehindSQL, provider, at.Looked, at.Settled); err != nil {
		return err
	}
	for _, key := range slices.Concat(behind, callbacks) {
		for more := true; more; {
			var err error
			if more, err = s.derive(ctx, key); err != nil && !errors.Is(err, provision.ErrNotFound) {
				return err
			}
		}
	}
	_, err := s.db.ExecContext(ctx, lookedSQL, provider, at.Looked, at.Settled)
	return err
}

// setBackSQL makes the next look start before the position of the webhook. It always changes the row, so that a
// look which began earlier does not overwrite it.
const setBackSQL = `
INSERT INTO callback_positions AS l (provider, through) SELECT w.provider, -1 FROM webhooks w WHERE w.id = $1 AND w.kind = 'callback'
ON CONFLICT (provider) DO UPDATE SET through = LEAST(l.through, (SELECT position FROM webhooks WHERE id = $1)) - 1`

// dueWebhooksSQL goes through webhook_deliveries_head from one webhook to the next, so it reads one delivery of each,
// however many are pending.
const dueWebhooksSQL = `
WITH RECURSIVE head AS (
    (SELECT webhook_id, next_attempt_at FROM webhook_deliveries WHERE state = 'pending'
     ORDER BY webhook_id, in_order, event_seq LIMIT 1)
    UNION ALL
    SELECT next.webhook_id, next.next_attempt_at FROM head CROSS JOIN LATERAL (
        SELECT d.webhook_id, d.next_attempt_at FROM webhook_deliveries d WHERE d.state = 'pending' AND d.webhook_id > head.webhook_id
        ORDER BY d.webhook_id, d.in_order, d.event_seq LIMIT 1
    ) next
)
SELECT w.provider, w.id FROM head JOIN webhooks w ON w.id = head.webhook_id
WHERE w.enabled AND ($1 = '' OR w.provider = $1) AND head.next_attempt_at <= clock_timestamp()
  AND ` + hasSecret + ` ORDER BY w.provider, w.id`

// DueWebhooks lists the webhooks that have something to send now, of one provider or, for "", of all.
func (s Deliveries) DueWebhooks(ctx context.Context, provider string) (due []provision.WebhookKey, err error) {
	providers := []string{provider}
	if provider == "" {
		if err := s.db.SelectContext(ctx, &providers, `SELECT id FROM providers ORDER BY id`); err != nil {
			return nil, err
		}
	}
	for _, one := range providers {
		if err := s.catchUp(ctx, one); err != nil {
			return nil, err
		}
	}
	err = s.db.SelectContext(ctx, &due, dueWebhooksSQL, provider)
	return due, err
}

const sendingSQL = `
SELECT ` + webhookColumns + `, d.attempts, d.state = 'pending' AND d.next_attempt_at <= clock_timestamp() AS due,
       e.seq AS event_seq, e.id AS event_id, e.type AS event_type, e.subject AS event_subject, e.at AS event_at, e.data AS event_data
FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN events e ON e.seq = d.event_seq
WHERE w.provider = $1 AND w.id = $2 AND d.id = $3`

const liveSecretsSQL = `
SELECT sealed FROM webhook_secrets WHERE provider = $1 AND webhook_id IS NOT DISTINCT FROM $2::uuid AND (expires_at IS NULL
    OR expires_at > now())
ORDER BY created_at DESC`

// Sending reads what an attempt needs. Errors: provision.ErrNotFound when the delivery is deleted;
// provision.ErrConflict when it should not be sent now, because it was sent already, is not due yet, or the
// webhook is disabled or has no secret.
func (s Deliveries) Sending(ctx context.Context, key provision.WebhookKey, deliveryID string) (sending provision.DeliveryJob, err error) {
	var row struct {
		webhookRow
		Attempts     int       `db:"attempts"`
		Due          bool      `db:"due"`
		EventSeq     int64     `db:"event_seq"`
		EventID      string    `db:"event_id"`
		EventType    string    `db:"event_type"`
		EventSubject string    `db:"event_subject"`
		EventAt      time.Time `db:"event_at"`
		EventData    []byte    `db:"event_data"`
	}
	if err := s.db.GetContext(ctx, &row, sendingSQL, key.Provider, key.ID, deliveryID); err != nil {
		return sending, notFound(err, "delivery %s", deliveryID)
	}
	sending.Webhook, sending.Attempts = row.webhook(), row.Attempts
	sending.Event = provision.Event{Seq: row.EventSeq, ID: row.EventID, Provider: row.Provider, Type: row.EventType,
		Subject: row.EventSubject, At: row.EventAt, Data: row.EventData}
	var of *string
	if row.Kind == provision.WebhookEndpoint {
		of = &row.ID
	}
	if err := s.db.SelectContext(ctx, &sending.Sealed, liveSecretsSQL, key.Provider, of); err != nil {
		return sending, err
	}
	if !row.Due || !row.Enabled || len(sending.Sealed) == 0 {
		return sending, fmt.Errorf("delivery %s: %w", deliveryID, provision.ErrConflict)
	}
	return sending, nil
}

const inOrderSQL = `SELECT in_order FROM webhook_deliveries WHERE webhook_id = $1 AND id = $2 FOR UPDATE`

const recordAttemptSQL = `
INSERT INTO webhook_attempts (delivery_id, at, status_code, error, answer, took_ms) VALUES ($1, $2, NULLIF($3, 0), $4, $5, $6)`

const outcomeSQL = `
UPDATE webhook_deliveries SET state = $2, attempts = attempts + 1, next_attempt_at = now() + $3 * interval '1 second',
    ended_at = CASE WHEN $2 <> 'pending' THEN now() END
WHERE id = $1 AND state = 'pending'`

const webhookFailingSQL = `
UPDATE webhooks SET failing_since = CASE WHEN $2 THEN NULL ELSE COALESCE(failing_since, now()) END,
    last_attempt_at = $4, last_status_code = NULLIF($5, 0), last_error = $6
WHERE id = $1
RETURNING COALESCE(failing_since <= now() - $3 * interval '1 second', false)`

// RecordAttempt stores an attempt and its consequences. A webhook that answered 410, or has failed for days, is
// disabled. A test has no second attempt, and no consequences for the webhook. Errors: provision.ErrNotFound when the
// delivery or its webhook is deleted.
func (s Deliveries) RecordAttempt(ctx context.Context, key provision.WebhookKey, deliveryID string,
	outcome provision.DeliveryOutcome) error {
	return s.db.tx(ctx, deliveriesActor, func(tx *sqlx.Tx) error {
		w, err := lockWebhook(ctx, tx, key, 0)
		if err != nil {
			return err
		}
		var inOrder bool
		if err := tx.GetContext(ctx, &inOrder, inOrderSQL, w.ID, deliveryID); err != nil {
			return notFound(err, "delivery %s", deliveryID)
		}
		if _, err := tx.ExecContext(ctx, recordAttemptSQL, deliveryID, outcome.At, outcome.StatusCode, outcome.Error, outcome.Answer,
			outcome.TookMS); err != nil {
			return err
		}
		state, wait := provision.DeliveryFailed, (*float64)(nil)
		switch {
		case outcome.Error == "":
			state = provision.DeliveryDelivered
		case !inOrder: // failed
		case outcome.Gone:
			state, wait = provision.DeliveryPending, new(float64) // the delivery waits until the webhook is enabled again
		case outcome.RetryIn != nil:
			seconds := outcome.RetryIn.Seconds()
			state, wait = provision.DeliveryPending, &seconds
		}
		if _, err := tx.ExecContext(ctx, outcomeSQL, deliveryID, state, wait); err != nil || !inOrder {
			return err
		}
		return recordHealth(ctx, tx, w, outcome)
	})
}

// recordHealth notes whether a webhook accepts its messages, and disables one that does not want them or has failed
// for days.
func recordHealth(ctx context.Context, tx *sqlx.Tx, w provision.Webhook, outcome provision.DeliveryOutcome) error {
	var tooLong bool
	if err := tx.GetContext(ctx, &tooLong, webhookFailingSQL, w.ID, outcome.Error == "",
		provision.WebhookDisableAfter.Seconds(), outcome.At, outcome.StatusCode, outcome.Error); err != nil {
		return err
	}
	switch {
	case !w.Enabled:
		return nil
	case outcome.Gone:
		return disable(ctx, tx, w, "the receiver answered 410 Gone")
	case tooLong:
		return disable(ctx, tx, w, fmt.Sprintf("every attempt of the last %d days failed; the last one: %s",
			int(provision.WebhookDisableAfter.Hours()/24), outcome.Error))
	}
	return nil
}

// deliveriesActor is the actor of what deliveries do to webhooks.
const deliveriesActor = "deliveries"

const disableWebhookSQL = `
UPDATE webhooks SET enabled = false, disabled_by = '` + deliveriesActor + `', disabled_because = $2,
    disabled_at = now(), version = version + 1
    WHERE id = $1`

// The URL stays out of the event: addresses of receivers may hold a token.
const disabledEventSQL = `SELECT emit_event($1, $2, $3, jsonb_build_object('webhook_id', $3::text, 'kind', $4::text, 'reason', $5::text))`

func disable(ctx context.Context, tx *sqlx.Tx, w provision.Webhook, reason string) error {
	if _, err := tx.ExecContext(ctx, disableWebhookSQL, w.ID, reason); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, disabledEventSQL, w.Provider, provision.EventWebhookDisabled, w.ID, w.Kind, reason)
	return err
}

const deliveryColumns = `d.id, d.webhook_id, d.event_seq, e.id AS event_id, e.type AS event_type, e.subject, e.at AS event_at,
    d.state, d.attempts, d.next_attempt_at, d.ended_at, d.created_at`

const deliveriesSQL = `
SELECT ` + deliveryColumns + ` FROM webhook_deliveries d JOIN events e ON e.seq = d.event_seq
WHERE d.webhook_id = $1 AND ($2 = '' OR d.state = $2) AND ($3 = 0 OR d.event_seq < $3) ORDER BY d.event_seq DESC LIMIT $4`

// List lists the deliveries of a webhook, newest event first. Errors: provision.ErrNotFound.
func (s Deliveries) List(ctx context.Context, key provision.WebhookKey,
	filter provision.DeliveryFilter) (found []provision.Delivery, err error) {
	if _, err := readWebhook(ctx, s.db, key); err != nil {
		return nil, err
	}
	if err := s.db.SelectContext(ctx, &found, deliveriesSQL, key.ID, filter.State, filter.Before, filter.Limit); err != nil {
		return nil, err
	}
	return found, addLastAttempts(ctx, s.db, found)
}

const deliverySQL = `
SELECT ` + deliveryColumns + ` FROM webhook_deliveries d JOIN events e ON e.seq = d.event_seq JOIN webhooks w ON w.id = d.webhook_id
WHERE w.provider = $1 AND w.id = $2 AND d.id = $3`

const attemptsSQL = `
SELECT at, COALESCE(status_code, 0) AS status_code, error, answer, took_ms FROM webhook_attempts WHERE delivery_id = $1 ORDER BY seq`

// Get reads a delivery and its attempts, oldest first. Errors: provision.ErrNotFound.
func (s Deliveries) Get(ctx context.Context, key provision.WebhookKey,
	id string) (d provision.Delivery, attempts []provision.DeliveryAttempt, err error) {
	if err := s.db.GetContext(ctx, &d, deliverySQL, key.Provider, key.ID, id); err != nil {
		return d, nil, notFound(err, "delivery %s", id)
	}
	err = s.db.SelectContext(ctx, &attempts, attemptsSQL, id)
	if len(attempts) > 0 {
		d.LastAttempt = &attempts[len(attempts)-1]
	}
	return d, attempts, err
}

const resendSQL = `
UPDATE webhook_deliveries d SET state = 'pending', attempts = 0, next_attempt_at = now(), ended_at = NULL
FROM events e, webhooks w WHERE e.seq = d.event_seq AND w.id = d.webhook_id AND w.id = $1 AND d.id = $2
    AND ` + ofItsMarketplaces

// Resend makes a delivery due now, whatever its state. Errors: provision.ErrNotFound, a *provision.StateError.
func (s Deliveries) Resend(ctx context.Context, actor string, key provision.WebhookKey, id string) (d provision.Delivery, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		w, err := lockWebhook(ctx, tx, key, 0)
		if err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &d, deliverySQL, key.Provider, key.ID, id); err != nil {
			return notFound(err, "delivery %s", id)
		}
		if err := sendable(w); err != nil {
			return err
		}
		if due, err := affected(tx.ExecContext(ctx, resendSQL, key.ID, id)); err != nil {
			return err
		} else if !due {
			return &provision.StateError{Reason: "webhook " + key.ID + " no longer receives the events of this marketplace: " +
				"change its marketplaces first"}
		}
		if err := tx.GetContext(ctx, &d, deliverySQL, key.Provider, key.ID, id); err != nil {
			return err
		}
		one := []provision.Delivery{d}
		err = addLastAttempts(ctx, tx, one)
		d = one[0]
		return err
	})
	return d, err
}

// An event without a delivery is found again from the earlier position. An event whose delivery has ended gets it
// back as pending.
const replayPositionSQL = `
UPDATE webhooks SET position = LEAST(position, (SELECT min(seq) - 1 FROM events WHERE provider = $2 AND at >= $3)) WHERE id = $1`

const replayDeliveriesSQL = `
UPDATE webhook_deliveries d SET state = 'pending', attempts = 0, next_attempt_at = now(), ended_at = NULL
FROM events e, webhooks w WHERE e.seq = d.event_seq AND w.id = d.webhook_id AND w.id = $1 AND e.at >= $2 AND d.state <> 'pending'
    AND d.in_order AND ` + ofItsMarketplaces

// Replay sends all events since a time again, in order: those that were delivered, those that failed, and those
// that happened before the webhook was created. Tests are not sent again. Errors: provision.ErrNotFound, a *provision.StateError.
func (s Deliveries) Replay(ctx context.Context, actor string, key provision.WebhookKey, since time.Time) error {
	return s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		w, err := lockWebhook(ctx, tx, key, 0)
		if err != nil {
			return err
		}
		if err := sendable(w); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, replayPositionSQL, key.ID, key.Provider, since); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, setBackSQL, key.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, replayDeliveriesSQL, key.ID, since)
		return err
	})
}
