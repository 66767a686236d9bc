package main

import (
	"context"
	"math/rand/v2"
	"time"

	"quartermaster/activities"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// webhookOptions say where webhooks may go. They are the same for the API, which refuses other URLs, and the worker, which refuses other addresses.
type webhookOptions struct {
	WebhookPorts []int `help:"Ports of receivers that webhooks may go to." env:"QM_WEBHOOK_PORTS" default:"443" placeholder:"PORT"`
}

// policy allows receivers on this machine only where AWS is simulated.
func (o webhookOptions) policy(simulated bool) webhooks.Policy {
	return webhooks.Policy{Ports: o.WebhookPorts, Loopback: simulated}
}

// deliveryOptions say how deliveries are tried again.
type deliveryOptions struct {
	WebhookRetries []time.Duration `help:"Waits before the attempts after the first one, since the one before. Unset: 5s,5m,30m,2h,5h,10h,14h,20h,24h." env:"QM_WEBHOOK_RETRIES" placeholder:"DURATION"`
}

func (o deliveryOptions) sender(policy webhooks.Policy) *webhooks.Sender {
	schedule := o.WebhookRetries
	if len(schedule) == 0 {
		schedule = provision.WebhookSchedule()
	}
	return webhooks.NewSender(policy, schedule, rand.Float64)
}

// gather is how long hints are collected before they are acted on: many events come together.
const gather = 300 * time.Millisecond

// wakeOnEvents wakes webhooks as soon as something has happened, until the context ends. It only saves the wait for the sweep, so an error is
// logged and nothing more.
func wakeOnEvents(e *env, hints *postgres.EventHints, w activities.Webhooks) {
	told, cancel := hints.Subscribe("")
	defer cancel()
	for {
		providers := map[string]bool{}
		select {
		case <-e.ctx.Done():
			return
		case provider := <-told:
			providers[provider] = true
		}
		for more := time.After(gather); more != nil; {
			select {
			case <-e.ctx.Done():
				return
			case provider := <-told:
				providers[provider] = true
			case <-more:
				more = nil
			}
		}
		for provider := range providers {
			ctx, done := context.WithTimeout(e.ctx, 20*time.Second)
			if _, err := w.WakeDue(ctx, provider); err != nil && e.ctx.Err() == nil {
				e.log.WarnContext(ctx, "webhooks were not woken; the next sweep does so", "error", err)
			}
			done()
		}
	}
}
