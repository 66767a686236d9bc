package activities

import (
	"context"
	"errors"

	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// Webhooks holds the dependencies of the activities of this file.
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

// Sent is the result of Deliver.
type Sent struct {
	StatusCode int  `json:"status_code,omitempty"` // 0 when there was no answer, or nothing to send
	Delivered  bool `json:"delivered"`
}

// WakeWebhooks wakes every webhook that has something to send now, and returns how many.
func (a *Activities) WakeWebhooks(ctx context.Context) (int, error) {
	n, err := a.Webhooks.WakeDue(ctx, "")
	return n, conclude(ctx, err, "")
}

// NextDelivery returns the delivery that a webhook must send next.
func (a *Activities) NextDelivery(ctx context.Context, key provision.WebhookKey) (provision.NextDelivery, error) {
	next, err := a.Webhooks.Deliveries.Next(ctx, key)
	return next, conclude(ctx, err, "")
}

// Deliver makes one attempt to deliver and records its outcome. If the outcome cannot be recorded, the attempt is repeated; the receiver
// recognizes the repeat by the delivery's id. Deliver does nothing when there is nothing to send any more.
func (a *Activities) Deliver(ctx context.Context, d Delivery) (Sent, error) {
	sent, err := a.deliver(ctx, d)
	if errors.Is(err, provision.ErrNotFound) || errors.Is(err, provision.ErrConflict) {
		return sent, nil // the webhook was deleted or disabled, or an earlier attempt has delivered it
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

// purgeBatch is how many events and how many deliveries one call deletes.
const purgeBatch = 1000

// PurgeEvents deletes a batch of the events and deliveries that are too old. It returns whether there may be more.
func (a *Activities) PurgeEvents(ctx context.Context) (bool, error) {
	more, err := a.Webhooks.Events.Purge(ctx, purgeBatch)
	return more, conclude(ctx, err, "")
}
