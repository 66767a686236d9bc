package postgres

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lib/pq"
)

// Channel of the notifications that events cause; their payload is the provider.
const eventsChannel = "quartermaster_events"

const (
	listenRetryFirst   = time.Second
	listenRetryLongest = time.Minute
	listenPing         = 90 * time.Second // a dead connection is noticed at the latest then
)

// EventHints tells subscribers that a provider may have new events. It is a hint only: notifications are lost while the connection
// is down, so every subscriber looks by itself from time to time.
type EventHints struct {
	mu          sync.Mutex
	subscribers map[chan string]string
}

// ListenEvents listens until the context ends, on a connection of its own. Behind a pooler the URL must be a direct one.
func ListenEvents(ctx context.Context, databaseURL string, log *slog.Logger) *EventHints {
	hints := &EventHints{subscribers: map[chan string]string{}}
	listener := pq.NewListener(databaseURL, listenRetryFirst, listenRetryLongest, func(event pq.ListenerEventType, err error) {
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "listening for events: until it works again they are noticed by polling", "event", int(event), "error", err)
		}
	})
	go func() {
		<-ctx.Done()
		_ = listener.Close()
	}()
	go hints.run(ctx, listener)
	return hints
}

func (h *EventHints) run(ctx context.Context, listener *pq.Listener) {
	if err := listener.Listen(eventsChannel); err != nil { // waits for the connection; it is closed when the context ends
		return
	}
	ping := time.NewTicker(listenPing)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-listener.Notify:
			if n == nil { // the connection was lost and is back: anything may have happened
				h.tell("")
			} else {
				h.tell(n.Extra)
			}
		case <-ping.C:
			_ = listener.Ping() // an error makes it connect again
		}
	}
}

func (h *EventHints) tell(provider string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for subscriber, wanted := range h.subscribers {
		if provider != "" && wanted != "" && wanted != provider {
			continue
		}
		select {
		case subscriber <- provider:
		default: // it has not looked yet since the last one
		}
	}
}

// Subscribe returns a channel that gets a provider when it may have new events, "" for any; hints that come faster than they are taken are
// dropped. provider selects; "" is all of them.
func (h *EventHints) Subscribe(provider string) (hints <-chan string, cancel func()) {
	size := 1
	if provider == "" {
		size = 256
	}
	subscriber := make(chan string, size)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subscribers[subscriber] = provider
	return subscriber, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subscribers, subscriber)
	}
}
