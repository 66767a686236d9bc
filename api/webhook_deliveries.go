package api

import (
	"context"
	"errors"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// deliveryCursor is a place in the list of an endpoint's deliveries.
type deliveryCursor struct {
	Seq int64 `json:"d"`
}

// ListDeliveries answers GET /v1/webhooks/{webhook_id}/deliveries.
func (s *service) ListDeliveries(ctx context.Context, in server.ListDeliveriesRequestObject) (server.ListDeliveriesResponseObject, error) {
	deliveries, next, err := list[deliveryCursor, provision.Delivery, openapi.Delivery]{
		valid: func(c deliveryCursor) bool { return c.Seq > 0 },
		read: func(after *deliveryCursor, limit int) ([]provision.Delivery, error) {
			filter := provision.DeliveryFilter{State: value(in.Params.State), Before: value(after).Seq, Limit: limit}
			found, err := s.Deliveries.List(ctx, webhookKey(ctx, in.WebhookID), filter)
			return found, webhookProblem(err, in.WebhookID)
		},
		show:  resource.Delivery,
		place: func(d provision.Delivery) deliveryCursor { return deliveryCursor{d.EventSeq} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListDeliveries200JSONResponse{Items: deliveries, NextCursor: next}, nil
}

// GetDelivery answers GET /v1/webhooks/{webhook_id}/deliveries/{delivery_id}.
func (s *service) GetDelivery(ctx context.Context, in server.GetDeliveryRequestObject) (server.GetDeliveryResponseObject, error) {
	d, attempts, err := s.Deliveries.Get(ctx, webhookKey(ctx, in.WebhookID), in.DeliveryID)
	if err != nil {
		return nil, deliveryProblem(err, in.WebhookID, in.DeliveryID)
	}
	answer := server.GetDelivery200JSONResponse{Delivery: resource.Delivery(d), Attempts: make([]openapi.DeliveryAttempt, len(attempts))}
	for i, a := range attempts {
		answer.Attempts[i] = resource.DeliveryAttempt(a)
	}
	return answer, nil
}

// ResendDelivery answers POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend.
func (s *service) ResendDelivery(ctx context.Context, in server.ResendDeliveryRequestObject) (server.ResendDeliveryResponseObject, error) {
	d, err := s.Deliveries.Resend(ctx, callerOf(ctx).Actor(), webhookKey(ctx, in.WebhookID), in.DeliveryID)
	if err != nil {
		return nil, deliveryProblem(err, in.WebhookID, in.DeliveryID)
	}
	s.wakeWebhooks(ctx)
	return server.ResendDelivery202JSONResponse(resource.Delivery(d)), nil
}

func deliveryProblem(err error, webhook, delivery string) error {
	if errors.Is(err, provision.ErrNotFound) {
		return problem(codeNotFound, "delivery %s of webhook %s not found", delivery, webhook).because(err)
	}
	return webhookProblem(err, webhook)
}
