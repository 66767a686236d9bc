package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// CreateOrder answers POST /v1/orders. It starts the order's workflow and writes nothing else, so that no crash between two
// writes can lose an order that was acknowledged. A repeated request is compared with the order's row or, while there is no
// row yet, with the order in its workflow.
func (s *service) CreateOrder(ctx context.Context, in server.CreateOrderRequestObject) (server.CreateOrderResponseObject, error) {
	order := provision.Order{
		OrderKey:   provision.OrderKey{Provider: callerOf(ctx).Provider, ID: in.Body.ID},
		Request:    requestOf(*in.Body),
		AcceptedAt: s.Now().UTC().Truncate(time.Microsecond), // what the database keeps of it
		Nonce:      uuid.NewString(),
	}
	hash := order.Request.Hash()

	// An id is unique within the provider, so an order of a marketplace that the key does not see uses it up as well.
	exists, err := s.Orders.Exists(ctx, order.OrderKey)
	if err != nil {
		return nil, err
	}
	if exists {
		stored, err := s.Orders.Get(ctx, order.Tenant(), order.ID)
		if err != nil {
			return nil, err
		}
		return s.again(ctx, stored, stored.RequestHash, hash)
	}
	started, existing, existingHash, err := s.Workflows.StartOrder(ctx, order, hash)
	switch {
	case errors.Is(err, provision.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return nil, problem(codeUnavailable,
			"could not confirm that order %q was accepted: send the same request again, it never creates a second order", order.ID).because(err)
	case err != nil:
		return nil, err
	case started:
		return server.CreateOrder202JSONResponse{
			Body:    s.oneOrder(ctx, order.JustAccepted()),
			Headers: server.CreateOrder202ResponseHeaders{Location: s.orderLocation(order.ID)},
		}, nil
	case existing == nil:
		return nil, fmt.Errorf("the workflow of order %s does not contain its order", order.OrderKey)
	}
	return s.again(ctx, existing.JustAccepted(), existingHash, hash)
}

// again answers a request for an order that exists: with the order, or, if its content is different, with a refusal that shows
// nothing of it. The content of an order of another marketplace is always different.
func (s *service) again(
	ctx context.Context, existing provision.OrderView, existingHash, hash []byte,
) (server.CreateOrderResponseObject, error) {
	if !bytes.Equal(existingHash, hash) || !callerOf(ctx).Tenant.Includes(existing.Request.Marketplace) {
		return nil, problem(provision.CodeOrderIDReused,
			"order %q already exists with different content: choose another id for the new order, or send the original content again", existing.ID).
			at(bodyField("id", fmt.Sprintf("%q belongs to an order with different content", existing.ID)))
	}
	return server.CreateOrder200JSONResponse{
		Body:    s.oneOrder(ctx, existing),
		Headers: server.CreateOrder200ResponseHeaders{Location: s.orderLocation(existing.ID)},
	}, nil
}

// ValidateOrder answers POST /v1/orders/validate. Invalid orders were refused before this handler.
func (s *service) ValidateOrder(context.Context, server.ValidateOrderRequestObject) (server.ValidateOrderResponseObject, error) {
	return server.ValidateOrder200JSONResponse{Valid: true}, nil
}

// GetOrder answers GET /v1/orders/{order_id}.
func (s *service) GetOrder(ctx context.Context, in server.GetOrderRequestObject) (server.GetOrderResponseObject, error) {
	view, err := s.order(ctx, in.OrderID)
	if err != nil {
		return nil, err
	}
	return server.GetOrder200JSONResponse(s.oneOrder(ctx, view)), nil
}

// order reads an order that the caller may see. Errors: a problem with status 404.
func (s *service) order(ctx context.Context, id string) (provision.OrderView, error) {
	view, err := s.verbs().Order(ctx, callerOf(ctx).Tenant, id)
	if errors.Is(err, provision.ErrNotFound) {
		return view, orderNotFound(id, err)
	}
	return view, err
}

func orderNotFound(id string, err error) error { return notFound(fmt.Sprintf("order %q", id), err) }

// ListOrders answers GET /v1/orders.
func (s *service) ListOrders(ctx context.Context, in server.ListOrdersRequestObject) (server.ListOrdersResponseObject, error) {
	if id := in.Params.CustomerID; id != nil {
		if wrong := provision.ValidateCustomerID("customer_id", *id); len(wrong) > 0 {
			return nil, invalidParameters(openapi.FieldProblem{In: "query", Field: &wrong[0].Field, Message: wrong[0].Message})
		}
	}
	orders, next, err := list[provision.OrderCursor, provision.OrderView, openapi.Order]{
		valid: validOrderCursor,
		read: func(after *provision.OrderCursor, limit int) ([]provision.OrderView, error) {
			filter := orderFilter(openapi.OrderFilter{
				State: in.Params.State, Marketplace: in.Params.Marketplace, Environment: in.Params.Environment, Model: in.Params.Model,
				AccountID: in.Params.AccountID, CustomerID: in.Params.CustomerID, Search: in.Params.Search, Asks: in.Params.Asks,
				CreatedAfter: in.Params.CreatedAfter, CreatedBefore: in.Params.CreatedBefore,
				EndedAfter: in.Params.EndedAfter, EndedBefore: in.Params.EndedBefore,
			})
			filter.Limit, filter.After = limit, after
			return s.Orders.List(ctx, callerOf(ctx).Tenant, filter)
		},
		show: s.orderResource,
		place: func(v provision.OrderView) provision.OrderCursor {
			return provision.OrderCursor{CreatedAt: v.AcceptedAt.UTC(), ID: v.ID}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListOrders200JSONResponse{Items: orders, NextCursor: next}, nil
}

func orderFilter(form openapi.OrderFilter) provision.OrderFilter {
	return provision.OrderFilter{
		States:        value(form.State),
		Marketplace:   value(form.Marketplace),
		Environment:   value(form.Environment),
		Model:         value(form.Model),
		AccountID:     value(form.AccountID),
		CustomerID:    value(form.CustomerID),
		Search:        value(form.Search),
		Asks:          value(form.Asks),
		CreatedAfter:  form.CreatedAfter,
		CreatedBefore: form.CreatedBefore,
		EndedAfter:    form.EndedAfter,
		EndedBefore:   form.EndedBefore,
	}
}

func validOrderCursor(c provision.OrderCursor) bool {
	return plausible(c.CreatedAt) && len(provision.ValidateOrderID(c.ID)) == 0
}

func requestOf(form openapi.NewOrder) provision.Request {
	return provision.Request{
		Marketplace:      form.Marketplace,
		Environment:      form.Environment,
		OrderMode:        form.OrderMode,
		AccountModel:     value(form.AccountModel),
		Customer:         form.Customer,
		UseExistingCUR:   value(form.UseExistingCUR),
		ExistingCURKind:  value(form.ExistingCURKind),
		IAMUserName:      form.IAMUserName,
		ContactName:      form.AWSContactName,
		AlternateContact: form.AWSAlternateContact,
		AccountAlias:     form.AWSAccountAlias,
		CallbackURL:      value(form.CallbackURL),
	}
}

func (s *service) orderLocation(id string) string { return s.basePath + "/v1/orders/" + id }

// oneOrder is the order as its own operations answer it. Only there are the failed attempts and, only for keys that may see them, the
// link to the password and the one to the workflow.
func (s *service) oneOrder(ctx context.Context, v provision.OrderView) openapi.Order {
	o, who := s.orderResource(v), callerOf(ctx)
	if o.Result != nil {
		o.Result.Password = s.passwordResource(who, v.Password)
	}
	for i, step := range v.Steps {
		o.Steps[i].AWS, o.Steps[i].FailedAttempts = step.AWS, resource.OptionalSlice(failedAttempts(step.FailedAttempts))
	}
	if who.May(provision.ScopeHealthRead) {
		o.WorkflowURL = resource.Optional(s.workflowURL(v.OrderKey))
	}
	return o
}

// workflowURL is the page of the order's workflow in the Temporal Web UI, or empty if its address is not configured.
func (s *service) workflowURL(key provision.OrderKey) string {
	if s.TemporalWeb == "" {
		return ""
	}
	return strings.TrimSuffix(s.TemporalWeb, "/") + "/namespaces/" + url.PathEscape(s.TemporalNamespace) + "/workflows/" +
		url.PathEscape(workflows.OrderWorkflowID(key))
}

func failedAttempts(failed []provision.FailedAttempt) []openapi.FailedAttempt {
	attempts := make([]openapi.FailedAttempt, len(failed))
	for i, a := range failed {
		attempts[i] = openapi.FailedAttempt{Number: a.Number, Began: a.Began.UTC(), Ended: a.Ended.UTC(), Undo: resource.Optional(a.Undo),
			Problem: a.Problem, AWS: a.AWS}
	}
	return attempts
}

// orderResource is the order without anything about its password, as lists answer it.
func (s *service) orderResource(v provision.OrderView) openapi.Order {
	o := openapi.Order{
		ID:                  v.ID,
		Marketplace:         v.Request.Marketplace,
		Environment:         v.Request.Environment,
		OrderMode:           v.Request.OrderMode,
		AccountModel:        resource.Optional(v.Request.AccountModel),
		Customer:            v.Request.Customer,
		UseExistingCUR:      resource.Optional(v.Request.UseExistingCUR),
		ExistingCURKind:     resource.Optional(v.Request.ExistingCURKind),
		IAMUserName:         v.Request.IAMUserName,
		AWSContactName:      v.Request.ContactName,
		AWSAlternateContact: v.Request.AlternateContact,
		AWSAccountAlias:     v.Request.AccountAlias,
		CallbackURL:         resource.Optional(v.Request.CallbackURL),
		State:               v.State,
		Since:               v.Since.UTC(),
		Step:                resource.Optional(string(v.Step)),
		Steps:               make([]openapi.Step, len(v.Steps)),
		AccountID:           resource.Optional(v.AccountID),
		Leftovers:           append([]string{}, v.Leftovers...), // never null
		Notes:               append([]string{}, v.Notes...),
		CreatedAt:           v.AcceptedAt.UTC(),
	}
	for i, step := range v.Steps {
		o.Steps[i] = openapi.Step{
			Step:       string(step.Step),
			AccountID:  step.AccountID,
			State:      step.State,
			Attempt:    step.Attempt,
			StartedAt:  step.StartedAt.UTC(),
			FinishedAt: resource.UTC(step.FinishedAt),
			Problem:    resource.Optional(step.Problem),
		}
	}
	if w := v.Waiting; w != nil {
		o.Waiting = &openapi.Waiting{Place: w.Place, Why: w.Why}
	}
	if f := v.Failure; f != nil {
		o.Failure = &openapi.Failure{
			Code: string(f.Code), Step: resource.Optional(string(f.Step)), Reason: f.Reason,
			Field: resource.Optional(f.Field), Value: resource.Optional(f.Value), Comment: resource.Optional(f.Comment), AWS: f.AWS(),
		}
	}
	if v.State == provision.ActionRequired && v.Failure != nil {
		o.ActionDeadline, o.Failure.Asks = resource.UTC(v.Failure.AnswerBy), resource.Optional(v.Failure.Asks())
	}
	if v.State == provision.Completed && v.Result != nil {
		o.Result = s.resultResource(*v.Result, v.Ticked)
	}
	return o
}

func (s *service) resultResource(r provision.Result, ticked map[int]provision.Tick) *openapi.Result {
	return &openapi.Result{
		AccountID:     r.AccountID,
		Model:         string(r.AccountModel),
		Alias:         r.AccountAlias,
		SignInURL:     r.SignInURL,
		SignInURLByID: r.SignInURLByID,
		IAMUserName:   r.IAMUserName,
		Report: openapi.Report{
			Name: r.Report.Name, Kind: r.Report.Kind, Existing: r.Report.Existing,
			Bucket: r.Report.Bucket, Prefix: r.Report.Prefix, Region: r.Report.Region,
		},
		UsageAvailableFrom:  r.UsageAvailableFrom.UTC(),
		OlderUsageAvailable: r.OlderUsageAvailable,
		RootAccess:          resource.Optional(r.RootInstructions),
		Instructions:        resource.Optional(r.Instructions),
		ManualSteps:         append([]string{}, r.ManualSteps...),
		Checklist:           checklist(r.ManualSteps, ticked),
		Warnings:            resource.OptionalSlice(r.Warnings),
		CompletedAt:         r.CompletedAt.UTC(),
		Simulated:           s.Simulated,
	}
}

// orderRules checks a new order.
func (s *service) orderRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.NewOrder
	_ = json.Unmarshal(body, &form) // fields of another type stay empty; the document's findings cover them
	request := requestOf(form)
	broken := slices.Concat(provision.ValidateOrderID(form.ID), request.Validate())
	if form.ID == "." || form.ID == ".." {
		broken = append(broken, provision.FieldError{Field: "id",
			Message: fmt.Sprintf("%q has a special meaning in URLs: use at least one character that is not a dot", form.ID)})
	}
	if form.CallbackURL != nil {
		if wrong := s.WebhookPolicy.CheckURL(*form.CallbackURL); wrong != "" {
			broken = append(broken, provision.FieldError{Field: "callback_url", Message: wrong})
		}
	}
	unknown, err := s.unknownModel(ctx, "account_model", request.AccountModel)
	if err != nil {
		return nil, err
	}
	broken = append(broken, unknown...)
	return s.poolRule(ctx, request.Marketplace, request.Environment, broken)
}
