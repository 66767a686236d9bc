package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Leftovers are what undos could not remove from accounts, and what it takes to run those undos again.
type Leftovers struct{ db *database }

const keepUndoSQL = `
INSERT INTO kept_undos (provider, order_id, account_id, sealed)
SELECT a.provider, a.order_id, a.id, $4 FROM accounts a WHERE a.provider = $1 AND a.order_id = $2 AND a.id = $3
    AND a.status = 'provisioning'
ON CONFLICT (account_id) DO UPDATE SET provider = EXCLUDED.provider, order_id = EXCLUDED.order_id, sealed = EXCLUDED.sealed,
    kept_at = clock_timestamp()`

// KeepUndo keeps what it takes to run the undo of the order in the account again. It does nothing when the order
// does not hold the account.
func (s Leftovers) KeepUndo(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) error {
	_, err := s.db.ExecContext(ctx, keepUndoSQL, key.Provider, key.ID, accountID, sealed)
	return err
}

const (
	hasKeptUndoSQL = `
SELECT EXISTS (SELECT 1 FROM kept_undos k JOIN accounts a ON a.id = k.account_id AND a.order_id = k.order_id WHERE k.account_id = $1)`
	beginRemovalSQL = `
UPDATE accounts SET removing_since = COALESCE(removing_since, now()), ready_when_verified = false, ready_because = '', verify_at = NULL
    WHERE id = $1`
)

// BeginRemoval reserves an Invalid or failed account for the removal of the leftovers of its order. Its status
// does not change until EndRemoval. A repeat changes nothing. Errors: as Accounts.Update; a *provision.StateError
// too when no undo was kept.
func (s Leftovers) BeginRemoval(ctx context.Context, actor, provider, id, reason string) (provision.Account, error) {
	c := accountChange{actor: actor, provider: provider, id: id, verb: provision.ActionRemoveLeftovers, reason: reason}
	now, _, err := changeAccount(ctx, s.db, c, func(tx *sqlx.Tx, a provision.Account) error {
		if a.RemovingSince != nil {
			return nil
		}
		if err := a.Forbids(c.verb); err != nil {
			return err
		}
		var kept bool
		if err := tx.GetContext(ctx, &kept, hasKeptUndoSQL, id); err != nil {
			return err
		}
		if !kept {
			return &provision.StateError{Reason: fmt.Sprintf(
				"no undo is known that left something in account %s: look into the account, and return it when it is clean", id)}
		}
		noted := accountNote{code: c.verb, reason: "removal of the leftovers of order " + a.OrderID + " requested: " + reason}
		if err := noteAccount(ctx, tx, a, a.Status, noted); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, beginRemovalSQL, id)
		return err
	})
	return now, err
}

const keptUndoSQL = `
SELECT k.provider, k.order_id AS id, k.sealed FROM kept_undos k JOIN accounts a ON a.id = k.account_id AND a.order_id = k.order_id
WHERE a.provider = $1 AND a.id = $2 AND a.removing_since IS NOT NULL`

// KeptUndo reads what KeepUndo kept for an account that is reserved for the removal of leftovers, and the order
// that left them. Errors: provision.ErrNotFound.
func (s Leftovers) KeptUndo(ctx context.Context, provider, accountID string) (key provision.OrderKey, sealed []byte, err error) {
	var row struct {
		provision.OrderKey
		Sealed []byte `db:"sealed"`
	}
	err = s.db.GetContext(ctx, &row, keptUndoSQL, provider, accountID)
	return row.OrderKey, row.Sealed, notFound(err, "kept undo of account %s", accountID)
}

// A clean account becomes Ready when its verification passes.
const endRemovalSQL = `
UPDATE accounts SET removing_since = NULL, reason = $3, ready_when_verified = $4, ready_because = CASE WHEN $4 THEN $5 ELSE '' END,
    verify_at = CASE WHEN $4 THEN now() END, strikes = 0, finding = ''
WHERE provider = $1 AND id = $2 AND removing_since IS NOT NULL`

const (
	leftNowSQL    = `UPDATE orders SET leftovers = $3, notes = notes || $4 WHERE provider = $1 AND id = $2`
	forgetUndoSQL = `DELETE FROM kept_undos WHERE account_id = $1`
)

// EndRemoval records what is left after a removal, with the account and with its order. When nothing is left, the
// account becomes Ready when its next verification passes, unless the pool parks it. A repeat changes nothing.
func (s Leftovers) EndRemoval(ctx context.Context, r provision.LeftoversRemoved) error {
	clean := len(r.Leftovers) == 0
	park := r.OnFailure == provision.OnFailurePark
	reason := "left by order " + r.Order.ID + ": " + joinSentences(r.Leftovers)
	switch {
	case clean && park:
		reason = "the leftovers of order " + r.Order.ID + " are removed; the pool parks the accounts of failed orders"
	case clean:
		reason = "the leftovers of order " + r.Order.ID + " are removed; back to Ready when its verification passes"
	}
	because := "the leftovers of order " + r.Order.ID + " were removed by " + r.Removal.By.Actor
	return s.db.tx(ctx, r.Removal.By.Actor, func(tx *sqlx.Tx) error {
		ended, err := affected(tx.ExecContext(ctx, endRemovalSQL, r.Removal.Provider, r.Removal.AccountID, reason, clean && !park, because))
		if err != nil || !ended {
			return err
		}
		var account provision.Account
		if err := tx.GetContext(ctx, &account,
			`SELECT `+accountColumns+` FROM accounts a WHERE a.id = $1`, r.Removal.AccountID); err != nil {
			return err
		}
		if err := noteAccount(ctx, tx, account, account.Status, accountNote{code: "leftovers-removed", reason: reason}); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, leftNowSQL, r.Order.Provider, r.Order.ID, textArray(r.Leftovers), textArray(r.Notes)); err != nil {
			return err
		}
		if clean {
			_, err = tx.ExecContext(ctx, forgetUndoSQL, r.Removal.AccountID)
		}
		return err
	})
}
