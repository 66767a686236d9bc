package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Passwords are the sealed sign-in passwords of orders. Those that someone asks for later are in new_passwords.go.
type Passwords struct{ db *database }

const keepPasswordSQL = `
INSERT INTO order_passwords AS p (provider, order_id, account_id, sealed)
SELECT a.provider, a.order_id, a.id, $4 FROM accounts a
WHERE a.provider = $1 AND a.order_id = $2 AND a.id = $3 AND a.status = 'provisioning' FOR SHARE
ON CONFLICT (provider, order_id, account_id, request) DO UPDATE SET sealed = COALESCE(p.sealed, EXCLUDED.sealed)
RETURNING p.sealed`

// Keep stores the sealed password, unless one is kept already, and returns the kept one. For an order that does
// not hold the account any more it keeps none (CodeOrderNotInProgress), so a late attempt leaves no password
// behind.
func (s Passwords) Keep(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) (kept []byte, err error) {
	err = s.db.GetContext(ctx, &kept, keepPasswordSQL, key.Provider, key.ID, accountID, sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, keepsNone(accountID)
	}
	return kept, err
}

func keepsNone(accountID string) error {
	return &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: provision.StepSignIn,
		Reason: fmt.Sprintf("the order does not hold account %s any more and keeps no password for it", accountID)}
}

const replacePasswordSQL = `
WITH held AS (
    SELECT a.id FROM accounts a WHERE a.provider = $1 AND a.order_id = $2 AND a.id = $3 AND a.status = 'provisioning' FOR SHARE
)
UPDATE order_passwords p SET sealed = $4 FROM held
WHERE p.provider = $1 AND p.order_id = $2 AND p.account_id = held.id AND p.request = ''`

// Replace overwrites the kept password. For an order that does not hold the account any more it changes nothing
// (CodeOrderNotInProgress).
func (s Passwords) Replace(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) error {
	replaced, err := affected(s.db.ExecContext(ctx, replacePasswordSQL, key.Provider, key.ID, accountID, sealed))
	if err == nil && !replaced {
		err = keepsNone(accountID)
	}
	return err
}

// withdrawPasswordSQL keeps the password of an Allocated account, because that is the customer's.
const withdrawPasswordSQL = `
UPDATE order_passwords SET sealed = NULL WHERE provider = $1 AND order_id = $2 AND account_id = $3
  AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.provider = $1 AND a.order_id = $2 AND a.id = $3 AND a.status = 'allocated')`

// withdrawPasswordsSQL forgets all passwords of an order that ends without an account, whatever the undo in AWS
// could not remove.
const withdrawPasswordsSQL = `UPDATE order_passwords SET sealed = NULL WHERE provider = $1 AND order_id = $2 AND sealed IS NOT NULL`

// startPasswordClockSQL starts the lifetime of the link to the password, because the order is completed.
const startPasswordClockSQL = `
UPDATE order_passwords SET expires_at = now() + $4 * interval '1 second'
WHERE provider = $1 AND order_id = $2 AND account_id = $3 AND request = '' AND expires_at IS NULL`

// Withdraw forgets the kept password, if there is one, unless the account is Allocated.
func (s Passwords) Withdraw(ctx context.Context, key provision.OrderKey, accountID string) error {
	_, err := s.db.ExecContext(ctx, withdrawPasswordSQL, key.Provider, key.ID, accountID)
	return err
}

// The statement that marks the password as revealed also removes the sealed bytes, so only one of two concurrent
// readers gets them.
const revealPasswordSQL = `
WITH taken AS (
    SELECT id, sealed FROM order_passwords
    WHERE id = $1 AND sealed IS NOT NULL AND revealed_at IS NULL AND expires_at > now()
    FOR UPDATE
), used AS (
    UPDATE order_passwords p SET sealed = NULL, revealed_at = now(), revealed_to = $2 FROM taken WHERE p.id = taken.id
    RETURNING p.provider, p.order_id, p.account_id, taken.sealed
)
SELECT used.provider, used.order_id, used.account_id, used.sealed,
       o.result ->> 'iam_user_name' AS user_name, o.result ->> 'sign_in_url' AS sign_in_url
FROM used JOIN orders o ON o.provider = used.provider AND o.id = used.order_id AND o.state = 'completed'`

// Reveal takes the sealed password of a completed order out of the database, once, and records who got it (an IP
// address). If open returns an error, nothing changes and Reveal returns that error. Other errors:
// provision.ErrNotFound for an unknown id; provision.ErrGone when the password was revealed before, was replaced or
// withdrawn, or has expired.
func (s Passwords) Reveal(ctx context.Context, id, to string, open func(provision.RevealedPassword) error) error {
	return s.db.tx(ctx, "reveal "+to, func(tx *sqlx.Tx) error { return reveal(ctx, tx, id, to, open) })
}

func reveal(ctx context.Context, tx *sqlx.Tx, id, to string, open func(provision.RevealedPassword) error) error {
	var rows []struct {
		Provider  string `db:"provider"`
		OrderID   string `db:"order_id"`
		AccountID string `db:"account_id"`
		Sealed    []byte `db:"sealed"`
		UserName  string `db:"user_name"`
		SignInURL string `db:"sign_in_url"`
	}
	if err := tx.SelectContext(ctx, &rows, revealPasswordSQL, id, to); err != nil {
		return err
	}
	if len(rows) == 1 {
		r := rows[0]
		return open(provision.RevealedPassword{
			OrderKey:  provision.OrderKey{Provider: r.Provider, ID: r.OrderID},
			AccountID: r.AccountID,
			Sealed:    r.Sealed,
			UserName:  r.UserName,
			SignInURL: r.SignInURL,
		})
	}
	var known bool
	if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT 1 FROM order_passwords WHERE id = $1)`, id); err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("password link: %w", provision.ErrNotFound)
	}
	return fmt.Errorf("password link: %w", provision.ErrGone)
}
