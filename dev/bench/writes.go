package bench

import (
	"context"

	"github.com/lib/pq"
)

// writes is what was written to each database.
type writes struct{ ours, temporal written }

// written is what the transactions that changed a database wrote to PostgreSQL's log, without the images of whole pages: how many of
// those there are depends on the time of the last checkpoint.
type written struct{ transactions, bytes float64 }

func (w writes) total() float64 { return w.ours.bytes + w.temporal.bytes }

func (w writes) plus(more writes) writes {
	return writes{w.ours.plus(more.ours), w.temporal.plus(more.temporal)}
}

func (w written) plus(more written) written {
	return written{w.transactions + more.transactions, w.bytes + more.bytes}
}

// walPosition returns the end of PostgreSQL's log.
func (s *servers) walPosition(ctx context.Context) (position string, err error) {
	err = s.measures.GetContext(ctx, &position, `SELECT pg_current_wal_flush_lsn()`)
	return position, err
}

// filesSQL selects the files of the tables of orders and accounts, as the log names them. Every transaction of an order changes one of
// these tables; what the product does by the clock changes others.
const filesSQL = `
SELECT replace(pg_relation_filepath(oid), 'base/', '1663/') FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname ~ '^(order|account)'`

// writesSinceSQL reads the log. A record belongs to the database whose pages it changes.
const writesSinceSQL = `
SELECT datname = 'postgres' AS ours, sum(record_length - fpi_length) AS bytes,
	count(DISTINCT xid::text) FILTER (WHERE datname <> 'postgres' OR file = ANY ($3)) AS transactions
FROM pg_get_wal_records_info($1, $2) CROSS JOIN LATERAL (
	SELECT (regexp_match(block_ref, 'rel ([0-9]+/[0-9]+/[0-9]+)'))[1] AS file
) changed JOIN pg_database d ON d.oid = split_part(file, '/', 2)::oid
WHERE xid <> '0' AND datname IN ('postgres', 'temporal', 'temporal_visibility') GROUP BY 1`

// writesSince returns what was written since a position of the log.
func (s *servers) writesSince(ctx context.Context, position string) (w writes, err error) {
	var files []string
	if err := s.product.SelectContext(ctx, &files, filesSQL); err != nil {
		return w, err
	}
	now, err := s.walPosition(ctx)
	if err != nil {
		return w, err
	}
	var rows []struct {
		Ours                bool
		Transactions, Bytes float64
	}
	err = s.measures.SelectContext(ctx, &rows, writesSinceSQL, position, now, pq.Array(files))
	for _, row := range rows {
		if row.Ours {
			w.ours = written{row.Transactions, row.Bytes}
		} else {
			w.temporal = written{row.Transactions, row.Bytes}
		}
	}
	return w, err
}
