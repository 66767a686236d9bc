package postgres

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lib/pq"
)

// eventsChannel is the channel on which the database notifies about events. The payload is the provider.
const eventsChannel = "quartermaster_events"

// listenTimes are the intervals of the listening connection.
type listenTimes struct {
	ping                     time.Duration // how often it pings the server
	silence                  time.Duration // how long nothing may arrive before the connection counts as dead
	firstRetry, longestRetry time.Duration
}

var usualListenTimes = listenTimes{ping: 30 * time.Second, silence: 45 * time.Second, firstRetry: time.Second, longestRetry: time.Minute}

// EventHints notifies subscribers that a provider may have new events. Notifications are lost while the connection
// is down, so every subscriber must also poll.
type EventHints struct {
	mu          sync.Mutex
	subscribers map[chan string]string
}

// ListenEvents listens until the context ends, on a connection of its own. It connects again when that connection
// is lost or silent. If the database is behind a pooler, the URL must be a direct one.
func ListenEvents(ctx context.Context, databaseURL string, log *slog.Logger) *EventHints {
	return listenEvents(ctx, databaseURL, log, usualListenTimes)
}

func listenEvents(ctx context.Context, databaseURL string, log *slog.Logger, times listenTimes) *EventHints {
	hints := &EventHints{subscribers: map[chan string]string{}}
	dialer := &attentiveDialer{net.Dialer{Timeout: connectLimit}, times.silence}
	listener := pq.NewDialListener(dialer, databaseURL, times.firstRetry, times.longestRetry, func(event pq.ListenerEventType, err error) {
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "listening for events: until the connection works again, new events are found by polling",
				"event", int(event), "error", err)
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
			if n == nil { // the connection was lost and is back: any event may be new
				h.notify("")
			} else {
				h.notify(n.Extra)
			}
		case <-ping.C:
			_ = listener.Ping() // its error does not matter: a connection without an answer is silent, and ends
		}
	}
}

// attentiveDialer dials connections that end when nothing arrives for the given time.
type attentiveDialer struct {
	net.Dialer
	silence time.Duration
}

// DialTimeout is never called, because the dialer has DialContext.
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

func (h *EventHints) notify(provider string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for subscriber, wanted := range h.subscribers {
		if provider != "" && wanted != "" && wanted != provider {
			continue
		}
		select {
		case subscriber <- provider:
		default: // the subscriber has not received the last hint yet
		}
	}
}

// Subscribe returns a channel that receives the provider that may have new events; an empty string means any
// provider. Hints that arrive faster than they are received are dropped. provider selects the hints; an empty
// string selects all of them.
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
