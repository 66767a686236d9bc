package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// ProtectedAccounts are the accounts that a provider protects: they enter no pool, and nothing is changed in them.
type ProtectedAccounts struct{ db *database }

const isProtectedSQL = `SELECT EXISTS (SELECT 1 FROM protected_accounts WHERE provider = $1 AND account_id = $2)`

// Contains reports whether the provider protects the account.
func (s ProtectedAccounts) Contains(ctx context.Context, provider, accountID string) (protected bool, err error) {
	err = s.db.GetContext(ctx, &protected, isProtectedSQL, provider, accountID)
	return protected, err
}

const protectedColumns = `SELECT account_id, note, created_at, created_by FROM protected_accounts`

// List lists at most limit accounts that the provider protects, by their ids, after the given one.
func (s ProtectedAccounts) List(ctx context.Context, provider, after string, limit int) (accounts []provision.ProtectedAccount, err error) {
	err = s.db.SelectContext(ctx, &accounts, protectedColumns+` WHERE provider = $1 AND account_id > $2 ORDER BY account_id LIMIT $3`,
		provider, after, limit)
	return accounts, err
}

const protectSQL = `
INSERT INTO protected_accounts AS p (provider, account_id, note, created_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (provider, account_id) DO UPDATE SET note = EXCLUDED.note WHERE p.note <> EXCLUDED.note`

// Protect protects an account: it cannot enter a pool of the provider any more, and nothing is changed in it. An
// account in stock becomes Invalid. A repeat changes the note. Errors: a *provision.StateError while an order
// holds the account.
func (s ProtectedAccounts) Protect(ctx context.Context,
	actor, provider, accountID, note string) (protected provision.ProtectedAccount, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		before, err := lockedAccount(ctx, tx, provider, accountID)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, protectSQL, provider, accountID, note, actor); err != nil {
			return err
		}
		if before == nil { // a concurrent Accounts.Create has committed by now, or will see the row
			if before, err = lockedAccount(ctx, tx, provider, accountID); err != nil {
				return err
			}
		}
		if before != nil {
			if err := keepOut(ctx, tx, *before); err != nil {
				return err
			}
		}
		return tx.GetContext(ctx, &protected, protectedColumns+` WHERE provider = $1 AND account_id = $2`, provider, accountID)
	})
	return protected, err
}

const lockedAccountSQL = `SELECT ` + accountColumns + ` FROM accounts a WHERE a.provider = $1 AND a.id = $2 FOR UPDATE OF a`

// lockedAccount reads and locks an account of the provider. It returns nil when the account is in no pool.
func lockedAccount(ctx context.Context, tx *sqlx.Tx, provider, accountID string) (*provision.Account, error) {
	var a provision.Account
	err := tx.GetContext(ctx, &a, lockedAccountSQL, provider, accountID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &a, err
}

// keepOut makes a protected account that is in stock Invalid.
func keepOut(ctx context.Context, tx *sqlx.Tx, a provision.Account) error {
	const reason = "protected: a payer account or one of the provider's own accounts"
	switch {
	case a.Status == provision.AccountProvisioning:
		return &provision.StateError{Reason: fmt.Sprintf("order %s holds account %s: cancel the order or swap its account first", a.OrderID,
			a.ID)}
	case a.Status == provision.AccountReady, a.ReadyWhenVerified:
		return invalidateAccount(ctx, tx, a, "protect", reason)
	}
	return nil
}

// Release ends the protection of an account. The reason may be empty. Errors: provision.ErrNotFound.
func (s ProtectedAccounts) Release(ctx context.Context, actor, provider, accountID, reason string) error {
	return s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if err := setReason(ctx, tx, reason); err != nil {
			return err
		}
		released, err := affected(tx.ExecContext(ctx, `DELETE FROM protected_accounts WHERE provider = $1 AND account_id = $2`, provider,
			accountID))
		if err == nil && !released {
			err = fmt.Errorf("protected account %s: %w", accountID, provision.ErrNotFound)
		}
		return err
	})
}
