package postgres

import (
	"context"
	"slices"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// hasNoDelivery is true when the webhook w has no delivery of the event e. A scalar subquery, unlike NOT EXISTS, is never answered by
// reading all deliveries into a hash table.
const hasNoDelivery = `(SELECT d.event_seq FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.event_seq = e.seq LIMIT 1) IS NULL`

// queueSQL counts, up to a limit, the messages that wait for each webhook, and finds the time of the oldest event among them. Events
// after the position of an enabled webhook get their deliveries within seconds, so it looks only at those of a disabled one. It looks
// at no more of them than the limit, because few may be of the types that the webhook receives.
const queueSQL = `
WITH settled AS MATERIALIZED (SELECT events_settled() AS seq)
SELECT w.id AS webhook_id, LEAST(pending.messages + behind.messages, $2) AS messages,
    pending.messages + behind.messages > $2 OR behind.seen > $2 AS more,
    (SELECT at FROM events WHERE seq = LEAST(pending.oldest, behind.oldest)) AS oldest_at
FROM webhooks w CROSS JOIN settled
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE in_order) AS messages, min(event_seq) FILTER (WHERE in_order) AS oldest FROM (
        SELECT in_order, event_seq FROM webhook_deliveries WHERE webhook_id = w.id AND state = 'pending'
        ORDER BY in_order, event_seq LIMIT $2 + 1) d
) pending
CROSS JOIN LATERAL (
    SELECT count(*) AS seen, count(*) FILTER (WHERE wanted) AS messages, min(seq) FILTER (WHERE wanted) AS oldest FROM (
        SELECT e.seq, e.type <> '` + provision.EventWebhookTest + `' AND ` + ofItsMarketplaces + ` AND ` + hasNoDelivery + `
            AND (w.event_types = '{}' OR EXISTS (SELECT 1 FROM unnest(w.event_types) t WHERE ` + ofType + `)) AS wanted
        FROM (SELECT * FROM events WHERE NOT w.enabled AND w.kind = 'endpoint' AND provider = w.provider AND seq > w.position
            AND seq <= settled.seq ORDER BY seq LIMIT $2 + 1) e
        UNION ALL
        SELECT e.seq, ` + hasNoDelivery + ` FROM (
            SELECT e.seq FROM orders o JOIN events e ON e.provider = o.provider AND e.subject = o.id AND starts_with(e.type, 'order.')
            WHERE NOT w.enabled AND w.kind = 'callback' AND o.provider = w.provider AND o.request ->> 'callback_url' = w.url
              AND e.seq > w.position AND e.seq <= settled.seq LIMIT $2 + 1) e
    ) e
) behind
WHERE w.id = ANY($1)`

// addQueues adds how many messages wait for the webhooks.
func addQueues(ctx context.Context, q queryer, found []provision.Webhook) error {
	ids := make([]string, len(found))
	for i, w := range found {
		ids[i] = w.ID
	}
	var queues []struct {
		provision.WebhookQueue
		WebhookID string `db:"webhook_id"`
	}
	if err := q.SelectContext(ctx, &queues, queueSQL, pq.Array(ids), provision.MostCounted); err != nil {
		return err
	}
	for _, queue := range queues {
		found[slices.Index(ids, queue.WebhookID)].Queue = queue.WebhookQueue
	}
	return nil
}

const lastAttemptsSQL = `
SELECT a.* FROM unnest($1::uuid[]) AS d (id) CROSS JOIN LATERAL (
    SELECT delivery_id, at, COALESCE(status_code, 0) AS status_code, error, answer, took_ms FROM webhook_attempts
    WHERE delivery_id = d.id ORDER BY seq DESC LIMIT 1) a`

// addLastAttempts adds the last attempt of each delivery, if there was one.
func addLastAttempts(ctx context.Context, q queryer, found []provision.Delivery) error {
	ids := make([]string, len(found))
	for i, d := range found {
		ids[i] = d.ID
	}
	var attempts []struct {
		provision.DeliveryAttempt
		DeliveryID string `db:"delivery_id"`
	}
	if err := q.SelectContext(ctx, &attempts, lastAttemptsSQL, pq.Array(ids)); err != nil {
		return err
	}
	for _, a := range attempts {
		found[slices.Index(ids, a.DeliveryID)].LastAttempt = &a.DeliveryAttempt
	}
	return nil
}
