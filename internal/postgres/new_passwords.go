package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// A request for a new password is a row of order_passwords. It is open until AWS has confirmed the password, or until the
// request is refused. Its link works only after the confirmation, so no link leads to a password that never took effect.

const openRequest = `request <> '' AND expires_at IS NULL AND failure IS NULL`

const passwordTargetSQL = `
SELECT a.id FROM orders o JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id
WHERE o.provider = $1 AND o.id = $2 AND o.state = 'completed' AND a.status = 'allocated'`

const (
	// A run that was terminated leaves its request open.
	supersedeRequestSQL = `
UPDATE order_passwords SET failure = $4, failed_at = now(), sealed = NULL
WHERE provider = $1 AND order_id = $2 AND request <> $3 AND ` + openRequest

	insertRequestSQL = `
INSERT INTO order_passwords (provider, order_id, account_id, request) VALUES ($1, $2, $3, $4)
ON CONFLICT (provider, order_id, account_id, request) DO NOTHING`

	// The step of an earlier request says nothing about this one.
	forgetStepSQL = `DELETE FROM order_steps WHERE provider = $1 AND order_id = $2 AND account_id = $3 AND step = $4`
)

// Request accepts a request for a new password, records who asks for it and why, and returns the account in
// which it is set. A repeat of the same request (By.ID) changes nothing. Errors: provision.ErrNotFound; a *provision.Failure
// OrderNotInProgress unless the order is completed and its account is allocated to it.
func (s Passwords) Request(ctx context.Context, key provision.OrderKey, r provision.PasswordRequest) (accountID string,
	err error) {
	err = s.db.tx(ctx, r.By.Actor, func(tx *sqlx.Tx) error {
		o, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &accountID, passwordTargetSQL, key.Provider, key.ID); errors.Is(err, sql.ErrNoRows) {
			return noCustomer(o.State)
		} else if err != nil {
			return err
		}
		noted, err := noteAction(ctx, tx, key, r.Action(), r.By)
		if err != nil || !noted {
			return err
		}
		if err := recordOnce(ctx, tx, r.Once); err != nil {
			return repeatedRequest(err)
		}
		ended := &provision.Failure{Code: provision.CodeAttemptEnded, Step: provision.StepNewPassword,
			Reason: "the work on this request ended before its outcome was known, and a newer request took its place"}
		if _, err := tx.ExecContext(ctx, supersedeRequestSQL, key.Provider, key.ID, r.By.ID, asJSON(ended)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insertRequestSQL, key.Provider, key.ID, accountID, r.By.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, forgetStepSQL, key.Provider, key.ID, accountID, provision.StepNewPassword)
		return err
	})
	return accountID, err
}

// repeatedRequest refuses a request whose Idempotency-Key an earlier one had. The API refuses most of them before they get here.
func repeatedRequest(err error) error {
	if repeat, ok := errors.AsType[*provision.RepeatError](err); ok && !repeat.Running {
		return &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: provision.StepNewPassword,
			Reason: "an earlier request for a new password had the same Idempotency-Key: send a new one with another key"}
	}
	return err
}

func noCustomer(state provision.OrderState) error {
	return &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: provision.StepNewPassword,
		Reason: fmt.Sprintf("the order is %s and no account is allocated to it: only a completed order has a customer who signs in", state)}
}

const (
	keepNewPasswordSQL = `
WITH held AS (
    SELECT a.id FROM accounts a WHERE a.provider = $1 AND a.order_id = $2 AND a.id = $3 AND a.status = 'allocated' FOR SHARE
)
UPDATE order_passwords p SET sealed = CASE WHEN $6 THEN $5 ELSE COALESCE(p.sealed, $5) END FROM held
WHERE p.provider = $1 AND p.order_id = $2 AND p.account_id = held.id AND p.request = $4 AND ` + openRequest + `
RETURNING p.sealed`

	endLinkSQL = `
UPDATE order_passwords SET sealed = NULL, replaced_at = now()
WHERE provider = $1 AND order_id = $2 AND account_id = $3 AND request <> $4 AND expires_at IS NOT NULL AND replaced_at IS NULL`
)

// KeepNew stores the sealed password of a request, unless one is kept already, and returns the kept one. With replace
// it overwrites the kept one, because AWS's password policy refused it. In the same transaction the link to the
// password before stops working, and the order's history says who wanted that and why: from here on AWS may have the
// new password. Errors: a *provision.Failure OrderNotInProgress when the request has ended or the account is not
// allocated to the order.
func (s Passwords) KeepNew(ctx context.Context, key provision.OrderKey, accountID string, by provision.Intervention, sealed []byte,
	replace bool) (kept []byte, err error) {
	err = s.db.tx(ctx, by.Actor, func(tx *sqlx.Tx) error {
		if _, err := lockOrder(ctx, tx, key); err != nil {
			return err
		}
		err := tx.GetContext(ctx, &kept, keepNewPasswordSQL, key.Provider, key.ID, accountID, by.ID, sealed, replace)
		if errors.Is(err, sql.ErrNoRows) {
			return &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: provision.StepNewPassword,
				Reason: fmt.Sprintf("the request for a new password has ended, or account %s is not allocated to the order any more", accountID)}
		}
		if err != nil {
			return err
		}
		ended, err := affected(tx.ExecContext(ctx, endLinkSQL, key.Provider, key.ID, accountID, by.ID))
		if err != nil || !ended {
			return err
		}
		_, err = noteAction(ctx, tx, key, "password_link_ended", provision.Intervention{Actor: by.Actor, Reason: by.Reason})
		return err
	})
	return kept, err
}

const (
	issuePasswordSQL = `
UPDATE order_passwords SET expires_at = now() + $4 * interval '1 second'
WHERE provider = $1 AND order_id = $2 AND request = $3 AND sealed IS NOT NULL AND ` + openRequest

	refusePasswordSQL = `
UPDATE order_passwords SET failure = $4, failed_at = now(), sealed = NULL
WHERE provider = $1 AND order_id = $2 AND request = $3 AND ` + openRequest

	emitPasswordIssuedSQL = `
SELECT emit_event(provider, $3, id, jsonb_build_object('order_id', id, 'marketplace', marketplace, 'environment', environment,
    'state', state, 'since', state_since, 'aws_account_id', result ->> 'account_id'))
FROM orders WHERE provider = $1 AND id = $2`
)

// EndRequest ends a request for a new password. Without a failure the password's link works from now on, and an event
// says so. With one the stored password is forgotten. A repeat changes nothing.
func (s Passwords) EndRequest(ctx context.Context, key provision.OrderKey, request string, failure *provision.Failure) error {
	return s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
		if _, err := lockOrder(ctx, tx, key); err != nil {
			return err
		}
		if failure != nil {
			refused, err := affected(tx.ExecContext(ctx, refusePasswordSQL, key.Provider, key.ID, request, asJSON(failure)))
			if err == nil && refused {
				_, err = noteAction(ctx, tx, key, string(failure.Code), provision.Intervention{Actor: orderActor(key),
					Reason: "no new password: " + failure.Cause()})
			}
			return err
		}
		issued, err := affected(tx.ExecContext(ctx, issuePasswordSQL, key.Provider, key.ID, request, provision.PasswordLifetime.Seconds()))
		if err != nil || !issued {
			return err
		}
		if _, err := noteAction(ctx, tx, key, "password_issued", provision.Intervention{Actor: orderActor(key),
			Reason: fmt.Sprintf("the new password is set, and its link works for %d hours", int(provision.PasswordLifetime.Hours()))}); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, emitPasswordIssuedSQL, key.Provider, key.ID, provision.EventPasswordIssued)
		return err
	})
}

const passwordRowsSQL = `
SELECT id, request, created_at, expires_at, revealed_at, replaced_at, failure, failed_at FROM order_passwords
WHERE provider = $1 AND order_id = $2 AND account_id = $3 ORDER BY created_at, id`

// passwordView describes the password of a completed order; nil when none was ever stored.
func passwordView(ctx context.Context, db *database, key provision.OrderKey, accountID string) (*provision.PasswordView, error) {
	var rows []struct {
		ID         string     `db:"id"`
		Request    string     `db:"request"`
		CreatedAt  time.Time  `db:"created_at"`
		ExpiresAt  *time.Time `db:"expires_at"`
		RevealedAt *time.Time `db:"revealed_at"`
		ReplacedAt *time.Time `db:"replaced_at"`
		Failure    []byte     `db:"failure"`
		FailedAt   *time.Time `db:"failed_at"`
	}
	if err := db.SelectContext(ctx, &rows, passwordRowsSQL, key.Provider, key.ID, accountID); err != nil || len(rows) == 0 {
		return nil, err
	}
	view := &provision.PasswordView{}
	for _, r := range rows {
		view.SettingSince, view.Refusal = nil, nil // those of the newest row count
		switch {
		case r.FailedAt != nil:
			view.Refusal = &provision.PasswordRefusal{At: *r.FailedAt}
			if err := decode(r.Failure, &view.Refusal.Failure); err != nil {
				return nil, fmt.Errorf("order %s holds JSON that cannot be read: %w", key, err)
			}
		case r.ExpiresAt == nil && r.Request != "":
			view.SettingSince = &r.CreatedAt
		case r.ExpiresAt != nil && r.ReplacedAt == nil:
			view.Link = &provision.PasswordLinkView{ID: r.ID, ExpiresAt: *r.ExpiresAt, RevealedAt: r.RevealedAt}
		}
	}
	return view, nil
}
