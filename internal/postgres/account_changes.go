package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// accountColumns are the columns of a provision.Account.
const accountColumns = `a.id, a.provider, a.marketplace, a.environment, a.model, a.name, a.root_email, a.role_arn, a.external_id,
	(SELECT m.root_access FROM account_models m WHERE m.id = a.model) AS root_access, a.added_at, a.status, a.status_since,
    COALESCE(a.order_id, '') AS order_id, a.reason,
	a.version, a.verify_at, a.verified_at, a.finding, a.ready_when_verified, a.removing_since`

const accountSQL = `SELECT ` + accountColumns + ` FROM accounts a WHERE a.provider = $1 AND a.id = $2`

// accountChange is what someone wants of an account.
type accountChange struct {
	actor, provider, id string
	version             int64  // that the caller has seen; 0 means any
	verb                string // as the history calls it
	reason              string // of the actor
}

// changeAccount runs work on an account of the provider, with the account and its pool locked. It returns the
// account as it is afterwards, and the orders that got an account because of the change. When work refuses the
// change with a *provision.StateError, the history says so. Errors: provision.ErrNotFound, provision.ErrStale.
func changeAccount(ctx context.Context, db *database, c accountChange,
	work func(*sqlx.Tx, provision.Account) error) (now provision.Account, woken []provision.OrderKey, err error) {
	var pool provision.Pool // an account never changes its pool
	if err := db.GetContext(ctx, &pool, `SELECT provider, marketplace, environment FROM accounts WHERE provider = $1 AND id = $2`,
		c.provider, c.id); err != nil {
		return now, nil, notFound(err, "account %s", c.id)
	}
	err = db.poolTx(ctx, c.actor, pool, func(tx *sqlx.Tx) error {
		if now, err = lockAccount(ctx, tx, c); err != nil {
			return err
		}
		if err := work(tx, now); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &now, accountSQL, c.provider, c.id); err != nil {
			return notFound(err, "account %s", c.id)
		}
		woken, err = match(ctx, tx, pool, provision.OrderKey{})
		return err
	})
	return now, woken, noteRefusal(ctx, db, c, err)
}

// lockAccount reads the account and locks it until the transaction ends. Errors: provision.ErrNotFound, provision.ErrStale.
func lockAccount(ctx context.Context, tx *sqlx.Tx, c accountChange) (a provision.Account, err error) {
	if err := tx.GetContext(ctx, &a, accountSQL+` FOR UPDATE OF a`, c.provider, c.id); err != nil {
		return a, notFound(err, "account %s", c.id)
	}
	if c.version != 0 && c.version != a.Version {
		return a, fmt.Errorf("account %s has changed since it was read: %w", c.id, provision.ErrStale)
	}
	return a, nil
}
