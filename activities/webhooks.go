package activities

import (
	"context"
	"errors"

	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// Webhooks is what the activities of this file work with.
type Webhooks struct {
	Deliveries Deliveries
	Events     Events
	Sender     *webhooks.Sender
	// Wake starts or signals the workflows of webhooks.
	Wake func(ctx context.Context, keys []provision.WebhookKey) error
}

// WakeDue wakes the webhooks that have something to send now, of one provider or, for "", of all, and returns how many.
func (w Webhooks) WakeDue(ctx context.Context, provider string) (int, error) {
	due, err := w.Deliveries.DueWebhooks(ctx, provider)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	return len(due), w.Wake(ctx, due)
}

// Delivery names a delivery of a webhook.
type Delivery struct {
	Webhook provision.WebhookKey `json:"webhook"`
	ID      string               `json:"id"`
}

// Sent is what became of an attempt.
type Sent struct {
	StatusCode int  `json:"status_code,omitempty"` // 0: there was no answer, or nothing was to be sent
	Delivered  bool `json:"delivered"`
}

// WakeWebhooks wakes every webhook that has something to send now, and returns how many.
func (a *Activities) WakeWebhooks(ctx context.Context) (int, error) {
	n, err := a.Webhooks.WakeDue(ctx, "")
	return n, conclude(ctx, err, "")
}

// NextDelivery is what a webhook has to send next.
func (a *Activities) NextDelivery(ctx context.Context, key provision.WebhookKey) (provision.NextDelivery, error) {
	next, err := a.Webhooks.Deliveries.Next(ctx, key)
	return next, conclude(ctx, err, "")
}

// Deliver makes one attempt and keeps what became of it. An attempt whose record was lost is made again: the receiver knows it by its
// id. When nothing is to be sent any more, it does nothing.
func (a *Activities) Deliver(ctx context.Context, d Delivery) (Sent, error) {
	sent, err := a.deliver(ctx, d)
	if errors.Is(err, provision.ErrNotFound) || errors.Is(err, provision.ErrConflict) {
		return sent, nil // it was deleted or disabled meanwhile, or an attempt before this one had sent it
	}
	return sent, conclude(ctx, err, "")
}

func (a *Activities) deliver(ctx context.Context, d Delivery) (Sent, error) {
	sending, err := a.Webhooks.Deliveries.Sending(ctx, d.Webhook, d.ID)
	if err != nil {
		return Sent{}, err
	}
	owner := d.Webhook
	if sending.Webhook.Kind == provision.WebhookCallback {
		owner.ID = provision.WebhookCallbacks
	}
	texts := make([]string, len(sending.Sealed))
	for i, sealed := range sending.Sealed {
		text, err := a.Sealer.Open(sealed, provision.WebhookSecretPurpose(owner))
		if err != nil {
			return Sent{}, err
		}
		texts[i] = string(text)
	}
	outcome, err := a.Webhooks.Sender.Send(ctx, sending, texts)
	if err != nil {
		return Sent{}, err
	}
	sent := Sent{StatusCode: outcome.StatusCode, Delivered: outcome.Error == ""}
	return sent, a.Webhooks.Deliveries.RecordAttempt(ctx, d.Webhook, d.ID, outcome)
}

// purgeBatch is how much is forgotten in one statement.
const purgeBatch = 1000

// PurgeEvents forgets some of the events and deliveries that are too old, and tells whether there may be more.
func (a *Activities) PurgeEvents(ctx context.Context) (bool, error) {
	more, err := a.Webhooks.Events.Purge(ctx, purgeBatch)
	return more, conclude(ctx, err, "")
}
