package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

const createAccountSQL = `
INSERT INTO accounts AS a (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason, ready_because)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'added by ' || qm_actor())
RETURNING ` + accountColumns

// CreateAccount adds an account to its pool. It is Invalid and due for verification, unless the caller says by its status that
// it is Ready: then an order that waits may get it in the same transaction, and those orders are returned, to be woken. Errors: provision.ErrConflict when the account id or the external id is known already,
// provision.ErrRootEmailTaken,
// provision.ErrNotFound when the provider has no such pool or there is no such model, provision.ErrProtected.
func (s *Store) CreateAccount(ctx context.Context, a provision.Account, actor string) (added provision.Account, woken []provision.OrderKey, err error) {
	status, reason := provision.AccountInvalid, provision.AwaitsVerification
	if a.Status == provision.AccountReady {
		status, reason = provision.AccountReady, ""
	}
	err = s.poolTx(ctx, actor, a.Pool, lockPoolSQL, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &added, createAccountSQL, a.ID, a.Provider, a.Marketplace, a.Environment, a.Model, a.Name, a.RootEmail, a.RoleARN, a.ExternalID, status, reason)
		if err != nil {
			return err
		}
		woken, err = match(ctx, tx, a.Pool, provision.OrderKey{})
		return err
	})
	switch {
	case violates(err, "accounts_pkey"):
		err = fmt.Errorf("account %s is in a pool already: %w", a.ID, provision.ErrConflict)
	case violates(err, "accounts_root_email_unique"):
		err = provision.ErrRootEmailTaken
	case violates(err, "accounts_not_protected"):
		err = fmt.Errorf("account %s is %w: a payer or one of the provider's own never enters a pool", a.ID, provision.ErrProtected)
	case violates(err, "accounts_external_id_unique"):
		err = fmt.Errorf("the external id of account %s is another account's: %w", a.ID, provision.ErrConflict)
	case violates(err, "accounts_model_fkey"):
		err = fmt.Errorf("account model %q: %w", a.Model, provision.ErrNotFound)
	case violates(err, "accounts_provider_marketplace_environment_fkey"):
		err = fmt.Errorf("pool %s: %w", a.Pool, provision.ErrNotFound)
	}
	return added, woken, err
}

// Account reads one account of the provider. Errors: provision.ErrNotFound.
func (s *Store) Account(ctx context.Context, provider, id string) (a provision.Account, err error) {
	err = s.db.GetContext(ctx, &a, `SELECT `+accountColumns+` FROM accounts a WHERE a.provider = $1 AND a.id = $2`, provider, id)
	return a, notFound(err, "account %s", id)
}

// Accounts lists the accounts of a provider, oldest first.
func (s *Store) Accounts(ctx context.Context, provider string, f provision.AccountFilter) (accounts []provision.Account, err error) {
	var w where
	w.and("a.provider = ?", provider)
	if len(f.Statuses) > 0 {
		w.and("a.status = ANY(?)", pq.Array(f.Statuses))
	}
	w.andIf(f.Marketplace != "", "a.marketplace = ?", f.Marketplace)
	w.andIf(f.Environment != "", "a.environment = ?", f.Environment)
	w.andIf(f.Model != "", "a.model = ?", f.Model)
	if f.After != nil {
		w.and("(a.added_at, a.id) > (?, ?)", f.After.AddedAt, f.After.ID)
	}
	err = s.db.SelectContext(ctx, &accounts, `SELECT `+accountColumns+` FROM accounts a`+w.sql()+` ORDER BY a.added_at, a.id LIMIT `+w.arg(f.Limit), w.args...)
	return accounts, err
}

const poolExistsSQL = `SELECT EXISTS (SELECT 1 FROM pools WHERE provider = $1 AND marketplace = $2 AND environment = $3)`

// PoolExists tells whether the provider has such a pool.
func (s *Store) PoolExists(ctx context.Context, p provision.Pool) (exists bool, err error) {
	err = s.db.GetContext(ctx, &exists, poolExistsSQL, p.Provider, p.Marketplace, p.Environment)
	return exists, err
}

// CreateProvider adds a provider, or changes its name.
func (s *Store) CreateProvider(ctx context.Context, id, name string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO providers (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name`, id, name)
	if violates(err, "providers_id_is_a_slug") {
		return fmt.Errorf("provider id %q: use lower-case letters, digits and single hyphens, at most 40", id)
	}
	return err
}

// AddPool makes a pool with the default settings and the given kind of new reports. One that is there stays as it is. Errors: as
// CreatePool, but for provision.ErrConflict.
func (s *Store) AddPool(ctx context.Context, p provision.Pool, kind provision.ReportKind) error {
	config := provision.DefaultPool(p)
	config.Settings.ReportKind = kind
	_, err := s.CreatePool(ctx, "setup", config)
	if errors.Is(err, provision.ErrConflict) {
		return nil
	}
	return err
}

// SetActionDeadline sets how long the pool's orders wait for somebody to correct them.
func (s *Store) SetActionDeadline(ctx context.Context, p provision.Pool, patience time.Duration) error {
	_, err := s.db.ExecContext(ctx, `UPDATE pools SET action_deadline = $4 * interval '1 second' WHERE provider = $1 AND marketplace = $2 AND environment = $3`,
		p.Provider, p.Marketplace, p.Environment, patience.Seconds())
	return err
}
