package api

import (
	"context"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// TickManualStep answers PUT /v1/orders/{order_id}/manual-steps/{number}. A completed order and its manual steps never change, so only
// the tick is written.
func (s *service) TickManualStep(ctx context.Context, in server.TickManualStepRequestObject) (server.TickManualStepResponseObject, error) {
	view, err := s.order(ctx, in.OrderID)
	if err != nil {
		return nil, err
	}
	if view.State != provision.Completed || view.Result == nil {
		return nil, problem(codeConflict, "order %q is %s: only a completed order has manual steps", view.ID, view.State)
	}
	if steps := len(view.Result.ManualSteps); in.Number > steps {
		return nil, problem(codeNotFound, "order %q has no manual step %d: it has %d, see result.checklist", view.ID, in.Number, steps)
	}
	if err := s.Orders.Tick(ctx, view.OrderKey, in.Number, in.Body.Done, actionOf(ctx, in.Body.Reason)); err != nil {
		return nil, err
	}
	if view, err = s.order(ctx, in.OrderID); err != nil {
		return nil, err
	}
	return server.TickManualStep200JSONResponse(s.oneOrder(ctx, view)), nil
}

// checklist lists the manual steps of a result, and which of them are done.
func checklist(steps []string, ticked map[int]provision.Tick) []openapi.ManualStep {
	list := make([]openapi.ManualStep, len(steps))
	for i, step := range steps {
		list[i] = openapi.ManualStep{Number: i + 1, Step: step}
		if tick, done := ticked[i+1]; done {
			list[i].DoneAt, list[i].DoneBy = resource.UTC(&tick.At), resource.Optional(tick.By)
		}
	}
	return list
}
