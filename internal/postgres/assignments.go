package postgres

import (
	"context"
	"errors"
	"fmt"

	"quartermaster/internal/provision"
)

// assignmentRow holds the columns of an order and its account from which a provision.Assignment is made.
type assignmentRow struct {
	provision.Account
	Nonce           string `db:"nonce"`
	Request         []byte `db:"request"`
	EarlierRequests []byte `db:"earlier_requests"`
	Settings        []byte `db:"settings"`
	EarlierSettings []byte `db:"earlier_settings"`
}

func (r assignmentRow) assignment(key provision.OrderKey) (provision.Assignment, error) {
	w := provision.Assignment{Order: key, Nonce: r.Nonce, Account: r.Account}
	err := errors.Join(decode(r.Request, &w.Request), decode(r.EarlierRequests, &w.EarlierRequests), decode(r.Settings, &w.Settings),
		decode(r.EarlierSettings, &w.EarlierSettings))
	if err != nil {
		return w, fmt.Errorf("order %s holds JSON that cannot be read: %w", key, err)
	}
	return w, nil
}

const assignmentSQL = `
SELECT o.nonce, o.request, o.earlier_requests, o.settings, o.earlier_settings, ` + accountColumns + `
FROM orders o JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id
WHERE o.provider = $1 AND o.id = $2 AND a.id = $3 AND a.status = 'provisioning'`

// Assignment reads what an undo of the order in the account works from. Errors: provision.ErrNotFound when the order
// does not hold the account.
func (s Leftovers) Assignment(ctx context.Context, key provision.OrderKey, accountID string) (provision.Assignment, error) {
	var row assignmentRow
	if err := s.db.GetContext(ctx, &row, assignmentSQL, key.Provider, key.ID, accountID); err != nil {
		return provision.Assignment{}, notFound(err, "account %s of order %s", accountID, key)
	}
	return row.assignment(key)
}
