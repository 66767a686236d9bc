package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Processes are the running API and worker processes.
type Processes struct{ db *database }

// announceSQL keeps the rows of dead processes for a day, for people who want to know what ran.
const announceSQL = `
WITH me AS (
    INSERT INTO processes AS p (id, kind, host, pid, version, key_names, seals_with) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET seals_with = EXCLUDED.seals_with, seen_at = clock_timestamp()
), used AS (
    INSERT INTO seal_keys AS k (key_id, last_used_at)
    SELECT u.key_id, clock_timestamp() - u.seconds * interval '1 second' FROM unnest($8::text[], $9::float8[]) AS u (key_id, seconds)
        ORDER BY u.key_id
    ON CONFLICT (key_id) DO UPDATE SET last_used_at = GREATEST(k.last_used_at, EXCLUDED.last_used_at)
)
DELETE FROM processes WHERE id <> $1 AND seen_at < clock_timestamp() - interval '1 day'`

const reportIdentitySQL = `
INSERT INTO worker_identity (arn) VALUES ($1)
ON CONFLICT (one) DO UPDATE SET arn = EXCLUDED.arn, reported_at = clock_timestamp()`

// ReportIdentity keeps the identity in AWS of a worker that has started.
func (s Processes) ReportIdentity(ctx context.Context, arn string) error {
	_, err := s.db.ExecContext(ctx, reportIdentitySQL, arn)
	return err
}

// Identity reads the identity in AWS that a worker last reported. Errors: provision.ErrNotFound when none has.
func (s Processes) Identity(ctx context.Context) (identity provision.WorkerIdentity, err error) {
	err = s.db.GetContext(ctx, &identity, `SELECT arn, reported_at FROM worker_identity`)
	return identity, notFound(err, "the identity of the workers")
}

const processColumns = `id, kind, host, pid, version, key_names, seals_with, started_at, seen_at`

const liveProcessesSQL = `
SELECT ` + processColumns + ` FROM processes
WHERE seen_at > clock_timestamp() - $1 * interval '1 second' ORDER BY kind, host, started_at, id`

// Announce records that the process lives, which key it seals with, and how long ago it used each of its keys. It
// returns the other live processes. The record is committed before the others are read, so of two processes that
// announce themselves at the same moment, at least one sees the other.
func (s Processes) Announce(ctx context.Context, p provision.Process,
	used map[string]time.Duration) (others []provision.Process, err error) {
	ids, seconds := make([]string, 0, len(used)), make([]float64, 0, len(used))
	for id, ago := range used {
		ids, seconds = append(ids, id), append(seconds, ago.Seconds())
	}
	if _, err := s.db.ExecContext(ctx, announceSQL, p.ID, p.Kind, p.Host, p.PID, p.Version, textArray(p.Keys), p.SealsWith, pq.Array(ids),
		pq.Array(seconds)); err != nil {
		return nil, err
	}
	live, err := s.List(ctx)
	for _, other := range live {
		if other.ID != p.ID {
			others = append(others, other)
		}
	}
	return others, err
}

// Remove deletes a process that has stopped.
func (s Processes) Remove(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM processes WHERE id = $1`, id)
	return err
}

// List lists the live processes.
func (s Processes) List(ctx context.Context) (live []provision.Process, err error) {
	var rows []struct {
		provision.Process
		Names pq.StringArray `db:"key_names"`
	}
	if err := s.db.SelectContext(ctx, &rows, liveProcessesSQL, provision.ProcessLifetime.Seconds()); err != nil {
		return nil, err
	}
	for _, row := range rows {
		row.Keys = row.Names
		live = append(live, row.Process)
	}
	return live, nil
}
