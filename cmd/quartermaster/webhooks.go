package main

import (
	"math/rand/v2"
	"time"

	"quartermaster/api/resource"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// webhookOptions say where webhooks may go. API and worker need the same: the API refuses other URLs, and the worker refuses
// other addresses.
type webhookOptions struct {
	WebhookPorts []int `help:"Ports on which webhooks may be delivered." env:"QM_WEBHOOK_PORTS" default:"443" placeholder:"PORT"`
}

// policy allows receivers on this machine only where AWS is simulated.
func (o webhookOptions) policy(simulated bool) webhooks.Policy {
	return webhooks.Policy{Ports: o.WebhookPorts, Loopback: simulated}
}

// deliveryOptions say when failed deliveries are repeated.
type deliveryOptions struct {
	WebhookRetries []time.Duration `help:"Waits before the second and every further attempt of a delivery. Unset: 5s,5m,30m,2h,5h,10h,14h,20h,24h." env:"QM_WEBHOOK_RETRIES" placeholder:"DURATION"`
}

func (o deliveryOptions) sender(policy webhooks.Policy) *webhooks.Sender {
	schedule := o.WebhookRetries
	if len(schedule) == 0 {
		schedule = provision.WebhookSchedule()
	}
	return webhooks.NewSender(policy, schedule, rand.Float64)
}

type webhooksCommand struct {
	List listWebhooksCommand `cmd:"" help:"List the webhooks of a provider. Their secrets are not shown."`
}

type listWebhooksCommand struct {
	databaseOptions
	Provider string `help:"Provider id." required:""`
	JSON     bool   `help:"Print one JSON object a line, as the API returns it."`
}

// Run prints the webhooks, oldest first.
func (c *listWebhooksCommand) Run(e *env, db *postgres.DB) error {
	return list[provision.Webhook]{
		read: func(last *provision.Webhook) ([]provision.Webhook, error) {
			var after *provision.WebhookCursor
			if last != nil {
				after = &provision.WebhookCursor{CreatedAt: last.CreatedAt, ID: last.ID}
			}
			return db.Webhooks.List(e.ctx, c.Provider, after, pageSize)
		},
		headings: []string{"WEBHOOK", "KIND", "URL", "ENABLED", "FAILING SINCE", "CREATED"},
		cells: func(w provision.Webhook) []any {
			return []any{w.ID, w.Kind, w.URL, w.Enabled, timeOr(w.FailingSince, "-"), timeOr(&w.CreatedAt, "")}
		},
		json: func(w provision.Webhook) any { return resource.Webhook(w) },
	}.write(e, c.JSON)
}
