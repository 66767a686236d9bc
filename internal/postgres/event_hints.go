package postgres

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lib/pq"
)

// Channel of the notifications that events cause; their payload is the provider.
const eventsChannel = "quartermaster_events"

// listenTimes bound what the listening connection may do.
type listenTimes struct {
	ping                     time.Duration // how often it asks for a sign of life
	silence                  time.Duration // how long nothing may arrive until it is taken for dead
	firstRetry, longestRetry time.Duration
}

var usualListenTimes = listenTimes{ping: 30 * time.Second, silence: 45 * time.Second, firstRetry: time.Second, longestRetry: time.Minute}

// EventHints tells subscribers that a provider may have new events. It is a hint only: notifications are lost while the connection
// is down, so every subscriber looks by itself from time to time.
type EventHints struct {
	mu          sync.Mutex
	subscribers map[chan string]string
}

// ListenEvents listens until the context ends, on a connection of its own, and connects again when that is lost or silent. Behind a
// pooler the URL must be a direct one.
func ListenEvents(ctx context.Context, databaseURL string, log *slog.Logger) *EventHints {
	return listenEvents(ctx, databaseURL, log, usualListenTimes)
}

func listenEvents(ctx context.Context, databaseURL string, log *slog.Logger, times listenTimes) *EventHints {
	hints := &EventHints{subscribers: map[chan string]string{}}
	dialer := &attentiveDialer{net.Dialer{Timeout: connectLimit}, times.silence}
	listener := pq.NewDialListener(dialer, databaseURL, times.firstRetry, times.longestRetry, func(event pq.ListenerEventType, err error) {
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "listening for events: until it works again they are noticed by polling", "event", int(event), "error", err)
		}
	})
	go func() {
		<-ctx.Done()
		_ = listener.Close()
	}()
	go hints.run(ctx, listener, times.ping)
	return hints
}

func (h *EventHints) run(ctx context.Context, listener *pq.Listener, every time.Duration) {
	if err := listener.Listen(eventsChannel); err != nil { // waits for the connection; it is closed when the context ends
		return
	}
	ping := time.NewTicker(every)
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
			_ = listener.Ping() // its error does not matter: a connection without an answer is silent, and ends
		}
	}
}

// attentiveDialer dials connections that end when nothing arrives for long.
type attentiveDialer struct {
	net.Dialer
	silence time.Duration
}

// DialTimeout is never called: there is DialContext.
func (d *attentiveDialer) DialTimeout(network, address string, _ time.Duration) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext dials.
func (d *attentiveDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return attentive{c, d.silence}, nil
}

type attentive struct {
	net.Conn
	silence time.Duration
}

// Read reads what arrives in time.
func (c attentive) Read(into []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(into)
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
