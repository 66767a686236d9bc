package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// keepStockSQL writes the stock of this hour, where it has changed since the last check.
const keepStockSQL = `
INSERT INTO stock_history AS h (provider, marketplace, environment, model, hour, ready, orders_waiting, allocated)
SELECT s.provider, s.marketplace, s.environment, s.model, date_trunc('hour', now(), 'UTC'), s.ready, s.orders_waiting, s.allocated
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[])
    AS s (provider, marketplace, environment, model, ready, orders_waiting, allocated)
ON CONFLICT (provider, marketplace, environment, model, hour) DO UPDATE
    SET ready = EXCLUDED.ready, orders_waiting = EXCLUDED.orders_waiting, allocated = EXCLUDED.allocated
    WHERE (h.ready, h.orders_waiting, h.allocated) <> (EXCLUDED.ready, EXCLUDED.orders_waiting, EXCLUDED.allocated)`

const forgetStockSQL = `DELETE FROM stock_history WHERE hour < now() - $1 * interval '1 second'`

// keepHistory writes the stock into the history, and deletes what is too old.
func (s Stock) keepHistory(ctx context.Context, stock []provision.PoolStock) error {
	var pools [4][]string // provider, marketplace, environment, model
	var counts [3][]int   // ready, orders waiting, allocated
	add := func(pool provision.Pool, model provision.Model, count provision.StockCount, waiting int) {
		for i, text := range []string{pool.Provider, pool.Marketplace, string(pool.Environment), string(model)} {
			pools[i] = append(pools[i], text)
		}
		for i, number := range []int{count.Ready, waiting, count.Allocated} {
			counts[i] = append(counts[i], number)
		}
	}
	for _, one := range stock {
		add(one.Pool, "", one.StockCount, one.OrdersWaiting)
		for _, m := range one.Models {
			add(one.Pool, m.Model, m.StockCount, m.OrdersWaiting)
		}
	}
	if _, err := s.db.ExecContext(ctx, keepStockSQL, pq.Array(pools[0]), pq.Array(pools[1]), pq.Array(pools[2]), pq.Array(pools[3]),
		pq.Array(counts[0]), pq.Array(counts[1]), pq.Array(counts[2])); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, forgetStockSQL, provision.StockHistoryKept.Seconds())
	return err
}

// stockHistorySQL also reads the day before the first hour, for the allocations since the hour before it.
const stockHistorySQL = `
SELECT p.provider, p.marketplace, p.environment, h.hour, h.ready, h.orders_waiting, h.allocations
FROM pools p CROSS JOIN LATERAL (
    SELECT hour, ready, orders_waiting, allocated - lag(allocated) OVER (ORDER BY hour) AS allocations FROM stock_history
    WHERE provider = p.provider AND marketplace = p.marketplace AND environment = p.environment AND model = $4
      AND hour >= $5::timestamptz - interval '1 day'
) h
WHERE p.provider = $1 AND ($2 = '' OR p.marketplace = $2) AND ($3 = '' OR p.environment = $3) AND h.hour >= $5
ORDER BY p.marketplace, p.environment, h.hour`

// History reads the stock of a provider's pools in the past, by pool and hour.
func (s Stock) History(ctx context.Context, provider string, f provision.StockHistoryFilter) (hours []provision.StockHour, err error) {
	since := f.Since
	if since.IsZero() {
		since = time.Now().Add(-provision.StockHistoryRead)
	}
	err = s.db.SelectContext(ctx, &hours, stockHistorySQL, provider, f.Marketplace, f.Environment, f.Model, since)
	return hours, err
}
