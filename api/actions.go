package api

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// What people may do to a running order. Its workflow decides, because only the workflow knows where the order stands at
// this very moment. What the row tells for certain is answered without asking it: that there is no such order, and that it
// is over.

// CorrectOrder answers PATCH /v1/orders/{order_id}.
func (s *service) CorrectOrder(ctx context.Context, in server.CorrectOrderRequestObject) (server.CorrectOrderResponseObject, error) {
	by := actionOf(ctx, in.Body.Reason)
	order, err := s.tell(ctx, in.OrderID, workflows.UpdateCorrect, by, func(key provision.OrderKey) error {
		return s.Workflows.Correct(ctx, key, correctionOf(*in.Body), by)
	})
	if err != nil {
		return nil, err
	}
	return server.CorrectOrder200JSONResponse(order), nil
}

// CancelOrder answers POST /v1/orders/{order_id}/cancel.
func (s *service) CancelOrder(ctx context.Context, in server.CancelOrderRequestObject) (server.CancelOrderResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, workflows.UpdateCancel, actionOf(ctx, value(in.Body).Reason))
	if err != nil {
		return nil, err
	}
	return server.CancelOrder202JSONResponse(order), nil
}

// RetryOrder answers POST /v1/orders/{order_id}/retry.
func (s *service) RetryOrder(ctx context.Context, in server.RetryOrderRequestObject) (server.RetryOrderResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, workflows.UpdateRetry, actionOf(ctx, &in.Body.Reason))
	if err != nil {
		return nil, err
	}
	return server.RetryOrder202JSONResponse(order), nil
}

// FailOrder answers POST /v1/orders/{order_id}/fail.
func (s *service) FailOrder(ctx context.Context, in server.FailOrderRequestObject) (server.FailOrderResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, workflows.UpdateFail, actionOf(ctx, &in.Body.Reason))
	if err != nil {
		return nil, err
	}
	return server.FailOrder202JSONResponse(order), nil
}

// EndUndo answers POST /v1/orders/{order_id}/end-undo.
func (s *service) EndUndo(ctx context.Context, in server.EndUndoRequestObject) (server.EndUndoResponseObject, error) {
	order, err := s.act(ctx, in.OrderID, workflows.UpdateEndUndo, actionOf(ctx, &in.Body.Reason))
	if err != nil {
		return nil, err
	}
	return server.EndUndo202JSONResponse(order), nil
}

// SwapOrder answers POST /v1/orders/{order_id}/swap.
func (s *service) SwapOrder(ctx context.Context, in server.SwapOrderRequestObject) (server.SwapOrderResponseObject, error) {
	by := actionOf(ctx, &in.Body.Reason)
	by.AccountID = in.Body.AccountID
	order, err := s.act(ctx, in.OrderID, workflows.UpdateSwap, by)
	if err != nil {
		return nil, err
	}
	return server.SwapOrder202JSONResponse(order), nil
}

// act tells an order's workflow a verb that needs nothing but who and why.
func (s *service) act(ctx context.Context, id, verb string, by provision.Intervention) (openapi.Order, error) {
	return s.tell(ctx, id, verb, by, func(key provision.OrderKey) error { return s.Workflows.Act(ctx, key, verb, by) })
}

// tell does something to the caller's order and returns the order as it stands then.
func (s *service) tell(ctx context.Context, id, verb string, by provision.Intervention, do func(provision.OrderKey) error) (openapi.Order, error) {
	view, err := s.order(ctx, id)
	if err != nil {
		return openapi.Order{}, err
	}
	if err := tooLate(view, verb); err != nil {
		return openapi.Order{}, err
	}
	// The answer of the workflow may be lost although the action was taken: the workflow may have ended in the same moment. The
	// row of the action is written with what it does, so it knows.
	if err := do(view.OrderKey); err != nil && !s.wasTaken(ctx, view.OrderKey, by) {
		if errors.Is(err, provision.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			return openapi.Order{}, problem(codeUnavailable, "could not confirm that order %q received the request: %s", id, wayOut).because(err)
		}
		return openapi.Order{}, err
	}
	if view, err = s.order(ctx, id); err != nil {
		return openapi.Order{}, problem(codeUnavailable, "order %q did receive the request, but cannot be read at the moment: do not send this again, read the order", id).because(err)
	}
	return s.orderResource(view), nil
}

// wasTaken reports whether the action is known to have been taken. When that cannot be found out, it is not known.
func (s *service) wasTaken(ctx context.Context, key provision.OrderKey, by provision.Intervention) bool {
	taken, err := s.Orders.ActionNoted(ctx, key, by.ID)
	return err == nil && taken
}

// tooLate refuses what the order's row rules out: its last states never change, from being undone there is only the way to the end,
// and an order that holds no account, or waits for an answer, has no undo that could be ended. One that is provisioning may have: it undoes
// an account before it takes the next one.
func tooLate(view provision.OrderView, verb string) error {
	switch {
	case view.State.Ended():
		return problem(provision.CodeTooLate, "order %q is %s: nothing can be done to it any more", view.ID, view.State)
	case view.State == provision.Compensating && (verb == workflows.UpdateCancel || verb == workflows.UpdateFail || verb == workflows.UpdateSwap):
		return problem(provision.CodeTooLate, "order %q is being undone already: read it until it has ended", view.ID)
	case verb == workflows.UpdateEndUndo && view.State != provision.Compensating && view.State != provision.Provisioning:
		return problem(provision.CodeNotAsked, "order %q is %s: there is no undo that could be ended", view.ID, view.State)
	}
	return nil
}

// wayOut is what to do when the answer of a verb got lost.
const wayOut = "send the same request again, that is safe; a 409 then means that the first one arrived, or that the order has ended"

// actionOf is who acts, and why, with an id by which a repeat is known.
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
