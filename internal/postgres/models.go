package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Models are the account models that accounts, orders and pools may name.
type Models struct{ db *database }

const modelColumns = `id, title, root_access, created_at, created_by`

// The models of the first migration are equally old; among those, SPAM comes first.
const modelsSQL = `SELECT ` + modelColumns + ` FROM account_models ORDER BY created_at, id DESC`

// List lists all models, oldest first.
func (s Models) List(ctx context.Context) ([]provision.AccountModel, error) {
	return readModels(ctx, s.db)
}

func readModels(ctx context.Context, q queryer) (models []provision.AccountModel, err error) {
	err = q.SelectContext(ctx, &models, modelsSQL)
	return models, err
}

const createModelSQL = `INSERT INTO account_models (id, title, root_access) VALUES ($1, $2, $3) RETURNING ` + modelColumns

// Create adds a model. Running processes accept it at once in pools, imports, accounts and orders. Errors:
// provision.ErrConflict when the model exists, a *provision.InvalidError.
func (s Models) Create(ctx context.Context, m provision.AccountModel, actor string) (created provision.AccountModel, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &created, createModelSQL, m.ID, m.Title, m.RootAccess)
	})
	switch {
	case violates(err, "account_models_pkey"):
		err = fmt.Errorf("account model %s exists already: %w", m.ID, provision.ErrConflict)
	case violates(err, "account_models_id_characters"):
		err = &provision.InvalidError{Fields: []provision.FieldError{{Field: "id",
			Message: fmt.Sprintf("%q is not an id: use 1 to 40 letters, digits, spaces, dots, underscores and hyphens, "+
				"and begin with a letter or digit", m.ID)}}}
	}
	return created, err
}
