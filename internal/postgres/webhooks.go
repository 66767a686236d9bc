package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Webhooks are the endpoints that subscribe to events, and the callbacks of orders.
type Webhooks struct{ db *database }

const webhookColumns = `w.id, w.provider, w.kind, w.url, w.event_types, w.marketplaces, w.description, w.enabled,
    w.disabled_by, w.disabled_because, w.disabled_at,
    w.failing_since, w.last_attempt_at, COALESCE(w.last_status_code, 0) AS last_status_code, w.last_error, w.version, w.created_at,
    w.created_by`

// webhookRow is a row of the table webhooks.
type webhookRow struct {
	provision.Webhook
	Types     pq.StringArray `db:"event_types"`
	LimitedTo pq.StringArray `db:"marketplaces"`
}

func (r webhookRow) webhook() provision.Webhook {
	r.EventTypes, r.Marketplaces = r.Types, r.LimitedTo
	return r.Webhook
}

const createWebhookSQL = `
INSERT INTO webhooks AS w (id, provider, url, event_types, marketplaces, description, position, created_by)
VALUES ($1, $2, $3, $4, $5, $6, events_settled(), $7)
RETURNING ` + webhookColumns

// Create adds an endpoint with its secret. It receives the events that happen from now on.
func (s Webhooks) Create(ctx context.Context, actor string, w provision.Webhook, sealed []byte) (added provision.Webhook, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		var row webhookRow
		if err := tx.GetContext(ctx, &row, createWebhookSQL,
			w.ID, w.Provider, w.URL, textArray(w.EventTypes), pq.Array(w.Marketplaces), w.Description, actor); err != nil {
			return err
		}
		added = row.webhook()
		_, err := tx.ExecContext(ctx, createSecretSQL, w.Provider, w.ID, sealed)
		return err
	})
	return added, err
}

const webhooksSQL = `
SELECT ` + webhookColumns + ` FROM webhooks w
WHERE w.provider = $1 AND ($2::timestamptz IS NULL OR (w.created_at, w.id) > ($2, $3::uuid)) ORDER BY w.created_at, w.id LIMIT $4`

// List lists at most limit endpoints and callbacks of the provider, oldest first, after the given one.
func (s Webhooks) List(ctx context.Context, provider string, after *provision.WebhookCursor,
	limit int) (found []provision.Webhook, err error) {
	var rows []webhookRow
	var at *time.Time
	id := "00000000-0000-0000-0000-000000000000"
	if after != nil {
		at, id = &after.CreatedAt, after.ID
	}
	if err := s.db.SelectContext(ctx, &rows, webhooksSQL, provider, at, id, limit); err != nil {
		return nil, err
	}
	for _, row := range rows {
		found = append(found, row.webhook())
	}
	return found, describeWebhooks(ctx, s.db, found)
}

// describeWebhooks adds what the messages of the webhooks wait for, and how many there are.
func describeWebhooks(ctx context.Context, q queryer, found []provision.Webhook) error {
	if err := addBlocked(ctx, q, found); err != nil {
		return err
	}
	return addQueues(ctx, q, found)
}

// Get reads one endpoint or callback of the provider. Errors: provision.ErrNotFound.
func (s Webhooks) Get(ctx context.Context, key provision.WebhookKey) (provision.Webhook, error) {
	return readWebhook(ctx, s.db, key)
}

func readWebhook(ctx context.Context, q queryer, key provision.WebhookKey) (provision.Webhook, error) {
	var row webhookRow
	err := q.GetContext(ctx, &row, `SELECT `+webhookColumns+` FROM webhooks w WHERE w.provider = $1 AND w.id = $2`, key.Provider, key.ID)
	if err != nil {
		return row.webhook(), notFound(err, "webhook %s", key.ID)
	}
	found := []provision.Webhook{row.webhook()}
	err = describeWebhooks(ctx, q, found)
	return found[0], err
}

// blockedSQL finds the oldest pending delivery of each webhook, if its last attempt failed.
const blockedSQL = `
SELECT d.webhook_id, d.id AS delivery_id, e.id AS event_id, e.type AS event_type, e.subject, d.attempts, d.next_attempt_at,
       a.since, a.error
FROM unnest($1::uuid[]) AS w (id)
CROSS JOIN LATERAL (SELECT * FROM webhook_deliveries WHERE webhook_id = w.id AND state = 'pending' AND in_order
    ORDER BY event_seq LIMIT 1) d
JOIN events e ON e.seq = d.event_seq
CROSS JOIN LATERAL (SELECT min(at) AS since, (array_agg(error ORDER BY seq DESC))[1] AS error
    FROM (SELECT seq, at, error FROM webhook_attempts WHERE delivery_id = d.id ORDER BY seq DESC LIMIT d.attempts) attempts) a
WHERE a.since IS NOT NULL`

// addBlocked adds what the messages of the webhooks wait for.
func addBlocked(ctx context.Context, q queryer, found []provision.Webhook) error {
	var blocked []struct {
		provision.BlockedDelivery
		WebhookID string `db:"webhook_id"`
	}
	ids := make([]string, len(found))
	for i, w := range found {
		ids[i] = w.ID
	}
	if err := q.SelectContext(ctx, &blocked, blockedSQL, pq.Array(ids)); err != nil {
		return err
	}
	for _, b := range blocked {
		found[slices.Index(ids, b.WebhookID)].Blocked = &b.BlockedDelivery
	}
	return nil
}

// lockWebhook reads a webhook and locks it until the transaction ends. version 0 means any.
func lockWebhook(ctx context.Context, tx *sqlx.Tx, key provision.WebhookKey, version int64) (provision.Webhook, error) {
	var row webhookRow
	err := tx.GetContext(ctx, &row,
		`SELECT `+webhookColumns+` FROM webhooks w WHERE w.provider = $1 AND w.id = $2 FOR UPDATE`, key.Provider, key.ID)
	if err == nil && version != 0 && version != row.Version {
		err = fmt.Errorf("webhook %s has changed since it was read: %w", key.ID, provision.ErrStale)
	}
	return row.webhook(), notFound(err, "webhook %s", key.ID)
}

const updateWebhookSQL = `
UPDATE webhooks AS w SET url = $2, event_types = $3, description = $4, enabled = $5, disabled_by = $6, disabled_because = $7,
    disabled_at = CASE WHEN $5 THEN NULL ELSE COALESCE(disabled_at, now()) END, failing_since = CASE WHEN $8 THEN NULL
        ELSE failing_since END, marketplaces = $9, version = version + 1
WHERE id = $1`

// dropPendingSQL deletes the pending deliveries of events that an endpoint no longer receives.
const dropPendingSQL = `
DELETE FROM webhook_deliveries d USING webhooks w, events e
WHERE w.id = $1 AND d.webhook_id = w.id AND e.seq = d.event_seq AND d.state = 'pending' AND NOT ` + ofItsMarketplaces

const dueAtOnceSQL = `UPDATE webhook_deliveries SET attempts = 0, next_attempt_at = now() WHERE webhook_id = $1 AND state = 'pending'`

// Update changes an endpoint, or enables or disables a callback. When an endpoint is enabled or gets another URL,
// its pending deliveries are due at once. When it is limited to marketplaces, the pending deliveries of others are
// deleted. Errors: provision.ErrNotFound, provision.ErrStale, a *provision.StateError.
func (s Webhooks) Update(ctx context.Context, actor string, key provision.WebhookKey, version int64,
	edit provision.WebhookUpdate) (now provision.Webhook, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		before, err := lockWebhook(ctx, tx, key, version)
		if err != nil {
			return err
		}
		if before.Kind == provision.WebhookCallback && (edit.URL != nil || edit.EventTypes != nil || edit.Marketplaces != nil ||
			edit.Description != nil) {
			return &provision.StateError{
				Reason: "webhook " + key.ID + " is the callback_url of orders: it can only be enabled and disabled",
			}
		}
		if err := updateWebhook(ctx, tx, before, edited(before, edit, actor)); err != nil {
			return err
		}
		now, err = readWebhook(ctx, tx, key)
		return err
	})
	return now, err
}

// edited returns the webhook as an update leaves it.
func edited(w provision.Webhook, edit provision.WebhookUpdate, actor string) provision.Webhook {
	wasEnabled := w.Enabled
	provision.SetIfGiven(&w.URL, edit.URL)
	provision.SetIfGiven(&w.EventTypes, edit.EventTypes)
	provision.SetIfGiven(&w.Marketplaces, edit.Marketplaces)
	provision.SetIfGiven(&w.Description, edit.Description)
	provision.SetIfGiven(&w.Enabled, edit.Enabled)
	if w.Enabled {
		w.DisabledBy, w.DisabledBecause = "", ""
	} else if wasEnabled {
		w.DisabledBy, w.DisabledBecause = actor, cmp.Or(edit.Reason, "no reason was given")
	}
	return w
}

// updateWebhook stores what has changed in a webhook.
func updateWebhook(ctx context.Context, tx *sqlx.Tx, before, w provision.Webhook) error {
	if w.URL == before.URL && slices.Equal(w.EventTypes, before.EventTypes) && slices.Equal(w.Marketplaces, before.Marketplaces) &&
		w.Description == before.Description && w.Enabled == before.Enabled {
		return nil
	}
	restarted := w.Enabled && (!before.Enabled || w.URL != before.URL)
	if _, err := tx.ExecContext(ctx, updateWebhookSQL, w.ID, w.URL, textArray(w.EventTypes), w.Description, w.Enabled, w.DisabledBy,
		w.DisabledBecause, restarted, pq.Array(w.Marketplaces)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, dropPendingSQL, w.ID); err != nil || !restarted {
		return err
	}
	if _, err := tx.ExecContext(ctx, setBackSQL, w.ID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, dueAtOnceSQL, w.ID)
	return err
}

// Delete deletes an endpoint with its secrets and deliveries. The reason may be empty. Errors: as UpdateWebhook.
func (s Webhooks) Delete(ctx context.Context, actor string, key provision.WebhookKey, version int64, reason string) error {
	return s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		w, err := lockWebhook(ctx, tx, key, version)
		if err != nil {
			return err
		}
		if w.Kind == provision.WebhookCallback {
			return &provision.StateError{Reason: "webhook " + key.ID + " is the callback_url of orders: disable it instead"}
		}
		if err := setReason(ctx, tx, reason); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM webhooks WHERE id = $1`, w.ID)
		return err
	})
}

const createSecretSQL = `INSERT INTO webhook_secrets (provider, webhook_id, sealed) VALUES ($1, $2, $3)`

// retireSecretsSQL deletes the secrets that no longer sign. Without an overlap these are all.
const retireSecretsSQL = `
DELETE FROM webhook_secrets WHERE provider = $1 AND webhook_id IS NOT DISTINCT FROM $2::uuid AND (expires_at <= now() OR $3 = 0)`

// overlapSecretSQL ends the current secret after the overlap. Those before it keep the end that their own rotation promised.
const overlapSecretSQL = `
UPDATE webhook_secrets SET expires_at = now() + $3 * interval '1 second'
WHERE provider = $1 AND webhook_id IS NOT DISTINCT FROM $2::uuid AND expires_at IS NULL`

const olderSecretsSQL = `
SELECT count(*), min(expires_at) AS first, max(expires_at) AS last FROM webhook_secrets
WHERE provider = $1 AND webhook_id IS NOT DISTINCT FROM $2::uuid`

// RotateSecret adds a new secret. The secret before it signs too until the overlap is over, and those before that one
// until their own overlap is over, so a repeated rotation cuts off no receiver. Without an overlap they all end at
// once. RotateSecret returns until when earlier secrets sign; nil: none does. The id provision.WebhookCallbacks means
// all callbacks. Errors: provision.ErrNotFound; a *provision.StateError when too many secrets sign, and for a single
// callback, which has no secret of its own.
func (s Webhooks) RotateSecret(
	ctx context.Context, actor string, key provision.WebhookKey, sealed []byte, overlap time.Duration,
) (olderUntil *time.Time, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		var id *string // of all callbacks
		if key.ID != provision.WebhookCallbacks {
			w, err := lockWebhook(ctx, tx, key, 0)
			if err != nil {
				return err
			}
			if w.Kind == provision.WebhookCallback {
				return &provision.StateError{
					Reason: "webhook " + key.ID + " is the callback_url of orders: rotate the secret of all callbacks",
				}
			}
			id = &w.ID
		} else if _, err := tx.ExecContext(ctx, `SELECT 1 FROM providers WHERE id = $1 FOR NO KEY UPDATE`, key.Provider); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, retireSecretsSQL, key.Provider, id, int64(overlap.Seconds())); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, overlapSecretSQL, key.Provider, id, int64(overlap.Seconds())); err != nil {
			return err
		}
		var older struct {
			Count       int
			First, Last *time.Time
		}
		if err := tx.GetContext(ctx, &older, olderSecretsSQL, key.Provider, id); err != nil {
			return err
		}
		if older.Count >= provision.WebhookSecrets {
			return &provision.StateError{Reason: fmt.Sprintf("%d secrets sign already: wait until one of them ends, at %s, "+
				"or end all of them with overlap_seconds 0", older.Count, older.First.UTC().Format(time.RFC3339))}
		}
		olderUntil = older.Last
		_, err := tx.ExecContext(ctx, createSecretSQL, key.Provider, id, sealed)
		return err
	})
	return olderUntil, err
}

const callbackSecretSQL = `
SELECT (SELECT created_at FROM webhook_secrets WHERE provider = $1 AND webhook_id IS NULL AND expires_at IS NULL) AS created_at,
       (SELECT max(expires_at) FROM webhook_secrets WHERE provider = $1 AND webhook_id IS NULL AND expires_at > now()) AS older_expires,
       (SELECT count(*) FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
        WHERE w.provider = $1 AND w.kind = 'callback' AND w.enabled AND d.state = 'pending') AS held`

// CallbackSecret returns the times of the secret of a provider's callbacks, and how many deliveries wait for a
// secret.
func (s Webhooks) CallbackSecret(ctx context.Context, provider string) (view provision.WebhookSecretView, err error) {
	if err = s.db.GetContext(ctx, &view, callbackSecretSQL, provider); view.CreatedAt != nil {
		view.Held = 0
	}
	return view, err
}

const testEventSQL = `SELECT emit_event($1, $2, $3, jsonb_build_object('webhook_id', $3::text))`

const testDeliverySQL = `
INSERT INTO webhook_deliveries (webhook_id, event_seq, in_order) VALUES ($1, currval('events_seq_seq'), false) RETURNING id`

// Test emits a test event for an endpoint, and returns its delivery, which does not wait for others. Errors:
// provision.ErrNotFound, a *provision.StateError.
func (s Webhooks) Test(ctx context.Context, actor string, key provision.WebhookKey) (d provision.Delivery, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		w, err := lockWebhook(ctx, tx, key, 0)
		if err != nil {
			return err
		}
		if err := sendable(w); err != nil {
			return err
		}
		if w.Kind == provision.WebhookCallback {
			return &provision.StateError{
				Reason: "webhook " + key.ID + " is the callback_url of orders: it receives only the events of those orders",
			}
		}
		if _, err := tx.ExecContext(ctx, testEventSQL, key.Provider, provision.EventWebhookTest, key.ID); err != nil {
			return err
		}
		var id string
		if err := tx.GetContext(ctx, &id, testDeliverySQL, w.ID); err != nil {
			return err
		}
		return tx.GetContext(ctx, &d, deliverySQL, key.Provider, key.ID, id)
	})
	return d, err
}

func sendable(w provision.Webhook) error {
	if !w.Enabled {
		return &provision.StateError{Reason: "webhook " + w.ID + " is disabled: enable it first"}
	}
	return nil
}
