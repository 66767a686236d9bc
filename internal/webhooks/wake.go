package webhooks

import (
	"context"
	"log/slog"
	"time"
)

const (
	gatherHints = 300 * time.Millisecond // events come in bursts: one wake-up serves all of them
	wakeTimeout = 20 * time.Second
)

// WakeOnHints wakes the webhooks of each provider that the hints name, shortly after its events were committed, until ctx
// ends. The regular sweep finds the same webhooks later, so an error is only logged.
func WakeOnHints(ctx context.Context, hints <-chan string, wake func(ctx context.Context, provider string) error, log *slog.Logger) {
	for {
		providers := map[string]bool{}
		select {
		case <-ctx.Done():
			return
		case provider := <-hints:
			providers[provider] = true
		}
		for more := time.After(gatherHints); more != nil; {
			select {
			case <-ctx.Done():
				return
			case provider := <-hints:
				providers[provider] = true
			case <-more:
				more = nil
			}
		}
		for provider := range providers {
			if err := wakeInTime(ctx, provider, wake); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "webhooks were not woken; the next sweep wakes them", "provider", provider, "error", err)
			}
		}
	}
}

func wakeInTime(ctx context.Context, provider string, wake func(ctx context.Context, provider string) error) error {
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	return wake(ctx, provider)
}
