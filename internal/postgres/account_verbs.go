package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// act does one of the verbs verify, invalidate, return and delete to an account of the provider, in one transaction with what also does.
// It returns the account as it is afterwards, and the orders that got an account because of the change. Errors: as Accounts.Update.
func act(ctx context.Context, db *database, c accountChange,
	also func(*sqlx.Tx) error) (now provision.Account, woken []provision.OrderKey, err error) {
	work := func(tx *sqlx.Tx, a provision.Account) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		if err := a.Forbids(c.verb); err != nil {
			return err
		}
		return accountVerbs[c.verb](ctx, tx, a, c)
	}
	if c.verb != provision.ActionDelete {
		return changeAccount(ctx, db, c, work)
	}
	err = db.tx(ctx, c.actor, func(tx *sqlx.Tx) (err error) { // gives no order an account, so it needs no lock of the pool
		if now, err = lockAccount(ctx, tx, c); err != nil {
			return err
		}
		return work(tx, now)
	})
	return now, nil, noteRefusal(ctx, db, c, err)
}

// accountVerbs change a locked account whose status allows that.
var accountVerbs = map[string]func(context.Context, *sqlx.Tx, provision.Account, accountChange) error{
	provision.ActionVerify: verifyAccount,
	provision.ActionInvalidate: func(ctx context.Context, tx *sqlx.Tx, a provision.Account, c accountChange) error {
		return invalidateAccount(ctx, tx, a, c.verb, c.reason)
	},
	provision.ActionReturn: returnAccount,
	provision.ActionDelete: deleteAccount,
}

// because adds the reason that someone gave, if any.
func (c accountChange) because(what string) string {
	if c.reason == "" {
		return what
	}
	return what + ": " + c.reason
}

func verifyAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, c accountChange) error {
	if err := noteAccount(ctx, tx, a, a.Status, accountNote{code: c.verb, reason: c.because("to be verified now")}); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE accounts SET verify_at = now() WHERE id = $1`, a.ID)
	return err
}

const invalidateSQL = `
UPDATE accounts SET status = 'invalid', reason = $2, ready_when_verified = false, ready_because = '', verify_at = NULL WHERE id = $1`

// invalidateAccount makes a locked account Invalid, for good: its verification does not make it Ready.
func invalidateAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, verb, reason string) error {
	if a.Status == provision.AccountInvalid { // the status does not change, so the trigger writes no history row
		if err := noteAccount(ctx, tx, a, a.Status, accountNote{code: verb, reason: reason}); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, invalidateSQL, a.ID, reason)
	return err
}

const returnSQL = `
UPDATE accounts SET ready_when_verified = true, ready_because = $2, verify_at = now(), strikes = 0, finding = '' WHERE id = $1`

func returnAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, c accountChange) error {
	noted := accountNote{code: c.verb, reason: c.because("to be Ready once it is verified")}
	if err := noteAccount(ctx, tx, a, a.Status, noted); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, returnSQL, a.ID, c.because("returned by "+c.actor))
	return err
}

func deleteAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, c accountChange) error {
	if err := noteAccount(ctx, tx, a, provision.AccountDeleted, accountNote{code: c.verb, reason: c.because("deleted")}); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM accounts WHERE id = $1`, a.ID)
	return err
}
