package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
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
		stream.began, stream.upTo = last.Seq, last.Seq
		stream.next, err = stream.read(first)
	} else {
		stream.upTo, err = s.Events.Now(first)
		stream.began = stream.upTo
	}
	if err != nil {
		return nil, eventsProblem(err)
	}
	if !s.streams.open(who.ID) {
		return nil, problem(codeTooManyRequests, "you have %d streams open: close one of them", streamsPerKey)
	}
	return stream, nil
}

// eventStream is the answer of StreamEvents.
type eventStream struct {
	service *service
	ctx     context.Context // of the request, during which the answer is written
	who     caller
	filter  provision.EventFilter
	began   int64         // the position after which it starts
	upTo    int64         // the position up to which events are read
	next    []feedEvent   // events that are already read
	behind  bool          // there are more to read
	feed    *subscription // nil: the stream has not caught up yet
	retry   <-chan time.Time
}

// VisitStreamEventsResponse writes the stream until it ends. It reads the events up to now by itself, and takes those that follow from
// the feed of the provider. Each write has its own deadline, so a slow reader loses its connection.
func (st *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	s := st.service
	defer s.streams.close(st.who.ID)
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
	lifetime, heartbeat := time.NewTimer(s.StreamLifetime), time.NewTicker(streamHeartbeat)
	defer lifetime.Stop()
	defer heartbeat.Stop()
	defer func() {
		if st.feed != nil {
			st.feed.close()
		}
	}()
	for {
		events, err := st.following()
		if err != nil || !st.sendAll(events, send) || st.over(lifetime.C) {
			return nil // the status is written, so the reader can no longer be told
		}
		if st.behind && st.retry == nil {
			continue
		}
		var ready <-chan struct{}
		if st.feed != nil {
			ready = st.feed.ready
		}
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
		case <-ready:
		case <-st.retry:
		}
	}
}

func (st *eventStream) sendAll(events []feedEvent, send func(string) bool) bool {
	for _, e := range events {
		if !send(e.text) {
			return false
		}
	}
	return true
}

// following returns the events that follow. The stream reads them from the database while it is behind, and then takes them from the
// feed of its provider. An error ends the stream. An unreachable database does not.
func (st *eventStream) following() (events []feedEvent, err error) {
	if st.retry = nil; st.next != nil {
		events, st.next = st.next, nil
		return events, nil
	}
	if st.feed == nil && !st.behind {
		st.feed = st.service.feeds.subscribe(st.who.Tenant, st.filter, st.upTo)
	}
	if st.feed != nil {
		switch now := st.feed.take(); {
		case now.over:
			return nil, provision.ErrGone
		case now.lapsed:
			st.behind = true
		case !st.behind:
			events = slices.DeleteFunc(now.events, func(e feedEvent) bool { return e.seq <= st.upTo })
			st.upTo = max(st.upTo, now.upTo)
			return events, nil
		}
	}
	ctx, cancel := context.WithTimeout(st.ctx, requestTimeout)
	defer cancel()
	events, err = st.read(ctx)
	if err == nil || errors.Is(err, provision.ErrGone) || st.ctx.Err() != nil {
		return events, err // the reader reconnects and gets the error
	}
	st.service.Log.WarnContext(ctx, "could not read the events of a stream; it tries again", "provider", st.who.Provider, "error", err)
	st.retry = time.After(streamPoll)
	return nil, nil
}

// read reads the next page of events.
func (st *eventStream) read(ctx context.Context) ([]feedEvent, error) {
	st.filter.After = st.upTo
	events, upTo, err := st.service.Events.List(ctx, st.who.Tenant, st.filter)
	if err != nil {
		return nil, err
	}
	st.upTo, st.behind = upTo, len(events) == st.filter.Limit
	return frames(events)
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

// keyIsValid checks the key again, so that a stream ends soon after its key is revoked or expires. An unreachable database does
// not end a stream. The console ends the streams of people with their sessions.
func (st *eventStream) keyIsValid() bool {
	if st.who.KeyID == "" {
		return true
	}
	ctx, cancel := context.WithTimeout(st.ctx, requestTimeout)
	defer cancel()
	keys, err := st.service.APIKeys.Find(ctx, st.who.KeyID)
	return err != nil || len(keys) == 1 && keys[0].Live(st.service.Now())
}

// frames returns events in the format of the stream. Their JSON has no line breaks, so one data line each is enough.
func frames(events []provision.Event) ([]feedEvent, error) {
	texts := make([]feedEvent, len(events))
	for i, e := range events {
		body, err := e.Body()
		if err != nil {
			return nil, err
		}
		texts[i] = feedEvent{e.Seq, fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", *encodeCursor(streamPosition{e.Seq}), e.Type, body)}
	}
	return texts, nil
}

// streamPath is the only route without a deadline.
const streamPath = "/v1/events/stream"
