package postgres

import (
	"context"
	"fmt"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Events are what subscribers are told.
type Events struct{ db *database }

const eventColumns = `e.seq, e.id, e.provider, e.type, e.subject, e.at, e.data, e.marketplace`

const eventsKeptSQL = `
SELECT events_settled() AS settled, COALESCE((SELECT through FROM event_purges WHERE provider = $1), 0) AS purged`

// ofType is true for an event of the type t, or of the family t (order.*).
const ofType = `(e.type = t OR right(t, 2) = '.*' AND starts_with(e.type, left(t, -1)))`

const eventsSQL = `
SELECT ` + eventColumns + ` FROM events e
WHERE e.provider = $1 AND e.seq > $2 AND e.seq <= $3 AND ($4 = '' OR e.subject = $4 AND starts_with(e.type, 'order.'))
  AND ($5 = '' OR EXISTS (SELECT 1 FROM unnest(ARRAY[$5]) t WHERE ` + ofType + `)) AND (NOT $6 OR starts_with(e.type, 'order.'))
  AND ($7::text[] IS NULL OR e.marketplace = ANY($7))
ORDER BY e.seq LIMIT $8`

// List reads the events of the tenant after filter.After, oldest first, at most filter.Limit. upTo is the position
// up to which it has read: the filter never selects another event at or before it. List leaves out events that a
// transaction in progress could still precede. Errors: provision.ErrGone when events after filter.After have been
// purged, or when filter.After was never the position of an event.
func (s Events) List(
	ctx context.Context, of provision.Tenant, filter provision.EventFilter,
) (events []provision.Event, upTo int64, err error) {
	var kept struct{ Settled, Purged int64 }
	// a statement of its own, so that the next one sees everything that is settled
	if err := s.db.GetContext(ctx, &kept, eventsKeptSQL, of.Provider); err != nil {
		return nil, 0, err
	}
	if filter.After > 0 && (filter.After < kept.Purged || filter.After > kept.Settled) {
		return nil, 0, fmt.Errorf("events after %d: %w", filter.After, provision.ErrGone)
	}
	err = s.db.SelectContext(ctx, &events, eventsSQL, of.Provider, filter.After, kept.Settled, filter.OrderID, filter.Type, filter.OrdersOnly,
		pq.Array(of.Marketplaces), filter.Limit)
	if err != nil {
		return nil, 0, err
	}
	if len(events) == filter.Limit {
		return events, events[len(events)-1].Seq, nil
	}
	return events, kept.Settled, nil
}

// Now returns the position after everything that has happened until now and is settled.
func (s Events) Now(ctx context.Context) (seq int64, err error) {
	err = s.db.GetContext(ctx, &seq, `SELECT events_settled()`)
	return seq, err
}

const purgeDeliveriesSQL = `
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries
    WHERE ended_at < now() - $1 * interval '1 second' AND (state = 'delivered' OR ended_at < now() - $2 * interval '1 second')
    ORDER BY ended_at LIMIT $3)`

const purgeEventsSQL = `
WITH gone AS (
    DELETE FROM events WHERE seq IN (
        SELECT e.seq FROM events e
        WHERE e.at < now() - $1 * interval '1 second' AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.event_seq = e.seq)
        ORDER BY e.at LIMIT $2)
    RETURNING provider, seq
), noted AS (
    INSERT INTO event_purges AS p (provider, through) SELECT provider, max(seq) FROM gone GROUP BY provider
    ON CONFLICT (provider) DO UPDATE SET through = GREATEST(p.through, EXCLUDED.through)
)
SELECT count(*) FROM gone`

// Purge deletes old rows: at most limit deliveries with their attempts, at most limit events that no delivery
// refers to, at most limit requests with an Idempotency-Key, and expired signing secrets. It returns whether there may be more.
func (s Events) Purge(ctx context.Context, limit int) (more bool, err error) {
	deliveries, err := s.db.ExecContext(ctx, purgeDeliveriesSQL, provision.DeliveredKeptFor.Seconds(), provision.FailedKeptFor.Seconds(),
		limit)
	if err != nil {
		return false, err
	}
	deleted, err := deliveries.RowsAffected()
	if err != nil {
		return false, err
	}
	var events int
	if err := s.db.GetContext(ctx, &events, purgeEventsSQL, provision.EventsKeptFor.Seconds(), limit); err != nil {
		return false, err
	}
	if _, err := s.db.ExecContext(ctx, purgeOnceSQL, provision.OnceKeptFor.Seconds(), limit); err != nil {
		return false, err
	}
	_, err = s.db.ExecContext(ctx, `DELETE FROM webhook_secrets WHERE expires_at < now()`)
	return deleted == int64(limit) || events == limit, err
}
