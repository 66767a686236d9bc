package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// countedDay is the day, in UTC, of an allocation. It is -infinity for the days at which the forecast does not look.
// $1 is the window of the forecast in seconds.
func countedDay(at string) string {
	day := `date_trunc('day', ` + at + `, 'UTC')`
	return `CASE WHEN ` + day + ` > now() - $1 * interval '1 second' THEN ` + day + ` ELSE '-infinity' END`
}

// whatIsCounted are the columns of pool_counts for which there is one count.
const whatIsCounted = `provider, marketplace, environment, kind, model, status, coming, day`

const lockCounts = `hashtextextended('pool_counts', 0)`

// foldCountsSQL replaces the rows of pool_counts that count the same by their sum, unless another transaction does.
var foldCountsSQL = `
WITH counts AS (
    SELECT *, ctid AS row, ` + countedDay(`allocated_at`) + ` AS day FROM pool_counts
    WHERE (SELECT pg_try_advisory_xact_lock(` + lockCounts + `))
), same AS (
    SELECT row, count(*) OVER (PARTITION BY ` + whatIsCounted + `) AS rows FROM counts
), gone AS (
    DELETE FROM pool_counts c USING same WHERE c.ctid = same.row AND same.rows > 1 RETURNING c.ctid AS row
)
INSERT INTO pool_counts (provider, marketplace, environment, kind, model, status, coming, n, allocated_at, first_allocated_at)
SELECT provider, marketplace, environment, kind, model, status, coming, sum(n),
       CASE WHEN day > '-infinity' THEN to_timestamp(sum(n * EXTRACT(EPOCH FROM allocated_at)) / sum(n)) END, min(first_allocated_at)
FROM gone JOIN counts USING (row) GROUP BY ` + whatIsCounted + ` HAVING sum(n) <> 0`

func foldCounts(ctx context.Context, db *database) error {
	_, err := db.ExecContext(ctx, foldCountsSQL, provision.ForecastWindow.Seconds())
	return err
}

const orderCountsSQL = `
SELECT provider, marketplace, environment, state, count(*), min(state_since) AS oldest FROM orders
WHERE state NOT IN ('completed', 'failed', 'cancelled') GROUP BY provider, marketplace, environment, state
UNION ALL
SELECT provider, marketplace, environment, status, sum(n), NULL FROM pool_counts
WHERE kind = 'order' GROUP BY provider, marketplace, environment, status`

// Count counts the orders of all pools by their state.
func (s Orders) Count(ctx context.Context) (counts []provision.OrderCount, err error) {
	err = s.db.SelectContext(ctx, &counts, orderCountsSQL)
	return counts, err
}

// countDifferencesSQL counts the accounts and the ended orders, and selects by how much pool_counts differs.
var countDifferencesSQL = `
SELECT provider, marketplace, environment, kind, model, status, coming, day, COALESCE(actual.n, 0) AS actual,
       COALESCE(counted.n, 0) AS counted, actual.at, actual.first
FROM (
    SELECT ` + whatIsCounted + `, sum(n) AS n FROM (SELECT *, ` + countedDay(`allocated_at`) + ` AS day FROM pool_counts) c
    GROUP BY ` + whatIsCounted + `
) counted FULL JOIN (
    SELECT ` + whatIsCounted + `, count(*) AS n, to_timestamp(avg(EXTRACT(EPOCH FROM at)::float8)) AS at, min(at) AS first FROM (
        SELECT provider, marketplace, environment, 'account' AS kind, model, status, status = 'invalid' AND ready_when_verified AS coming,
               CASE status WHEN 'allocated' THEN status_since END AS at,
               CASE status WHEN 'allocated' THEN ` + countedDay(`status_since`) + ` ELSE '-infinity' END AS day
        FROM accounts
        UNION ALL
        SELECT provider, marketplace, environment, 'order', '', state, false, NULL, '-infinity' FROM orders
        WHERE state IN ('completed', 'failed', 'cancelled')
    ) rows GROUP BY ` + whatIsCounted + `
) actual USING (` + whatIsCounted + `)
WHERE COALESCE(actual.n, 0) <> COALESCE(counted.n, 0)`

var countedWronglySQL = `
SELECT provider, marketplace, environment, sum(actual) AS actual, sum(counted) AS counted,
       concat_ws(' ', CASE WHEN coming THEN 'coming' END, status, NULLIF(model, ''), kind) AS what
FROM (` + countDifferencesSQL + `) d GROUP BY provider, marketplace, environment, kind, model, status, coming ORDER BY 1, 2, 3, what`

// maxNamed is how many differences a finding names.
const maxNamed = 10

// countDifferences returns a finding when pool_counts differs from the rows that it counts.
func (s Reconciliation) countDifferences(ctx context.Context) (found []reconcile.Finding, err error) {
	var differences []struct {
		provision.Pool
		What    string `db:"what"`
		Actual  int    `db:"actual"`
		Counted int    `db:"counted"`
	}
	if err = s.db.SelectContext(ctx, &differences, countedWronglySQL, provision.ForecastWindow.Seconds()); err != nil {
		return nil, err
	}
	if len(differences) == 0 {
		return nil, nil
	}
	var named []string
	for _, d := range differences[:min(len(differences), maxNamed)] {
		named = append(named, fmt.Sprintf("%s of pool %s: %d, counted as %d", d.What, d.Pool, d.Actual, d.Counted))
	}
	if more := len(differences) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("and %d more", more))
	}
	differ := reconcile.New(reconcile.KindCountsDiffer, provision.OrderKey{}, "", time.Time{}, strings.Join(named, "; "))
	return []reconcile.Finding{differ}, nil
}

// repairCountsSQL corrects pool_counts by adding rows, as every other transaction does. So it may run at any time.
var repairCountsSQL = `
INSERT INTO pool_counts (provider, marketplace, environment, kind, model, status, coming, n, allocated_at, first_allocated_at)
SELECT provider, marketplace, environment, kind, model, status, coming, actual - counted,
       CASE WHEN day > '-infinity' THEN COALESCE(at, day) END, first
FROM (` + countDifferencesSQL + `) d`

// RepairCounts makes pool_counts agree with the rows that it counts.
func (s Reconciliation) RepairCounts(ctx context.Context) error {
	return s.db.tx(ctx, reconcile.Actor, func(tx *sqlx.Tx) error {
		// A statement of its own, so that the next one sees what the previous repair added.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(`+lockCounts+`)`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, repairCountsSQL, provision.ForecastWindow.Seconds())
		return err
	})
}
