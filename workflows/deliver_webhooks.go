package workflows

import (
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// DeliverWebhooks sends a webhook its events, one after the other and in order, and ends when there are none left. An event that the
// receiver does not accept blocks those behind it until it is accepted, or until its last attempt has failed.
func DeliverWebhooks(ctx workflow.Context, key provision.WebhookKey) error {
	deliver := workflow.GetSignalChannel(ctx, SignalDeliver)
	for {
		for deliver.ReceiveAsync(nil) {
		}
		next, err := callDatabase(ctx, "Find the next message", acts.NextDelivery, key)
		switch {
		case err != nil:
			return err
		case next.ID == "" && deliver.Len() == 0:
			return nil
		case next.ID == "": // a signal arrived since the look: look again
		case next.Wait > 0:
			err = waitOrSignal(ctx, next.Wait, "Next attempt", deliver)
		default:
			_, err = call(ctx, delivering, "Deliver "+next.ID, acts.Deliver, activities.Delivery{Webhook: key, ID: next.ID})
		}
		if err != nil {
			return err
		}
		// A signal that arrives at this moment is lost and not needed: the new run begins with a look.
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, DeliverWebhooks, key)
		}
	}
}

// maxPurges is how many batches of old events one sweep deletes at most. The next sweep goes on.
const maxPurges = 20

// SweepWebhooks wakes the webhooks that have something to send, in case their signal was lost, and deletes old events and deliveries.
func SweepWebhooks(ctx workflow.Context) error {
	if _, err := callWithoutInput(ctx, sweeping, "Wake webhooks", acts.WakeWebhooks); err != nil {
		return err
	}
	for range maxPurges {
		more, err := callWithoutInput(ctx, sweeping, "Delete old events and deliveries", acts.PurgeEvents)
		if err != nil || !more {
			return err
		}
	}
	return nil
}
