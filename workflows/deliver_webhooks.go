package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// Names of the workflows of webhooks in Temporal.
const (
	DeliverWebhooksName = "DeliverWebhooks"
	SweepWebhooksName   = "SweepWebhooks"
)

// SignalDeliver tells the workflow of a webhook to look what there is to send. It carries nothing: the rows in the database are the truth.
const SignalDeliver = "deliver"

// WebhookWorkflowID is the id of the workflow of a webhook: one webhook, one workflow, one message at a time.
func WebhookWorkflowID(key provision.WebhookKey) string { return "webhook/" + key.String() }

// DeliverWebhooks sends a webhook its events, one after the other in their order, and ends when there is none. An event that
// is not taken blocks those behind it until it is, or until its last attempt has failed.
func DeliverWebhooks(ctx workflow.Context, key provision.WebhookKey) error {
	wake := workflow.GetSignalChannel(ctx, SignalDeliver)
	for {
		for wake.ReceiveAsync(nil) {
		}
		next, err := callDatabase(ctx, "Find what to send", acts.NextDelivery, key)
		switch {
		case err != nil:
			return err
		case next.ID == "" && wake.Len() == 0:
			return nil
		case next.ID == "": // it was woken meanwhile
		case next.Wait > 0:
			err = waitOrSignal(ctx, next.Wait, "Next attempt", wake)
		default:
			_, err = call(ctx, delivering, "Deliver "+next.ID, acts.Deliver, activities.Delivery{Webhook: key, ID: next.ID})
		}
		if err != nil {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() { // a signal that comes now is lost, and not needed: the new run looks at once
			return workflow.NewContinueAsNewError(ctx, DeliverWebhooks, key)
		}
	}
}

// mostPurges bounds how long one sweep forgets; the next one goes on.
const mostPurges = 20

// SweepWebhooks wakes the webhooks that have something to send, should nobody else have, and forgets what is too old.
func SweepWebhooks(ctx workflow.Context) error {
	if _, err := ask(ctx, sweeping, "Wake webhooks", acts.WakeWebhooks); err != nil {
		return err
	}
	for range mostPurges {
		more, err := ask(ctx, sweeping, "Forget old events and deliveries", acts.PurgeEvents)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

const (
	sweepWebhooksID     = "webhooks"
	sweepWebhooksEvery  = time.Minute
	sweepWebhooksJitter = 10 * time.Second
)

func webhooksSchedule() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID:            sweepWebhooksID,
		Spec:          client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: sweepWebhooksEvery}}, Jitter: sweepWebhooksJitter},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute,
		Action: &client.ScheduleWorkflowAction{
			ID:            sweepWebhooksID,
			Workflow:      SweepWebhooksName,
			TaskQueue:     TaskQueue,
			StaticSummary: "Wakes webhooks that have something to send, and forgets old events",
		},
	}
}
