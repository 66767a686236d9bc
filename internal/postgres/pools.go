package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Pools are the pools and their settings.
type Pools struct{ db *database }

// poolSettingsColumns are the columns of a poolSettingsRow.
const poolSettingsColumns = `p.alternate_contact_types, p.report_kind, p.report_region, p.report_prefix, p.user_policy_arns,
       COALESCE(p.permissions_boundary_arn, '') AS permissions_boundary_arn, p.on_failure, COALESCE(EXTRACT(EPOCH FROM p.wait_deadline),
           0)::bigint AS wait_seconds,
       EXTRACT(EPOCH FROM p.action_deadline)::bigint AS action_seconds, p.provide_root_user, p.instructions`

type poolSettingsRow struct {
	ContactTypes        pq.StringArray       `db:"alternate_contact_types"`
	ReportKind          provision.ReportKind `db:"report_kind"`
	ReportRegion        string               `db:"report_region"`
	ReportPrefix        string               `db:"report_prefix"`
	UserPolicies        pq.StringArray       `db:"user_policy_arns"`
	PermissionsBoundary string               `db:"permissions_boundary_arn"`
	OnFailure           provision.OnFailure  `db:"on_failure"`
	WaitSeconds         int64                `db:"wait_seconds"`
	ActionSeconds       int64                `db:"action_seconds"`
	ProvideRootUser     bool                 `db:"provide_root_user"`
	Instructions        []byte               `db:"instructions"`
}

func (r poolSettingsRow) settings() (s provision.PoolSettings, err error) {
	s = provision.PoolSettings{
		AlternateContactTypes: r.ContactTypes,
		ReportKind:            r.ReportKind,
		ReportRegion:          r.ReportRegion,
		ReportPrefix:          r.ReportPrefix,
		UserPolicyARNs:        r.UserPolicies,
		PermissionsBoundary:   r.PermissionsBoundary,
		OnFailure:             r.OnFailure,
		WaitDeadline:          time.Duration(r.WaitSeconds) * time.Second,
		ActionDeadline:        time.Duration(r.ActionSeconds) * time.Second,
		ProvideRootUser:       r.ProvideRootUser,
	}
	s.Instructions, err = byModel[string](r.Instructions)
	return s, err
}

// byModel reads a map by account model; nil when it is empty.
func byModel[V any](text []byte) (m map[provision.Model]V, err error) {
	if err := json.Unmarshal(text, &m); err != nil || len(m) == 0 {
		return nil, err
	}
	return m, nil
}

const poolSQL = `
SELECT p.provider, p.marketplace, p.environment, p.version, p.created_at, p.stock_threshold, p.model_thresholds,
    p.verification_suspended_at,
       p.claims_suspended_at, p.claims_suspended_because,
       EXTRACT(EPOCH FROM p.renotify_every)::bigint AS renotify_seconds, ` + poolSettingsColumns + `
FROM pools p WHERE p.provider = $1`

const onePoolSQL = poolSQL + ` AND p.marketplace = $2 AND p.environment = $3`

type poolRow struct {
	provision.Pool
	poolSettingsRow
	Version                int64      `db:"version"`
	CreatedAt              time.Time  `db:"created_at"`
	StockThreshold         *int       `db:"stock_threshold"`
	ModelThresholds        []byte     `db:"model_thresholds"`
	SuspendedAt            *time.Time `db:"verification_suspended_at"`
	ClaimsSuspendedAt      *time.Time `db:"claims_suspended_at"`
	ClaimsSuspendedBecause string     `db:"claims_suspended_because"`
	RenotifySeconds        int64      `db:"renotify_seconds"`
}

func (r poolRow) config() (c provision.PoolConfig, err error) {
	c = provision.PoolConfig{Pool: r.Pool, Version: r.Version, CreatedAt: r.CreatedAt, StockThreshold: r.StockThreshold,
		RenotifyEvery: time.Duration(r.RenotifySeconds) * time.Second, SuspendedAt: r.SuspendedAt,
		ClaimsSuspendedAt: r.ClaimsSuspendedAt, ClaimsSuspendedBecause: r.ClaimsSuspendedBecause}
	if c.Settings, err = r.settings(); err != nil {
		return c, err
	}
	c.ModelThresholds, err = byModel[int](r.ModelThresholds)
	return c, err
}

const poolsAfterSQL = poolSQL + ` AND (p.marketplace, p.environment) > ($2, $3) ORDER BY p.marketplace, p.environment LIMIT $4`

// List lists at most limit pools of a provider, by marketplace and environment, after the given one.
func (s Pools) List(ctx context.Context, after provision.Pool, limit int) ([]provision.PoolConfig, error) {
	var rows []poolRow
	if err := s.db.SelectContext(ctx, &rows, poolsAfterSQL, after.Provider, after.Marketplace, after.Environment, limit); err != nil {
		return nil, err
	}
	configs := make([]provision.PoolConfig, len(rows))
	for i, row := range rows {
		var err error
		if configs[i], err = row.config(); err != nil {
			return nil, fmt.Errorf("pool %s holds settings that cannot be read: %w", row.Pool, err)
		}
	}
	return configs, nil
}

// Get reads one pool. Errors: provision.ErrNotFound.
func (s Pools) Get(ctx context.Context, pool provision.Pool) (provision.PoolConfig, error) {
	return readPool(ctx, s.db, pool, onePoolSQL)
}

func readPool(ctx context.Context, q queryer, pool provision.Pool, query string) (provision.PoolConfig, error) {
	var row poolRow
	if err := q.GetContext(ctx, &row, query, pool.Provider, pool.Marketplace, pool.Environment); err != nil {
		return provision.PoolConfig{}, notFound(err, "pool %s", pool)
	}
	return row.config()
}

const poolExistsSQL = `SELECT EXISTS (SELECT 1 FROM pools WHERE provider = $1 AND marketplace = $2 AND environment = $3)`

// Exists reports whether the tenant has a pool for the marketplace and environment.
func (s Pools) Exists(
	ctx context.Context, of provision.Tenant, marketplace string, environment provision.Environment,
) (exists bool, err error) {
	if !of.Includes(marketplace) {
		return false, nil
	}
	err = s.db.GetContext(ctx, &exists, poolExistsSQL, of.Provider, marketplace, environment)
	return exists, err
}

const marketplacesSQL = `SELECT DISTINCT marketplace FROM pools WHERE provider = $1 ORDER BY 1`

// Marketplaces lists the marketplaces for which the provider has pools.
func (s Pools) Marketplaces(ctx context.Context, provider string) (marketplaces []string, err error) {
	err = s.db.SelectContext(ctx, &marketplaces, marketplacesSQL, provider)
	return marketplaces, err
}

const createPoolSQL = `
INSERT INTO pools (provider, marketplace, environment, alternate_contact_types, report_kind, report_region, report_prefix,
    user_policy_arns, permissions_boundary_arn,
    on_failure, wait_deadline, action_deadline, provide_root_user, instructions, stock_threshold, model_thresholds, renotify_every)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULLIF($9, ''), $10, NULLIF($11, 0) * interval '1 second', $12 * interval '1 second', $13, $14,
    $15, $16, $17 * interval '1 second')`

// Create creates a pool. Errors: provision.ErrConflict when the pool exists, provision.ErrNotFound when there is
// no such provider, a *provision.InvalidError.
func (s Pools) Create(ctx context.Context, actor string, c provision.PoolConfig) (created provision.PoolConfig, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if err := validatePool(ctx, tx, c); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, createPoolSQL, poolArgs(c)...); err != nil {
			return err
		}
		created, err = readPool(ctx, tx, c.Pool, onePoolSQL)
		return err
	})
	switch {
	case violates(err, "pools_pkey"):
		err = fmt.Errorf("pool %s exists already: %w", c.Pool, provision.ErrConflict)
	case violates(err, "pools_provider_fkey"):
		err = fmt.Errorf("provider %q: %w: add it first", c.Provider, provision.ErrNotFound)
	}
	return created, err
}

const updatePoolSQL = `
UPDATE pools SET alternate_contact_types = $4, report_kind = $5, report_region = $6, report_prefix = $7, user_policy_arns = $8,
    permissions_boundary_arn = NULLIF($9, ''), on_failure = $10, wait_deadline = NULLIF($11, 0) * interval '1 second',
        action_deadline = $12 * interval '1 second',
    provide_root_user = $13, instructions = $14, stock_threshold = $15, model_thresholds = $16, renotify_every = $17 * interval '1 second'
WHERE provider = $1 AND marketplace = $2 AND environment = $3`

// Update changes the settings of a pool: edit receives the current ones. version is the one that the caller has
// seen; 0 means any. Orders that were opened before keep their settings. Errors: provision.ErrNotFound,
// provision.ErrStale, a *provision.InvalidError.
func (s Pools) Update(ctx context.Context, actor string, pool provision.Pool, version int64,
	edit func(*provision.PoolConfig)) (now provision.PoolConfig, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if now, err = readPool(ctx, tx, pool, onePoolSQL+` FOR NO KEY UPDATE`); err != nil {
			return err
		}
		if version != 0 && version != now.Version {
			return fmt.Errorf("pool %s has changed since it was read: %w", pool, provision.ErrStale)
		}
		edit(&now)
		if err := validatePool(ctx, tx, now); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, updatePoolSQL, poolArgs(now)...); err != nil {
			return err
		}
		now, err = readPool(ctx, tx, pool, onePoolSQL)
		return err
	})
	return now, err
}

func validatePool(ctx context.Context, tx *sqlx.Tx, c provision.PoolConfig) error {
	models, err := readModels(ctx, tx)
	if err != nil {
		return err
	}
	if wrong := c.Validate(models); len(wrong) > 0 {
		return &provision.InvalidError{Fields: wrong}
	}
	return nil
}

// poolArgs are the arguments of createPoolSQL and updatePoolSQL.
func poolArgs(c provision.PoolConfig) []any {
	s := c.Settings
	return []any{c.Provider, c.Marketplace, c.Environment, textArray(s.AlternateContactTypes), s.ReportKind, s.ReportRegion, s.ReportPrefix,
		textArray(s.UserPolicyARNs),
		s.PermissionsBoundary, s.OnFailure, s.WaitDeadline.Seconds(), s.ActionDeadline.Seconds(), s.ProvideRootUser,
		asObject(s.Instructions), c.StockThreshold,
		asObject(c.ModelThresholds), c.RenotifyEvery.Seconds()}
}

// asObject encodes a map as a JSON object; a nil map is an empty object.
func asObject[V any](m map[provision.Model]V) string {
	if m == nil {
		m = map[provision.Model]V{}
	}
	return asJSON(m)
}

const poolHistorySQL = `
SELECT seq, at, actor, what, old_value, new_value FROM pool_history
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND seq > $4 ORDER BY seq LIMIT $5`

// History reads the history of a pool, oldest first, after the given row, at most limit rows. Errors:
// provision.ErrNotFound.
func (s Pools) History(ctx context.Context, pool provision.Pool, after int64, limit int) (events []provision.PoolHistoryEntry, err error) {
	err = s.db.SelectContext(ctx, &events, poolHistorySQL, pool.Provider, pool.Marketplace, pool.Environment, after, limit)
	if err != nil || len(events) > 0 {
		return events, err
	}
	_, err = s.Get(ctx, pool) // a page after the last row is empty too
	return nil, err
}
