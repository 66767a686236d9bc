package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/httpserver"
	"quartermaster/internal/provision"
)

// Times and limits of streams.
const (
	streamsPerKey   = 8
	streamPage      = 100
	streamPoll      = 2 * time.Second  // how often to read without a hint
	streamHeartbeat = 15 * time.Second // also how often the key is checked again
	streamWrite     = 10 * time.Second // a slower reader is disconnected
	streamLifetime  = time.Hour        // then the reader reconnects
	streamRetry     = 2 * time.Second  // what a reader waits before it does
)

// streamCounter limits the open streams of each key.
type streamCounter struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *streamCounter) open(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key] >= streamsPerKey {
		return false
	}
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[key]++
	return true
}

func (c *streamCounter) close(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key]--; c.counts[key] == 0 {
		delete(c.counts, key)
	}
}

// StreamEvents answers GET /v1/events/stream. It refuses what can be refused before the first byte is written.
func (s *service) StreamEvents(ctx context.Context, in server.StreamEventsRequestObject) (server.StreamEventsResponseObject, error) {
	who := callerOf(ctx)
	stream := &eventStream{service: s, ctx: ctx, who: who, filter: eventFilter(ctx, in.Params.OrderID, in.Params.Type, 0, streamPage)}
	if value(in.Params.LastEventID) == "" { // browsers send an empty header before the first event
		in.Params.LastEventID = nil
	}
	last, err := decodeCursor(in.Params.LastEventID, plausiblePosition)
	if err != nil {
		return nil, invalidParameters(openapi.FieldProblem{In: "header", Field: resource.Optional("Last-Event-ID"),
			Message: "not an id of this stream: send the last one unchanged, or leave the header out to start now"})
	}
	first, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if last != nil {
		stream.filter.After = last.Seq
		stream.next, stream.upTo, err = s.Events.List(first, who.Tenant, stream.filter)
	} else {
		stream.upTo, err = s.Events.Now(first)
	}
	if err != nil {
		return nil, eventsProblem(err)
	}
	stream.began = stream.upTo
	if last != nil {
		stream.began = last.Seq
	}
	if !s.streams.open(who.KeyID) {
		return nil, problem(codeTooManyRequests, "this key has %d streams open: close one of them", streamsPerKey)
	}
	return stream, nil
}

// eventStream is the answer of StreamEvents.
type eventStream struct {
	service *service
	ctx     context.Context // of the request, during which the answer is written
	who     caller
	filter  provision.EventFilter
	began   int64             // the position after which it starts
	next    []provision.Event // events that are already read
	upTo    int64             // the position up to which events are read
}

// VisitStreamEventsResponse writes the stream until it ends. Each write has its own deadline, and the next events are read only
// after the previous ones were written, so a slow reader costs no memory and loses its connection.
func (st *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	s := st.service
	defer s.streams.close(st.who.KeyID)
	hints := make(<-chan string)
	if s.EventHints != nil {
		subscribed, cancel := s.EventHints.Subscribe(st.who.Provider)
		defer cancel()
		hints = subscribed
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the server's read deadline would end the stream; an error means that there is none
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not buffer the stream
	w.WriteHeader(http.StatusOK)
	if wantsNoBody(st.ctx) {
		return nil
	}
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(streamWrite))
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	if !send(fmt.Sprintf("retry: %d\nid: %s\n\n", streamRetry.Milliseconds(), *encodeCursor(streamPosition{st.began}))) {
		return nil // the reader has disconnected
	}
	lifetime, poll, heartbeat := time.NewTimer(s.StreamLifetime), time.NewTicker(streamPoll), time.NewTicker(streamHeartbeat)
	defer lifetime.Stop()
	defer poll.Stop()
	defer heartbeat.Stop()
	for {
		for _, e := range st.next {
			text, err := frame(e)
			if err != nil || !send(text) {
				return nil // the status is written, so the reader can no longer be told
			}
		}
		more := len(st.next) == st.filter.Limit
		st.next, st.filter.After = nil, st.upTo
		if st.over(lifetime.C) {
			return nil
		}
		if !more {
			select {
			case <-st.ctx.Done():
				return nil
			case <-httpserver.Stopping(st.ctx):
				return nil
			case <-lifetime.C:
				return nil
			case <-heartbeat.C:
				// A heartbeat carries the position, so that a reader of few events keeps up with the events that are kept.
				if !st.keyIsValid() || !send(fmt.Sprintf(": \nid: %s\n\n", *encodeCursor(streamPosition{st.upTo}))) {
					return nil
				}
				continue
			case <-hints:
			case <-poll.C:
			}
		}
		if !st.read() {
			return nil
		}
	}
}

// over reports whether the stream ends now, although there may be more events.
func (st *eventStream) over(lifetime <-chan time.Time) bool {
	select {
	case <-st.ctx.Done():
	case <-httpserver.Stopping(st.ctx):
	case <-lifetime:
	default:
		return false
	}
	return true
}

// read reads the next events; false ends the stream. An unreachable database does not end it.
func (st *eventStream) read() bool {
	ctx, cancel := context.WithTimeout(st.ctx, requestTimeout)
	defer cancel()
	events, upTo, err := st.service.Events.List(ctx, st.who.Tenant, st.filter)
	switch {
	case err == nil:
		st.next, st.upTo = events, upTo
	case errors.Is(err, provision.ErrGone), st.ctx.Err() != nil:
		return false // the reader reconnects and gets the error
	default:
		st.service.Log.WarnContext(ctx, "could not read the events of a stream; it tries again", "provider", st.who.Provider, "error", err)
	}
	return true
}

// keyIsValid checks the key again, so that a stream ends soon after its key is revoked or expires. An unreachable database does
// not end a stream.
func (st *eventStream) keyIsValid() bool {
	ctx, cancel := context.WithTimeout(st.ctx, requestTimeout)
	defer cancel()
	keys, err := st.service.APIKeys.Find(ctx, st.who.KeyID)
	return err != nil || len(keys) == 1 && keys[0].Live(st.service.Now())
}

// frame returns an event in the format of the stream. Its JSON has no line breaks, so one data line is enough.
func frame(e provision.Event) (string, error) {
	body, err := e.Body()
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", *encodeCursor(streamPosition{e.Seq}), e.Type, body), err
}

// streamPath is the only route without a deadline.
const streamPath = "/v1/events/stream"
