package activities

import (
	"context"
	"slices"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// openSession opens a session in the order's account, unless the account is protected.
func (a *Activities) openSession(ctx context.Context, w Assignment) (*awscloud.Session, error) {
	if err := a.refuseProtected(ctx, w.Account); err != nil {
		return nil, err
	}
	return a.Cloud.OpenSession(ctx, w.Account, w.Order.ID)
}

// refuseProtected returns a failure when the account is protected, even if it is in a pool.
func (a *Activities) refuseProtected(ctx context.Context, account provision.Account) error {
	protected := slices.Contains(a.ProtectedIDs, account.ID)
	if !protected {
		var err error
		if protected, err = a.ProtectedAccounts.Contains(ctx, account.Provider, account.ID); err != nil {
			return err
		}
	}
	if protected {
		return &provision.Failure{Code: provision.CodeAccountProtected,
			Reason: "account " + account.ID + " is protected, because it is a payer account or our own: remove it from the pool"}
	}
	return nil
}
