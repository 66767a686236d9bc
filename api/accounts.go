package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// wakeTimeout limits the hints to workflows. They are sent even if the caller hangs up.
const wakeTimeout = 5 * time.Second

// CreateAccount answers POST /v1/accounts.
func (s *service) CreateAccount(ctx context.Context, in server.CreateAccountRequestObject) (server.CreateAccountResponseObject, error) {
	who := callerOf(ctx)
	account := accountOf(*in.Body, who.Provider)
	account.ExternalID = provision.NewExternalID()
	added, woken, err := s.Accounts.Create(ctx, account, who.Actor())
	switch {
	case errors.Is(err, provision.ErrConflict):
		// The error does not reveal which provider owns the account.
		return nil, problem(codeAccountExists,
			"account %s is already in a pool, and an AWS account can be in only one: if it is yours, read it with GET /v1/accounts/%s",
			account.ID, account.ID).at(bodyField("id", fmt.Sprintf("account %s is already in a pool", account.ID))).because(err)
	case errors.Is(err, provision.ErrRootEmailTaken):
		return nil, invalidFields(bodyField("root_email", provision.RootEmailTaken)).because(err)
	case errors.Is(err, provision.ErrProtected): // it was protected after the check
		return nil, invalidFields(bodyField("id", provision.ProtectedMessage(account.ID))).because(err)
	case errors.Is(err, provision.ErrNotFound): // the model was removed after the check
		return nil, invalidFields(bodyField("", "unknown pool or account model: check marketplace, environment and model")).because(err)
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

// wake is a hint: an order that misses it looks for an account later.
func (s *service) wake(ctx context.Context, orders []provision.OrderKey) {
	if len(orders) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := s.Workflows.WakeOrders(ctx, orders); err != nil {
		s.Log.WarnContext(ctx, "could not wake orders; they look for an account later", "orders", len(orders), "error", err)
	}
}

// verifyDue is a hint: the schedule verifies the accounts that are due within minutes.
func (s *service) verifyDue(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := s.Workflows.VerifyDue(ctx); err != nil {
		s.Log.WarnContext(ctx, "could not start the verification; the schedule starts it within minutes", "error", err)
	}
}

// GetAccount answers GET /v1/accounts/{account_id}.
func (s *service) GetAccount(ctx context.Context, in server.GetAccountRequestObject) (server.GetAccountResponseObject, error) {
	account, err := s.Accounts.Get(ctx, callerOf(ctx).Provider, in.AccountID)
	if err != nil {
		return nil, accountProblem(in.AccountID, err)
	}
	shown := resource.Account(account)
	if account.Status == provision.AccountReady {
		place, err := s.Accounts.Place(ctx, account.Provider, account.ID)
		if err != nil {
			return nil, err
		}
		shown.Place = resource.Optional(place)
	}
	return server.GetAccount200JSONResponse{
		Body: shown, Headers: server.GetAccount200ResponseHeaders{ETag: etag(account)},
	}, nil
}

// ListAccounts answers GET /v1/accounts.
func (s *service) ListAccounts(ctx context.Context, in server.ListAccountsRequestObject) (server.ListAccountsResponseObject, error) {
	accounts, next, err := list[provision.AccountCursor, provision.Account, openapi.Account]{
		valid: validAccountCursor,
		read: func(after *provision.AccountCursor, limit int) ([]provision.Account, error) {
			filter := accountFilter(openapi.AccountFilter{
				Status: in.Params.Status, Marketplace: in.Params.Marketplace, Environment: in.Params.Environment, Model: in.Params.Model,
				Search: in.Params.Search, WaitingForVerification: in.Params.WaitingForVerification, HasFinding: in.Params.HasFinding,
			})
			filter.Limit, filter.After = limit, after
			return s.Accounts.List(ctx, callerOf(ctx).Provider, filter)
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

func accountFilter(form openapi.AccountFilter) provision.AccountFilter {
	return provision.AccountFilter{
		Statuses:    value(form.Status),
		Marketplace: value(form.Marketplace),
		Environment: value(form.Environment),
		Model:       value(form.Model),
		Search:      value(form.Search),
		Awaiting:    form.WaitingForVerification,
		HasFinding:  form.HasFinding,
	}
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

// accountRules checks a new account.
func (s *service) accountRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.NewAccount
	_ = json.Unmarshal(body, &form) // the document's findings cover fields of another type
	broken := provision.ValidateAccount(accountOf(form, ""))
	unknown, err := s.unknownModel(ctx, "model", form.Model)
	if err != nil {
		return nil, err
	}
	broken = append(broken, unknown...)
	if protected, err := s.protected(ctx, form.ID); err != nil {
		return nil, err
	} else if protected {
		broken = append(broken, provision.FieldError{Field: "id", Message: provision.ProtectedMessage(form.ID)})
	}
	return s.poolRule(ctx, form.Marketplace, form.Environment, broken)
}

// accountUpdateRules checks the model of an updated account. The other rules depend on the account.
func (s *service) accountUpdateRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.AccountUpdate
	_ = json.Unmarshal(body, &form) // the document's findings cover fields of another type
	return s.unknownModel(ctx, "model", value(form.Model))
}
