package api

import (
	"context"
	"errors"
	"slices"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// protected reports whether the account must not be added to a pool of the caller.
func (s *service) protected(ctx context.Context, accountID string) (bool, error) {
	if slices.Contains(s.ProtectedIDs, accountID) {
		return true, nil
	}
	if !accountIDPattern.MatchString(accountID) {
		return false, nil
	}
	return s.ProtectedAccounts.Contains(ctx, callerOf(ctx).Provider, accountID)
}

// protectedCursor is a place in the list of protected accounts.
type protectedCursor struct {
	ID string `json:"p"`
}

// ListProtectedAccounts answers GET /v1/protected-accounts.
func (s *service) ListProtectedAccounts(
	ctx context.Context, in server.ListProtectedAccountsRequestObject,
) (server.ListProtectedAccountsResponseObject, error) {
	accounts, next, err := list[protectedCursor, provision.ProtectedAccount, openapi.ProtectedAccount]{
		valid: func(c protectedCursor) bool { return accountIDPattern.MatchString(c.ID) },
		read: func(after *protectedCursor, limit int) ([]provision.ProtectedAccount, error) {
			return s.ProtectedAccounts.List(ctx, callerOf(ctx).Provider, value(after).ID, limit)
		},
		show:  resource.ProtectedAccount,
		place: func(p provision.ProtectedAccount) protectedCursor { return protectedCursor{p.AccountID} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListProtectedAccounts200JSONResponse{Items: accounts, NextCursor: next}, nil
}

// ProtectAccount answers PUT /v1/protected-accounts/{account_id}.
func (s *service) ProtectAccount(ctx context.Context, in server.ProtectAccountRequestObject) (server.ProtectAccountResponseObject, error) {
	who := callerOf(ctx)
	protected, err := s.ProtectedAccounts.Protect(ctx, who.Actor(), who.Provider, in.AccountID, in.Body.Note)
	if err != nil {
		return nil, err
	}
	return server.ProtectAccount200JSONResponse(resource.ProtectedAccount(protected)), nil
}

// UnprotectAccount answers DELETE /v1/protected-accounts/{account_id}.
func (s *service) UnprotectAccount(
	ctx context.Context, in server.UnprotectAccountRequestObject,
) (server.UnprotectAccountResponseObject, error) {
	who := callerOf(ctx)
	err := s.ProtectedAccounts.Release(ctx, who.Actor(), who.Provider, in.AccountID, value(in.Params.Reason))
	if errors.Is(err, provision.ErrNotFound) {
		return nil, notFound("protected account "+in.AccountID, err)
	}
	if err != nil {
		return nil, err
	}
	return server.UnprotectAccount204Response{}, nil
}
