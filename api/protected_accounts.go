package api

import (
	"context"
	"errors"
	"slices"

	"quartermaster/internal/provision"
)

// protected tells whether the account never enters a pool of the caller.
func (s *server) protected(ctx context.Context, accountID string) (bool, error) {
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
func (s *server) ListProtectedAccounts(ctx context.Context, in ListProtectedAccountsRequestObject) (ListProtectedAccountsResponseObject, error) {
	after, err := decodeCursor(in.Params.Cursor, func(c protectedCursor) bool { return accountIDPattern.MatchString(c.ID) })
	if err != nil {
		return nil, err
	}
	size := pageSize(in.Params.Limit)
	found, err := s.ProtectedAccounts.List(ctx, callerOf(ctx).Provider, value(after).ID, size+1)
	if err != nil {
		return nil, err
	}
	shown, more := page(found, size)
	answer := ListProtectedAccounts200JSONResponse{Items: make([]ProtectedAccount, len(shown))}
	for i, p := range shown {
		answer.Items[i] = protectedResource(p)
	}
	if more {
		answer.NextCursor = encodeCursor(protectedCursor{shown[size-1].AccountID})
	}
	return answer, nil
}

// ProtectAccount answers PUT /v1/protected-accounts/{account_id}.
func (s *server) ProtectAccount(ctx context.Context, in ProtectAccountRequestObject) (ProtectAccountResponseObject, error) {
	who := callerOf(ctx)
	protected, err := s.ProtectedAccounts.Protect(ctx, who.Actor(), who.Provider, in.AccountID, in.Body.Note)
	if err != nil {
		return nil, err
	}
	return ProtectAccount200JSONResponse(protectedResource(protected)), nil
}

// UnprotectAccount answers DELETE /v1/protected-accounts/{account_id}.
func (s *server) UnprotectAccount(ctx context.Context, in UnprotectAccountRequestObject) (UnprotectAccountResponseObject, error) {
	who := callerOf(ctx)
	err := s.ProtectedAccounts.Release(ctx, who.Actor(), who.Provider, in.AccountID)
	if errors.Is(err, provision.ErrNotFound) {
		return nil, problem(codeNotFound, "account %s is not among your protected accounts", in.AccountID).because(err)
	}
	if err != nil {
		return nil, err
	}
	return UnprotectAccount204Response{}, nil
}

func protectedResource(p provision.ProtectedAccount) ProtectedAccount {
	return ProtectedAccount{AccountID: p.AccountID, Note: p.Note, CreatedAt: p.CreatedAt.UTC(), CreatedBy: p.CreatedBy}
}
