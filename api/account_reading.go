package api

import (
	"context"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// CountAccounts answers GET /v1/accounts/counts.
func (s *service) CountAccounts(ctx context.Context, in server.CountAccountsRequestObject) (server.CountAccountsResponseObject, error) {
	counts, err := s.Accounts.Counts(ctx, callerOf(ctx).Provider, provision.AccountFilter{
		Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment), Model: value(in.Params.Model),
	})
	if err != nil {
		return nil, err
	}
	return server.CountAccounts200JSONResponse{
		All: counts.All(), Ready: counts.Ready, Provisioning: counts.Provisioning, Allocated: counts.Allocated,
		ProvisioningFailed: counts.ProvisioningFailed, Invalid: counts.Invalid, WaitingForVerification: counts.Awaiting,
		HasFinding: counts.HasFinding,
	}, nil
}

// ListAccountChecks answers GET /v1/accounts/{account_id}/checks.
func (s *service) ListAccountChecks(
	ctx context.Context, in server.ListAccountChecksRequestObject,
) (server.ListAccountChecksResponseObject, error) {
	found, err := s.Accounts.Checks(ctx, callerOf(ctx).Provider, in.AccountID)
	if err != nil {
		return nil, accountProblem(in.AccountID, err)
	}
	answer := server.ListAccountChecks200JSONResponse{CheckedAt: resource.UTC(found.CheckedAt), Items: []openapi.AccountCheck{}}
	if found.CheckedAt != nil {
		answer.Passed = &found.Passed
	}
	for _, check := range found.Checks {
		answer.Items = append(answer.Items, openapi.AccountCheck{Name: check.Name, Outcome: check.Outcome,
			Found: resource.Optional(check.Found), At: resource.UTC(check.At)})
	}
	return answer, nil
}

// ListAccountChanges answers GET /v1/accounts/{account_id}/changes.
func (s *service) ListAccountChanges(
	ctx context.Context, in server.ListAccountChangesRequestObject,
) (server.ListAccountChangesResponseObject, error) {
	changes, next, err := list[provision.AccountChangeCursor, provision.AccountChange, openapi.AccountChange]{
		valid: func(c provision.AccountChangeCursor) bool {
			return plausible(c.ChangedAt) && c.OrderID != "" && c.Step.Changes()
		},
		read: func(after *provision.AccountChangeCursor, limit int) ([]provision.AccountChange, error) {
			found, err := s.Accounts.Changes(ctx, callerOf(ctx).Provider, in.AccountID, after, limit)
			return found, accountProblem(in.AccountID, err)
		},
		show: func(c provision.AccountChange) openapi.AccountChange {
			return openapi.AccountChange{
				OrderID: c.OrderID, Resource: string(c.Step), State: string(c.State),
				Before: resource.Optional(c.Before), After: resource.Optional(c.After), ChangedAt: c.ChangedAt.UTC(),
				PutBackAt: resource.UTC(c.PutBackAt), Problem: resource.Optional(c.Problem),
			}
		},
		place: func(c provision.AccountChange) provision.AccountChangeCursor {
			c.ChangedAt = c.ChangedAt.UTC()
			return c.AccountChangeCursor
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListAccountChanges200JSONResponse{Items: changes, NextCursor: next}, nil
}
