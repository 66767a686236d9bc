package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

const actionRequiredSQL = `
UPDATE orders SET state = 'action_required', step = $3, failure = $4 WHERE provider = $1 AND id = $2`

// RequireAction sets an order that holds an account to action_required. The failure says what an operator must do.
// When this is the second order of the pool that can no longer open a session in its account, RequireAction
// suspends the claims of the pool: see RejectAccount.
func (s Orders) RequireAction(ctx context.Context, key provision.OrderKey, why provision.Failure) error {
	require := func(tx *sqlx.Tx) (o queuedOrder, required bool, err error) {
		o, err = lockOrder(ctx, tx, key)
		if err != nil || o.State != provision.Provisioning && o.State != provision.ActionRequired {
			return o, false, err
		}
		_, err = tx.ExecContext(ctx, actionRequiredSQL, key.Provider, key.ID, why.Step, asJSON(why))
		return o, err == nil, err
	}
	if why.Code != provision.CodeAccountCannotBeReentered {
		return s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
			_, _, err := require(tx)
			return err
		})
	}
	var of queuedOrder
	if err := s.db.GetContext(ctx, &of, queuedOrderSQL, key.Provider, key.ID); err != nil {
		return notFound(err, "order %s", key)
	}
	return s.db.poolTx(ctx, orderActor(key), of.Pool, func(tx *sqlx.Tx) error {
		o, required, err := require(tx)
		if err != nil || !required {
			return err
		}
		return doubtReentry(ctx, tx, o.Pool)
	})
}

const resumeSQL = `
UPDATE orders SET state = 'provisioning', failure = NULL WHERE provider = $1 AND id = $2 AND state = 'action_required'`

// Resume sets an order back to provisioning, after its question was answered.
func (s Orders) Resume(ctx context.Context, key provision.OrderKey) error {
	return s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, resumeSQL, key.Provider, key.ID)
		return err
	})
}

const correctSQL = `
UPDATE orders SET earlier_requests = earlier_requests || jsonb_build_array(request), request = $3 WHERE provider = $1 AND id = $2`

// Correct replaces the order's request by the corrected one and records who did it. The stored hash stays that of
// the first request, because repeated POSTs are compared with it. A repeat of the same action (by.ID) changes
// nothing. Errors: provision.ErrNotFound.
func (s Orders) Correct(ctx context.Context, key provision.OrderKey, corrected provision.Request, by provision.Intervention) error {
	return s.db.tx(ctx, by.Actor, func(tx *sqlx.Tx) error {
		if _, err := lockOrder(ctx, tx, key); err != nil {
			return err
		}
		var text []byte
		var before provision.Request
		if err := tx.GetContext(ctx, &text, `SELECT request FROM orders WHERE provider = $1 AND id = $2`, key.Provider, key.ID); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &before); err != nil {
			return err
		}
		if noted, err := noteAction(ctx, tx, key, "correct", by, before.Differs(corrected)...); err != nil || !noted {
			return err
		}
		_, err := tx.ExecContext(ctx, correctSQL, key.Provider, key.ID, asJSON(corrected))
		return err
	})
}

// explainSQL sets the code and the reason of the history rows that the transaction causes from here on.
const explainSQL = `SELECT set_config('qm.code', $1, true), set_config('qm.reason', $2, true)`

const endWaitingOrderSQL = `UPDATE orders SET state = $3, failure = $4 WHERE provider = $1 AND id = $2`

// Stop ends an order and records who did it and why, in one transaction. An order that holds no account becomes
// failed, or cancelled when the failure says so. An order that holds one becomes compensating, and its workflow
// undoes it. A repeat of the same action (by.ID) changes nothing. Errors: provision.ErrNotFound; a
// *provision.Failure TooLate when the order has ended or is being undone.
func (s Orders) Stop(ctx context.Context, key provision.OrderKey, action string, why provision.Failure, by provision.Intervention) error {
	return s.db.tx(ctx, by.Actor, func(tx *sqlx.Tx) error {
		o, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		noted, err := noteAction(ctx, tx, key, action, by)
		if err != nil || !noted {
			return err
		}
		if _, err := tx.ExecContext(ctx, explainSQL, "", by.Reason); err != nil {
			return err
		}
		switch o.State {
		case provision.Accepted, provision.WaitingForAccount:
			ended := provision.Failed
			if why.Code == provision.CodeOrderCancelled {
				ended = provision.Cancelled
			}
			_, err = tx.ExecContext(ctx, endWaitingOrderSQL, key.Provider, key.ID, ended, asJSON(why))
			return err
		case provision.Provisioning, provision.ActionRequired:
			_, err = tx.ExecContext(ctx, beginUndoSQL, key.Provider, key.ID, asJSON(why))
			return err
		default: // the error rolls the action back too
			return &provision.Failure{Code: provision.CodeTooLate,
				Reason: fmt.Sprintf("it is too late to %[2]s the order: it is %[1]s", o.State, action)}
		}
	})
}

const beginUndoSQL = `UPDATE orders SET state = 'compensating', step = 'compare_with_journal', failure = $3 WHERE provider = $1 AND id = $2`

// BeginUndo sets an order that holds an account to compensating. It does nothing to any other order.
func (s Orders) BeginUndo(ctx context.Context, key provision.OrderKey, why provision.Failure) error {
	return s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
		o, err := lockOrder(ctx, tx, key)
		if err != nil || o.State != provision.Provisioning && o.State != provision.ActionRequired {
			return err
		}
		_, err = tx.ExecContext(ctx, beginUndoSQL, key.Provider, key.ID, asJSON(why))
		return err
	})
}
