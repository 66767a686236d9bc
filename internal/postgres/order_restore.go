package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

const restoreOrderSQL = `
INSERT INTO orders (provider, id, marketplace, environment, model, request, earlier_requests, settings, earlier_settings, request_sha256,
    nonce, created_at)
VALUES ($1, $2, $3, $4, NULLIF($5, ''), $6, $7, $8, $9, $10, COALESCE(NULLIF($11, '')::uuid, gen_random_uuid()), $12)
ON CONFLICT (provider, id) DO NOTHING`

const restoredSQL = `SELECT state, request_sha256 FROM orders WHERE provider = $1 AND id = $2 FOR NO KEY UPDATE`

const heldNowSQL = `
SELECT id, status FROM accounts WHERE provider = $1 AND order_id = $2 AND status IN ('provisioning', 'allocated') FOR UPDATE`

const claimThisSQL = `
UPDATE accounts SET status = 'provisioning', order_id = $2, reason = '' WHERE provider = $1 AND id = $3 AND status = 'ready'`

// beginSQL also gives the order a place in the queue, in case it loses this account again and waits for the next.
const beginSQL = `
UPDATE orders SET state = 'provisioning', step = 'inspect_account', failure = NULL, queue_position = COALESCE(queue_position,
    nextval('orders_queue'))
WHERE provider = $1 AND id = $2`

const setStateSQL = `UPDATE orders SET state = $3, failure = $4 WHERE provider = $1 AND id = $2`

// unknownStepsSQL is for an account whose step records were lost too. An attempt at any of the steps may be
// running, and its changes to the account are unknown.
const unknownStepsSQL = `
INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt, attempts_open, problem)
SELECT $1, $2, $3, step, 'running', 1, 1, 'the record of this step was lost with the order''s row'
FROM unnest('{iam_user,contacts,account_alias,cost_report,sign_in}'::text[]) step
ON CONFLICT DO NOTHING`

const failAccountSQL = `
UPDATE accounts SET status = 'provisioning_failed', reason = $3 WHERE provider = $1 AND order_id = $2 AND status = 'provisioning'`

// leftUnknown is the leftover of an order whose end was lost with its row.
const leftUnknown = "what the order left in the account is not known, because the record of its end was lost: " +
	"compare the account with the journal in the history of the order's workflow"

// Restore writes the row of an order again from the history of its workflow, after the row was lost or replaced by
// an older one. In the same transaction it gives the order back the account that the workflow names: Allocated
// when the order completed, in progress when the order goes on, and Provisioning failed when the order failed or
// was cancelled, because it is unknown what is left there. If the account is not Ready any more, an order that
// goes on continues without it.
//
// Errors: provision.ErrConflict when the order has ended, when it is in progress and therefore not lost, when the
// row is another order's, when another order has the account that was sold, or when there is no such pool.
func (s Orders) Restore(ctx context.Context, lost reconcile.Lost, actor, reason string) error {
	err := s.db.poolTx(ctx, actor, lost.Order.Pool(), func(tx *sqlx.Tx) error { return restoreOrder(ctx, tx, lost, actor, reason) })
	for _, constraint := range []string{"orders_provider_marketplace_environment_fkey", "orders_model_fkey", "account_and_order_agree"} {
		if violates(err, constraint) {
			return fmt.Errorf("order %s does not fit into the database (%s): %w", lost.Order.OrderKey, constraint, provision.ErrConflict)
		}
	}
	return err
}

func restoreOrder(ctx context.Context, tx *sqlx.Tx, lost reconcile.Lost, actor, reason string) error {
	key := lost.Order.OrderKey
	conflict := func(why string, args ...any) error {
		return fmt.Errorf("order %s: %s: %w", key, fmt.Sprintf(why, args...), provision.ErrConflict)
	}
	isNew, state, err := insertLost(ctx, tx, lost)
	switch {
	case err != nil:
		return err
	case state == "":
		return conflict("another order has this id")
	case state.Ended():
		return conflict("it has ended as %s", state)
	case !isNew && !lost.State.Ended():
		return conflict("it has a row")
	}
	account, status, err := claimLost(ctx, tx, lost)
	if err != nil {
		return err
	}
	switch {
	case lost.State == provision.Completed && (account != lost.AccountID || state == provision.Compensating):
		return conflict("it is %s, and account %s, which was sold to it, is not available", state, lost.AccountID)
	case lost.State != provision.Completed && status == provision.AccountAllocated:
		return conflict("account %s is allocated to it", account)
	}
	if err := setLostState(ctx, tx, lost, account, isNew, state); err != nil {
		return err
	}
	_, err = noteAction(ctx, tx, key, "restore", provision.Intervention{Actor: actor, Reason: reason})
	return err
}

// setLostState brings the order, whose row is in the state now, and the account that it holds into the state in which the
// workflow left them. account is empty when the order holds none.
func setLostState(ctx context.Context, tx *sqlx.Tx, lost reconcile.Lost, account string, isNew bool, now provision.OrderState) error {
	key, holds := lost.Order.OrderKey, account != ""
	var failed error // of the first statement that failed
	run := func(statement string, args ...any) {
		if failed == nil {
			_, failed = tx.ExecContext(ctx, statement, append([]any{key.Provider, key.ID}, args...)...)
		}
	}
	if holds && now != provision.Compensating {
		run(beginSQL)
	}
	if holds && isNew && !lost.State.Ended() {
		run(unknownStepsSQL, account)
	}
	switch lost.State {
	case provision.Completed:
		run(allocateAccountSQL, account)
		run(completeOrderSQL, asJSON(lost.Result), account)
		run(startPasswordClockSQL, account, provision.PasswordLifetime.Seconds())
	case provision.Failed, provision.Cancelled:
		var leftovers []string
		if holds {
			leftovers = []string{leftUnknown}
			run(beginUndoSQL, asJSON(lost.Failure))
			run(failAccountSQL, "left by order "+key.ID+": "+leftUnknown)
		}
		run(closeOrderSQL, lost.State, asJSON(lost.Failure), textArray(leftovers), textArray(nil))
		run(withdrawPasswordsSQL)
	case provision.WaitingForAccount:
		if !holds {
			run(enqueueSQL)
		}
	case provision.ActionRequired, provision.Compensating:
		if holds {
			run(setStateSQL, lost.State, asJSON(lost.Failure))
		}
	}
	return failed
}

// claimLost returns the account that the order holds, or assigns the account of its workflow to it, if that is
// Ready.
func claimLost(ctx context.Context, tx *sqlx.Tx, lost reconcile.Lost) (account string, status provision.AccountStatus, err error) {
	key := lost.Order.OrderKey
	var held struct {
		ID     string                  `db:"id"`
		Status provision.AccountStatus `db:"status"`
	}
	if err := tx.GetContext(ctx, &held, heldNowSQL, key.Provider, key.ID); !errors.Is(err, sql.ErrNoRows) {
		return held.ID, held.Status, err
	}
	claimed, err := affected(tx.ExecContext(ctx, claimThisSQL, key.Provider, key.ID, lost.AccountID))
	if err != nil || !claimed {
		return "", "", err
	}
	return lost.AccountID, provision.AccountProvisioning, nil
}

// insertLost writes the row, unless there is one, and returns the state of the order; an empty state when the row
// is another order's.
func insertLost(ctx context.Context, tx *sqlx.Tx, lost reconcile.Lost) (isNew bool, state provision.OrderState, err error) {
	placed, hash := lost.Order, lost.Order.Request.Hash()
	settings, earlierSettings, err := lostSettings(ctx, tx, lost)
	if err != nil {
		return false, "", err
	}
	requests := lost.Requests
	if len(requests) == 0 {
		requests = []provision.Request{placed.Request}
	}
	last := len(requests) - 1
	isNew, err = affected(tx.ExecContext(ctx, restoreOrderSQL, placed.Provider, placed.ID, placed.Request.Marketplace,
		placed.Request.Environment, placed.Request.AccountModel, asJSON(requests[last]), asJSON(requests[:last]), asJSON(settings),
		asJSON(earlierSettings), hash, placed.Nonce, placed.AcceptedAt))
	if err != nil {
		return false, "", err
	}
	var row struct {
		State provision.OrderState `db:"state"`
		Hash  []byte               `db:"request_sha256"`
	}
	err = tx.GetContext(ctx, &row, restoredSQL, placed.Provider, placed.ID)
	if err != nil || !bytes.Equal(row.Hash, hash) {
		return false, "", err
	}
	return isNew, row.State, nil
}

// lostSettings returns the settings of the order, and those before each change. If the workflow had not read them yet, they are those
// that the pool has now.
func lostSettings(ctx context.Context, tx *sqlx.Tx, lost reconcile.Lost) (now provision.PoolSettings, earlier []provision.PoolSettings,
	err error) {
	if last := len(lost.Settings) - 1; last >= 0 {
		return lost.Settings[last], lost.Settings[:last], nil
	}
	pool := lost.Order.Pool()
	now, err = settingsOf(ctx, tx, pool)
	if errors.Is(err, provision.ErrNotFound) {
		err = fmt.Errorf("order %s: there is no pool %s: %w", lost.Order.OrderKey, pool, provision.ErrConflict)
	}
	return now, []provision.PoolSettings{}, err
}

const firstRequestSQL = `
SELECT created_at, nonce, COALESCE(earlier_requests -> 0, request) AS request FROM orders WHERE provider = $1 AND id = $2`

// PrepareRestart makes an order ready for another run of its workflow and returns it as it was first placed,
// because its hash is that of the first request. The new run asks the open question again. Errors:
// provision.ErrConflict for an order that has ended, is being undone, or has begun to change its account;
// provision.ErrNotFound.
func (s Orders) PrepareRestart(ctx context.Context, key provision.OrderKey, actor, reason string) (order provision.Order, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		o, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		now, err := reconciledOrders(ctx, tx, reconciledOrderSQL+` WHERE o.provider = $1 AND o.id = $2`, key.Provider, key.ID)
		if err != nil {
			return err
		}
		if o.State.Ended() || o.State == provision.Compensating || now[0].Touched {
			return fmt.Errorf("order %s is %s and cannot be started again from the beginning: %w", key, o.State, provision.ErrConflict)
		}
		if _, err := tx.ExecContext(ctx, resumeSQL, key.Provider, key.ID); err != nil {
			return err
		}
		if _, err := noteAction(ctx, tx, key, "restart", provision.Intervention{Actor: actor, Reason: reason}); err != nil {
			return err
		}
		var row struct {
			AcceptedAt time.Time `db:"created_at"`
			Nonce      string    `db:"nonce"`
			Request    []byte    `db:"request"`
		}
		if err := tx.GetContext(ctx, &row, firstRequestSQL, key.Provider, key.ID); err != nil {
			return err
		}
		order = provision.Order{OrderKey: key, AcceptedAt: row.AcceptedAt.UTC(), Nonce: row.Nonce}
		return json.Unmarshal(row.Request, &order.Request)
	})
	return order, err
}
