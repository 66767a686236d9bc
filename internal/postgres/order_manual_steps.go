package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

const tickSQL = `
UPDATE orders SET manual_steps_done = jsonb_set(COALESCE(manual_steps_done, '{}'), ARRAY[$3::text],
    jsonb_build_object('at', clock_timestamp(), 'by', $4::text))
WHERE provider = $1 AND id = $2 AND manual_steps_done -> $3::text IS NULL`

const untickSQL = `
UPDATE orders SET manual_steps_done = manual_steps_done - $3::text
WHERE provider = $1 AND id = $2 AND manual_steps_done -> $3::text IS NOT NULL`

// Tick records that a manual step of the order's result is done, or that it is not done after all. It writes the change to the history.
// It changes nothing, and writes nothing, if that is known already. Errors: provision.ErrNotFound.
func (s Orders) Tick(ctx context.Context, key provision.OrderKey, number int, done bool, by provision.Intervention) error {
	return s.db.tx(ctx, by.Actor, func(tx *sqlx.Tx) error {
		if _, err := lockOrder(ctx, tx, key); err != nil {
			return err
		}
		action, query, args := "untick", untickSQL, []any{key.Provider, key.ID, strconv.Itoa(number)}
		if done {
			action, query, args = "tick", tickSQL, append(args, by.Actor)
		}
		changed, err := affected(tx.ExecContext(ctx, query, args...))
		if err != nil || !changed {
			return err
		}
		_, err = noteAction(ctx, tx, key, action, by, fmt.Sprintf("manual_steps.%d", number))
		return err
	})
}
