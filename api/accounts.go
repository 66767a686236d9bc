package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// wakeTimeout bounds the hints to waiting orders, which outlive a caller that hangs up.
const wakeTimeout = 5 * time.Second

// CreateAccount answers POST /v1/accounts.
func (s *service) CreateAccount(ctx context.Context, in server.CreateAccountRequestObject) (server.CreateAccountResponseObject, error) {
	who := callerOf(ctx)
	account := accountOf(*in.Body, who.Provider)
	account.ExternalID = provision.NewExternalID()
	added, woken, err := s.Accounts.Create(ctx, account, who.Actor())
	switch {
	case errors.Is(err, provision.ErrConflict):
		// Whose it is stays unsaid: it may be another provider's.
		return nil, problem(codeAccountExists,
			"account %s is in a pool already: an AWS account is in stock once; if it is yours, read it with GET /v1/accounts/%s", account.ID, account.ID).
			at(bodyField("id", fmt.Sprintf("account %s is in a pool already", account.ID))).because(err)
	case errors.Is(err, provision.ErrRootEmailTaken):
		return nil, invalidFields(bodyField("root_email", provision.RootEmailTaken)).because(err)
	case errors.Is(err, provision.ErrProtected): // since it was checked
		return nil, invalidFields(bodyField("id", provision.ProtectedMessage(account.ID))).because(err)
	case errors.Is(err, provision.ErrNotFound): // the pool went away since it was checked, or the model is not in the database
		return nil, invalidFields(bodyField("", "there is no such pool or account model: read marketplace, environment and model again")).because(err)
	case err != nil:
		return nil, err
	}
	s.wake(ctx, woken)
	s.verifyDue(ctx)
	return server.CreateAccount201JSONResponse{
		Body:    resource.Account(added),
		Headers: server.CreateAccount201ResponseHeaders{Location: s.basePath + "/v1/accounts/" + added.ID, ETag: etag(added)},
	}, nil
}

// wake is a hint: who misses it looks for an account by itself later.
func (s *service) wake(ctx context.Context, orders []provision.OrderKey) {
	if len(orders) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := s.Workflows.WakeOrders(ctx, orders); err != nil {
		s.Log.WarnContext(ctx, "orders were not woken; they look for an account by themselves later", "orders", len(orders), "error", err)
	}
}

// verifyDue is a hint too: the schedule finds what is due by itself.
func (s *service) verifyDue(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := s.Workflows.VerifyDue(ctx); err != nil {
		s.Log.WarnContext(ctx, "the verification was not started; the schedule starts it in some minutes", "error", err)
	}
}

// GetAccount answers GET /v1/accounts/{account_id}.
func (s *service) GetAccount(ctx context.Context, in server.GetAccountRequestObject) (server.GetAccountResponseObject, error) {
	account, err := s.Accounts.Get(ctx, callerOf(ctx).Provider, in.AccountID)
	if err != nil {
		return nil, accountProblem(in.AccountID, err)
	}
	return server.GetAccount200JSONResponse{Body: resource.Account(account), Headers: server.GetAccount200ResponseHeaders{ETag: etag(account)}}, nil
}

// ListAccounts answers GET /v1/accounts.
func (s *service) ListAccounts(ctx context.Context, in server.ListAccountsRequestObject) (server.ListAccountsResponseObject, error) {
	accounts, next, err := list[provision.AccountCursor, provision.Account, openapi.Account]{
		valid: validAccountCursor,
		read: func(after *provision.AccountCursor, limit int) ([]provision.Account, error) {
			return s.Accounts.List(ctx, callerOf(ctx).Provider, provision.AccountFilter{
				Statuses:    value(in.Params.Status),
				Marketplace: value(in.Params.Marketplace),
				Environment: value(in.Params.Environment),
				Model:       value(in.Params.Model),
				Limit:       limit,
				After:       after,
			})
		},
		show: resource.Account,
		place: func(a provision.Account) provision.AccountCursor {
			return provision.AccountCursor{AddedAt: a.AddedAt.UTC(), ID: a.ID}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListAccounts200JSONResponse{Items: accounts, NextCursor: next}, nil
}

func validAccountCursor(c provision.AccountCursor) bool {
	return plausible(c.AddedAt) && accountIDPattern.MatchString(c.ID)
}

func accountOf(form openapi.NewAccount, provider string) provision.Account {
	return provision.Account{
		ID:        form.ID,
		Pool:      provision.Pool{Provider: provider, Marketplace: form.Marketplace, Environment: form.Environment},
		Model:     form.Model,
		Name:      form.Name,
		RootEmail: form.RootEmail,
		RoleARN:   form.RoleARN,
	}
}
