package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Accounts are the AWS accounts in stock.
type Accounts struct{ db *database }

const createAccountSQL = `
INSERT INTO accounts AS a (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason,
    ready_because)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'added by ' || qm_actor())
RETURNING ` + accountColumns

// Create adds an account to its pool. The account is Invalid and due for verification, unless the caller sets its
// status to Ready. A Ready account may go to a waiting order in the same transaction; Create returns those orders,
// which must be woken. Errors: provision.ErrConflict when the account id or the external id exists already,
// provision.ErrRootEmailTaken, provision.ErrNotFound when there is no such pool or model, provision.ErrProtected.
func (s Accounts) Create(ctx context.Context, a provision.Account,
	actor string) (added provision.Account, woken []provision.OrderKey, err error) {
	status, reason := provision.AccountInvalid, provision.AwaitsVerification
	if a.Status == provision.AccountReady {
		status, reason = provision.AccountReady, ""
	}
	err = s.db.poolTx(ctx, actor, a.Pool, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &added, createAccountSQL, a.ID, a.Provider, a.Marketplace, a.Environment, a.Model, a.Name, a.RootEmail,
			a.RoleARN, a.ExternalID, status, reason)
		if err != nil {
			return err
		}
		woken, err = match(ctx, tx, a.Pool, provision.OrderKey{})
		return err
	})
	switch {
	case violates(err, "accounts_pkey"):
		err = fmt.Errorf("account %s is in a pool already: %w", a.ID, provision.ErrConflict)
	case violates(err, "accounts_root_email_unique"):
		err = provision.ErrRootEmailTaken
	case violates(err, "accounts_not_protected"):
		err = fmt.Errorf("account %s is %w: a payer account or one of the provider's own accounts cannot be in a pool", a.ID,
			provision.ErrProtected)
	case violates(err, "accounts_external_id_unique"):
		err = fmt.Errorf("another account has the external id of account %s: %w", a.ID, provision.ErrConflict)
	case violates(err, "accounts_model_fkey"):
		err = fmt.Errorf("account model %q: %w", a.Model, provision.ErrNotFound)
	case violates(err, "accounts_provider_marketplace_environment_fkey"):
		err = fmt.Errorf("pool %s: %w", a.Pool, provision.ErrNotFound)
	}
	return added, woken, err
}

// Get reads one account of the provider. Errors: provision.ErrNotFound.
func (s Accounts) Get(ctx context.Context, provider, id string) (a provision.Account, err error) {
	err = s.db.GetContext(ctx, &a, accountSQL, provider, id)
	return a, notFound(err, "account %s", id)
}

const updateAccountSQL = `UPDATE accounts SET name = $2, root_email = $3, role_arn = $4, model = $5 WHERE id = $1`

const verifyFirstSQL = `
UPDATE accounts SET status = 'invalid', reason = $2, ready_when_verified = true, ready_because = 'edited by ' || qm_actor(),
    verify_at = now(), strikes = 0, finding = ''
WHERE id = $1`

// Update changes fields of a Ready or Invalid account. A Ready account whose role changes must pass its
// verification before an order can claim it again. Errors: provision.ErrNotFound, provision.ErrStale,
// provision.ErrRootEmailTaken, a *provision.StateError.
func (s Accounts) Update(ctx context.Context, actor, provider, id string, version int64,
	edit provision.AccountUpdate) (provision.Account, []provision.OrderKey, error) {
	c := accountChange{actor: actor, provider: provider, id: id, version: version, verb: provision.ActionUpdate}
	now, woken, err := changeAccount(ctx, s.db, c, func(tx *sqlx.Tx, a provision.Account) error {
		if err := a.Forbids(c.verb); err != nil {
			return err
		}
		edited, changed := edit.Apply(a)
		if len(changed) == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, updateAccountSQL, id, edited.Name, edited.RootEmail, edited.RoleARN, edited.Model); err != nil {
			return err
		}
		noted := accountNote{code: c.verb, fields: changed, reason: "edited: " + strings.Join(changed, ", ")}
		if err := noteAccount(ctx, tx, a, a.Status, noted); err != nil {
			return err
		}
		if slices.Contains(changed, "role_arn") && (a.Status == provision.AccountReady || a.ReadyWhenVerified) {
			_, err := tx.ExecContext(ctx, verifyFirstSQL, id, provision.AwaitsVerification)
			return err
		}
		return nil
	})
	switch {
	case violates(err, "accounts_model_fkey"):
		err = fmt.Errorf("account model %q: %w", *edit.Model, provision.ErrUnknownModel)
	case violates(err, "accounts_root_email_unique"):
		err = provision.ErrRootEmailTaken
	}
	return now, woken, err
}

// Delete deletes a Ready or Invalid account. Its history stays, with the reason if there is one. Errors: as Update.
func (s Accounts) Delete(ctx context.Context, actor, provider, id string, version int64, reason string) error {
	_, _, err := act(ctx, s.db, accountChange{actor, provider, id, version, provision.ActionDelete, reason}, nil)
	return err
}

// Invalidate makes an account Invalid because an operator says so. An account that waits for its verification
// stops waiting. Errors: as Update.
func (s Accounts) Invalidate(ctx context.Context, actor, provider, id string, version int64,
	reason string) (provision.Account, []provision.OrderKey, error) {
	return act(ctx, s.db, accountChange{actor, provider, id, version, provision.ActionInvalidate, reason}, nil)
}

// Return requests that an Invalid or failed account become Ready. It becomes Ready when its next verification
// passes. Errors: as Update.
func (s Accounts) Return(ctx context.Context, actor, provider, id string, version int64,
	reason string) (provision.Account, []provision.OrderKey, error) {
	return act(ctx, s.db, accountChange{actor, provider, id, version, provision.ActionReturn, reason}, nil)
}

// Verify makes the verification of the account due now. The history gets its result. Errors: as Update.
func (s Accounts) Verify(
	ctx context.Context, actor, provider, id string, version int64,
) (provision.Account, []provision.OrderKey, error) {
	return act(ctx, s.db, accountChange{actor: actor, provider: provider, id: id, version: version, verb: provision.ActionVerify}, nil)
}
