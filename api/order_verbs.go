package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// The verbs for a running order. The order's workflow decides, because only the workflow knows the order's state at this
// moment. Two answers come from the order's row alone: that the order does not exist, and that it has ended.

// CorrectOrder answers PATCH /v1/orders/{order_id}.
func (s *service) CorrectOrder(ctx context.Context, in server.CorrectOrderRequestObject) (server.CorrectOrderResponseObject, error) {
	by, correction := actionOf(ctx, in.Body.Reason), correctionOf(*in.Body)
	order, err := s.tell(ctx, in.OrderID, orderVerb{workflows.UpdateCorrect, correction.Fields()}, by, func(key provision.OrderKey) error {
		return s.Workflows.Correct(ctx, key, correction, by)
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

// orderVerb is what someone asks of an order.
type orderVerb struct {
	update string   // a workflows.Update…
	fields []string // that it corrects
}

// act sends a verb to the order's workflow that needs only the actor and the reason.
func (s *service) act(ctx context.Context, id, update string, by provision.Intervention) (openapi.Order, error) {
	return s.tell(ctx, id, orderVerb{update: update}, by, func(key provision.OrderKey) error { return s.Workflows.Act(ctx, key, update, by) })
}

// tell sends a request to the workflow of the caller's order and returns the order afterwards. What the order refuses is recorded
// in its history.
func (s *service) tell(ctx context.Context, id string, verb orderVerb, by provision.Intervention,
	do func(provision.OrderKey) error) (openapi.Order, error) {
	order, err := s.told(ctx, id, verb.update, by, do)
	refused, ok := errors.AsType[*provision.Failure](err)
	if !ok || !isRefusal(refused.Code) {
		return order, err
	}
	key := provision.OrderKey{Provider: callerOf(ctx).Provider, ID: id}
	if failed := s.Orders.NoteRefusal(ctx, key, verb.update, verb.fields, refused.Code, by); failed != nil {
		s.Log.WarnContext(ctx, "could not record in the history that a request was refused", "order", key, "code", refused.Code,
			"error", failed)
	}
	return order, err
}

// told is tell without the record of refusals.
func (s *service) told(ctx context.Context, id, update string, by provision.Intervention,
	do func(provision.OrderKey) error) (openapi.Order, error) {
	view, err := s.order(ctx, id)
	if err != nil {
		return openapi.Order{}, err
	}
	if err := tooLate(view, update); err != nil {
		return openapi.Order{}, err
	}
	// The workflow may have acted although its answer was lost, for example because it ended at that moment. The history
	// knows, because the action and its row in the history are written together.
	if err := do(view.OrderKey); err != nil && !s.wasTaken(ctx, view.OrderKey, by) {
		if errors.Is(err, provision.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			return openapi.Order{}, problem(codeUnavailable, "could not confirm that order %q received the request: %s", id, wayOut).because(err)
		}
		return openapi.Order{}, err
	}
	if view, err = s.order(ctx, id); err != nil {
		return openapi.Order{}, problem(codeUnavailable,
			"order %q received the request but cannot be read at the moment: do not send the request again, read the order", id).because(err)
	}
	return s.oneOrder(ctx, view), nil
}

// wasTaken reports whether the history contains the action. It returns false if the history cannot be read.
func (s *service) wasTaken(ctx context.Context, key provision.OrderKey, by provision.Intervention) bool {
	taken, err := s.Orders.ActionNoted(ctx, key, by.ID)
	return err == nil && taken
}

// tooLate refuses what the order's row rules out. Final states never change. An order that is being undone can only end. Only
// an order that is being undone, or that is provisioning and may be undoing one account before it takes the next, has an undo
// to end.
func tooLate(view provision.OrderView, update string) error {
	switch {
	case view.State.Ended():
		return refuses(provision.CodeTooLate, "order %q is %s: it can no longer be changed", view.ID, view.State)
	case view.State == provision.Compensating && (update == workflows.UpdateCancel || update == workflows.UpdateFail ||
		update == workflows.UpdateSwap):
		return refuses(provision.CodeTooLate, "order %q is already being undone: read it until it has ended", view.ID)
	case update == workflows.UpdateEndUndo && view.State != provision.Compensating && view.State != provision.Provisioning:
		return refuses(provision.CodeNotAsked, "order %q is %s: it has no undo to end", view.ID, view.State)
	}
	return nil
}

// refuses returns the refusal of a verb.
func refuses(code provision.Code, reason string, args ...any) error {
	return &provision.Failure{Code: code, Reason: fmt.Sprintf(reason, args...)}
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
