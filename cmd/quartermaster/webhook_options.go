package main

import (
	"math/rand/v2"
	"time"

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
