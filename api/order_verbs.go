package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/verbs"
)

// The verbs for a running order. Package verbs asks the order's workflow, which decides.

// CorrectOrder answers PATCH /v1/orders/{order_id}.
func (s *service) CorrectOrder(ctx context.Context, in server.CorrectOrderRequestObject) (server.CorrectOrderResponseObject, error) {
	by, correction := actionOf(ctx, in.Body.Reason), correctionOf(*in.Body)
	view, err := s.verbs().Ask(ctx, callerOf(ctx).Tenant, in.OrderID,
		verbs.Asked{Action: provision.ActionCorrect, Fields: correction.Fields()}, by,
		func(key provision.OrderKey) error { return s.Workflows.Correct(ctx, key, correction, by) })
	order, err := s.afterVerb(ctx, in.OrderID, view, err)
	if err != nil {
		return nil, err
	}
	return server.CorrectOrder200JSONResponse(order), nil
}

// CancelOrder answers POST /v1/orders/{order_id}/cancel.
func (s *service) CancelOrder(ctx context.Context, in server.CancelOrderRequestObject) (server.CancelOrderResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, provision.ActionCancel, actionOf(ctx, value(in.Body).Reason))
	if err != nil {
		return nil, err
	}
	return server.CancelOrder202JSONResponse(order), nil
}

// RetryOrder answers POST /v1/orders/{order_id}/retry.
func (s *service) RetryOrder(ctx context.Context, in server.RetryOrderRequestObject) (server.RetryOrderResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, provision.ActionRetry, actionOf(ctx, &in.Body.Reason))
	if err != nil {
		return nil, err
	}
	return server.RetryOrder202JSONResponse(order), nil
}

// FailOrder answers POST /v1/orders/{order_id}/fail.
func (s *service) FailOrder(ctx context.Context, in server.FailOrderRequestObject) (server.FailOrderResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, provision.ActionFail, actionOf(ctx, &in.Body.Reason))
	if err != nil {
		return nil, err
	}
	return server.FailOrder202JSONResponse(order), nil
}

// EndUndo answers POST /v1/orders/{order_id}/end-undo.
func (s *service) EndUndo(ctx context.Context, in server.EndUndoRequestObject) (server.EndUndoResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, provision.ActionEndUndo, actionOf(ctx, &in.Body.Reason))
	if err != nil {
		return nil, err
	}
	return server.EndUndo202JSONResponse(order), nil
}

// SwapOrder answers POST /v1/orders/{order_id}/swap.
func (s *service) SwapOrder(ctx context.Context, in server.SwapOrderRequestObject) (server.SwapOrderResponseObject, error) {
	by := actionOf(ctx, &in.Body.Reason)
	by.AccountID = in.Body.AccountID
	order, err := s.act(ctx, in.OrderID, provision.ActionSwap, by)
	if err != nil {
		return nil, err
	}
	return server.SwapOrder202JSONResponse(order), nil
}

// act sends a verb to the order's workflow that needs only the actor and the reason.
func (s *service) act(ctx context.Context, id, action string, by provision.Intervention) (openapi.Order, error) {
	view, err := s.verbs().Act(ctx, callerOf(ctx).Tenant, id, action, by)
	return s.afterVerb(ctx, id, view, err)
}

// verbs asks the workflows of orders to act.
func (s *service) verbs() verbs.Verbs {
	return verbs.Verbs{Orders: s.Orders, Workflows: s.Workflows, Log: s.Log}
}

// afterVerb turns the result of a verb into what the caller is told.
func (s *service) afterVerb(ctx context.Context, id string, view provision.OrderView, err error) (openapi.Order, error) {
	switch {
	case err == nil:
		return s.oneOrder(ctx, view), nil
	case errors.Is(err, provision.ErrNotFound):
		err = orderNotFound(id, err)
	case errors.Is(err, verbs.ErrUnconfirmed):
		err = problem(codeUnavailable, "could not confirm that order %q received the request: %s", id, wayOut).because(err)
	case errors.Is(err, verbs.ErrUnread):
		err = problem(codeUnavailable,
			"order %q received the request but cannot be read at the moment: do not send the request again, read the order", id).because(err)
	}
	return openapi.Order{}, err
}

// wayOut is what to do if the answer to a verb is lost.
const wayOut = "send the same request again, which is safe; a 409 then means that the first request arrived, or that the order has ended"

// actionOf returns who acts and why, with an id that identifies repeats.
func actionOf(ctx context.Context, reason *string) provision.Intervention {
	return provision.Intervention{Actor: callerOf(ctx).Actor(), Reason: value(reason), ID: uuid.NewString()}
}

func correctionOf(form openapi.OrderCorrection) provision.Correction {
	correction := provision.Correction{
		IAMUserName:      form.IAMUserName,
		ContactName:      form.AWSContactName,
		AlternateContact: form.AWSAlternateContact,
		AccountAlias:     form.AWSAccountAlias,
		ExistingCURKind:  form.ExistingCURKind,
	}
	if form.UseExistingCUR.IsSpecified() {
		name, _ := form.UseExistingCUR.Get() // of null: empty, which is a new report
		correction.UseExistingCUR = &name
	}
	return correction
}

// correctable lists the fields that a correction may contain.
const correctable = "use_existing_cur, existing_cur_kind, iam_user_name, aws_contact_name, aws_alternate_contact or aws_account_alias"

// correctionRules checks the fields that are sent with the rules of a new order. Only the workflow knows whether the order asks
// for them.
func correctionRules(_ context.Context, body []byte) (broken []provision.FieldError, _ error) {
	var form provision.Correction
	_ = json.Unmarshal(body, &form) // fields of another type stay empty, and so does null; the document's findings cover them
	given := form.Fields()
	// A kind alone says which of two reports is meant. Only the workflow knows their name.
	ordered := provision.Request{UseExistingCUR: "some-report"}
	for _, wrong := range form.Apply(ordered).Validate() {
		if slices.Contains(given, provision.TopField(wrong.Field)) {
			broken = append(broken, wrong)
		}
	}
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // as above
	if delete(members, "reason"); len(members) == 0 {
		broken = append(broken, provision.FieldError{Message: "corrects nothing: send at least one of " + correctable})
	}
	return broken, nil
}
