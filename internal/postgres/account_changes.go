package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// accountColumns are the columns of a provision.Account.
const accountColumns = `a.id, a.provider, a.marketplace, a.environment, a.model, a.name, a.root_email, a.role_arn, a.external_id,
	(SELECT m.root_access FROM account_models m WHERE m.id = a.model) AS root_access, a.added_at, a.status, a.status_since,
    COALESCE(a.order_id, '') AS order_id, a.reason,
	a.version, a.verify_at, a.verified_at, a.finding, a.ready_when_verified, a.removing_since`

// changeAccount runs work on an account of the provider, with the account and its pool locked. It returns the
// account as it is afterwards, and the orders that got an account because of the change. version is the one that
// the caller has seen; 0 means any. Errors: provision.ErrNotFound, provision.ErrStale.
func changeAccount(ctx context.Context, db *database, actor, provider, id string, version int64,
	work func(*sqlx.Tx, provision.Account) error) (now provision.Account, woken []provision.OrderKey, err error) {
	const readSQL = `SELECT ` + accountColumns + ` FROM accounts a WHERE a.provider = $1 AND a.id = $2`
	var pool provision.Pool // an account never changes its pool
	if err := db.GetContext(ctx, &pool, `SELECT provider, marketplace, environment FROM accounts WHERE provider = $1 AND id = $2`, provider,
		id); err != nil {
		return now, nil, notFound(err, "account %s", id)
	}
	err = db.poolTx(ctx, actor, pool, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &now, readSQL+` FOR UPDATE OF a`, provider, id); err != nil {
			return notFound(err, "account %s", id)
		}
		if version != 0 && version != now.Version {
			return fmt.Errorf("account %s has changed since it was read: %w", id, provision.ErrStale)
		}
		if err := work(tx, now); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &now, readSQL, provider, id); err != nil {
			return notFound(err, "account %s", id)
		}
		woken, err = match(ctx, tx, pool, provision.OrderKey{})
		return err
	})
	return now, woken, err
}

// forbidden returns an error that names the allowed statuses when the account is in none of them.
func forbidden(a provision.Account, what string, allowed ...provision.AccountStatus) error {
	if a.RemovingSince != nil {
		return &provision.StateError{Reason: fmt.Sprintf(
			"account %s: the leftovers of order %s are being removed: wait until that has ended", a.ID, a.OrderID)}
	}
	if slices.Contains(allowed, a.Status) {
		return nil
	}
	labels := make([]string, len(allowed))
	for i, status := range allowed {
		labels[i] = status.Label()
	}
	return &provision.StateError{Reason: fmt.Sprintf("account %s is %s: only an account that is %s can be %s", a.ID, a.Status.Label(),
		provision.JoinWords(labels, "or"), what)}
}

const noteAccountSQL = `
INSERT INTO account_history (account_id, actor, from_status, to_status, reason, provider, order_id)
VALUES ($1, qm_actor(), $2, $3, $4, $5, NULLIF($6, ''))`

// noteAccount adds a row to the history of an account for a change that leaves its status as it is. The trigger of
// the table writes a row only when the status changes.
func noteAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, to provision.AccountStatus, what string) error {
	_, err := tx.ExecContext(ctx, noteAccountSQL, a.ID, a.Status, to, what, a.Provider, a.OrderID)
	return err
}

const invalidateSQL = `
UPDATE accounts SET status = 'invalid', reason = $2, ready_when_verified = false, ready_because = '', verify_at = NULL WHERE id = $1`

// invalidateAccount makes a locked account Invalid, for good: its verification does not make it Ready.
func invalidateAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, reason string) error {
	if a.Status == provision.AccountInvalid {
		if err := noteAccount(ctx, tx, a, a.Status, reason); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, invalidateSQL, a.ID, reason)
	return err
}
