package api

import (
	"context"
	"errors"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// UpdateAccount answers PATCH /v1/accounts/{account_id}.
func (s *service) UpdateAccount(ctx context.Context, in server.UpdateAccountRequestObject) (server.UpdateAccountResponseObject, error) {
	edit := provision.AccountUpdate{Name: in.Body.Name, RootEmail: in.Body.RootEmail, RoleARN: in.Body.RoleARN, Model: in.Body.Model}
	account, err := s.changeAccount(ctx, in.AccountID, in.Params.IfMatch, true,
		func(actor, provider string, version int64) (provision.Account, []provision.OrderKey, error) {
			before, err := s.Accounts.Get(ctx, provider, in.AccountID)
			if err != nil {
				return before, nil, err
			}
			var wrong []openapi.FieldProblem // checked with the rest of the account: the role must be in this account
			edited, _ := edit.Apply(before)
			for _, broken := range provision.ValidateAccount(edited) {
				wrong = append(wrong, bodyField(broken.Field, broken.Message))
			}
			if len(wrong) > 0 {
				return before, nil, invalidFields(wrong...)
			}
			return s.Accounts.Update(ctx, actor, provider, in.AccountID, version, edit)
		})
	if err != nil {
		return nil, err
	}
	s.verifyDue(ctx)
	return server.UpdateAccount200JSONResponse{
		Body: resource.Account(account), Headers: server.UpdateAccount200ResponseHeaders{ETag: etag(account)},
	}, nil
}

// DeleteAccount answers DELETE /v1/accounts/{account_id}.
func (s *service) DeleteAccount(ctx context.Context, in server.DeleteAccountRequestObject) (server.DeleteAccountResponseObject, error) {
	_, err := s.changeAccount(ctx, in.AccountID, in.Params.IfMatch, true,
		func(actor, provider string, version int64) (none provision.Account, _ []provision.OrderKey, _ error) {
			return none, nil, s.Accounts.Delete(ctx, actor, provider, in.AccountID, version, value(in.Params.Reason))
		})
	if err != nil {
		return nil, err
	}
	return server.DeleteAccount204Response{}, nil
}

// InvalidateAccount answers POST /v1/accounts/{account_id}/invalidate.
func (s *service) InvalidateAccount(
	ctx context.Context, in server.InvalidateAccountRequestObject,
) (server.InvalidateAccountResponseObject, error) {
	account, err := s.changeAccount(ctx, in.AccountID, in.Params.IfMatch, false,
		func(actor, provider string, version int64) (provision.Account, []provision.OrderKey, error) {
			return s.Accounts.Invalidate(ctx, actor, provider, in.AccountID, version, in.Body.Reason)
		})
	if err != nil {
		return nil, err
	}
	return server.InvalidateAccount200JSONResponse{
		Body: resource.Account(account), Headers: server.InvalidateAccount200ResponseHeaders{ETag: etag(account)},
	}, nil
}

// ReturnAccount answers POST /v1/accounts/{account_id}/return.
func (s *service) ReturnAccount(ctx context.Context, in server.ReturnAccountRequestObject) (server.ReturnAccountResponseObject, error) {
	account, err := s.changeAccount(ctx, in.AccountID, in.Params.IfMatch, false,
		func(actor, provider string, version int64) (provision.Account, []provision.OrderKey, error) {
			return s.Accounts.Return(ctx, actor, provider, in.AccountID, version, in.Body.Reason)
		})
	if err != nil {
		return nil, err
	}
	s.verifyDue(ctx)
	return server.ReturnAccount202JSONResponse{
		Body: resource.Account(account), Headers: server.ReturnAccount202ResponseHeaders{ETag: etag(account)},
	}, nil
}

// RemoveLeftovers answers POST /v1/accounts/{account_id}/remove-leftovers.
func (s *service) RemoveLeftovers(
	ctx context.Context, in server.RemoveLeftoversRequestObject,
) (server.RemoveLeftoversResponseObject, error) {
	by := actionOf(ctx, &in.Body.Reason)
	account, err := s.changeAccount(ctx, in.AccountID, nil, false,
		func(actor, provider string, _ int64) (provision.Account, []provision.OrderKey, error) {
			account, err := s.Leftovers.BeginRemoval(ctx, actor, provider, in.AccountID, by.Reason)
			return account, nil, err
		})
	if err != nil {
		return nil, err
	}
	if err := s.Workflows.RemoveLeftovers(ctx, provision.LeftoverRemoval{Provider: account.Provider, AccountID: account.ID,
		By: by}); err != nil {
		return nil, problem(codeUnavailable,
			"could not confirm that the removal in account %s has started: send the same request again, which is safe", account.ID).because(err)
	}
	return server.RemoveLeftovers202JSONResponse{
		Body: resource.Account(account), Headers: server.RemoveLeftovers202ResponseHeaders{ETag: etag(account)},
	}, nil
}

// VerifyAccount answers POST /v1/accounts/{account_id}/verify.
func (s *service) VerifyAccount(ctx context.Context, in server.VerifyAccountRequestObject) (server.VerifyAccountResponseObject, error) {
	account, err := s.changeAccount(ctx, in.AccountID, in.Params.IfMatch, false,
		func(actor, provider string, version int64) (provision.Account, []provision.OrderKey, error) {
			return s.Accounts.Verify(ctx, actor, provider, in.AccountID, version)
		})
	if err != nil {
		return nil, err
	}
	s.verifyDue(ctx)
	return server.VerifyAccount202JSONResponse{
		Body: resource.Account(account), Headers: server.VerifyAccount202ResponseHeaders{ETag: etag(account)},
	}, nil
}

// changeAccount changes the caller's account, and wakes the orders that got an account because of the change.
func (s *service) changeAccount(ctx context.Context, id string, ifMatch *string, needed bool, do func(actor, provider string,
	version int64) (provision.Account, []provision.OrderKey, error)) (provision.Account, error) {
	who := callerOf(ctx)
	match, err := conditionOf(ifMatch)
	if needed {
		match, err = requiredCondition("account", ifMatch)
	}
	if err != nil {
		return provision.Account{}, err
	}
	var account provision.Account
	var woken []provision.OrderKey
	err = match.try(func(version int64) (err error) {
		account, woken, err = do(who.Actor(), who.Provider, version)
		return err
	})
	if err != nil {
		return account, accountProblem(id, err)
	}
	s.wake(ctx, woken)
	return account, nil
}

// accountProblem turns an error about an account into what the caller is told.
func accountProblem(id string, err error) error {
	switch {
	case errors.Is(err, provision.ErrStale):
		return stale("account "+id, err)
	case errors.Is(err, provision.ErrUnknownModel):
		return invalidFields(bodyField("model", "unknown account model")).because(err)
	case errors.Is(err, provision.ErrRootEmailTaken):
		return invalidFields(bodyField("root_email", provision.RootEmailTaken)).because(err)
	case errors.Is(err, provision.ErrNotFound):
		return notFound("account "+id, err)
	}
	return err
}
