package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/httpserver"
	"quartermaster/internal/provision"
)

// EventHints tells that a provider may have new events. It is only a hint.
type EventHints interface {
	Subscribe(provider string) (hints <-chan string, cancel func())
}

// streamPosition is a place in the events of a provider.
type streamPosition struct {
	Seq int64 `json:"e"`
}

func plausiblePosition(p streamPosition) bool { return p.Seq >= 0 }

// seesOnlyOrders tells whether a caller may see events of orders and no others.
func seesOnlyOrders(who caller) bool { return !who.May(provision.ScopeStockRead) }

func eventFilter(ctx context.Context, orderID, eventType *string, after int64, limit int) provision.EventFilter {
	return provision.EventFilter{After: after, OrderID: value(orderID), Type: value(eventType), OrdersOnly: seesOnlyOrders(callerOf(ctx)), Limit: limit}
}

// eventsProblem is what the caller is told when he cannot go on where he was.
func eventsProblem(err error) error {
	if errors.Is(err, provision.ErrGone) {
		return problem(codeEventsGone, "events behind that place are not kept any more, or there never was such a place: read the orders themselves, then go on without it").because(err)
	}
	return err
}

// ListEvents answers GET /v1/events.
func (s *service) ListEvents(ctx context.Context, in server.ListEventsRequestObject) (server.ListEventsResponseObject, error) {
	after, err := decodeCursor(in.Params.Cursor, plausiblePosition)
	if err != nil {
		return nil, err
	}
	events, upTo, err := s.Events.List(ctx, callerOf(ctx).Provider, eventFilter(ctx, in.Params.OrderID, in.Params.Type, value(after).Seq, pageSize(in.Params.Limit)))
	if err != nil {
		return nil, eventsProblem(err)
	}
	answer := server.ListEvents200JSONResponse{Items: make([]openapi.Event, len(events)), NextCursor: *encodeCursor(streamPosition{upTo})}
	for i, e := range events {
		answer.Items[i] = openapi.Event{ID: e.ID, Type: e.Type, Timestamp: e.At.UTC()}
		if err := json.Unmarshal(e.Data, &answer.Items[i].Data); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	return answer, nil
}

// Times and bounds of streams.
const (
	streamsPerKey   = 8
	streamPage      = 100
	streamPoll      = 2 * time.Second  // without a hint
	streamHeartbeat = 15 * time.Second // and how often the key is looked at again
	streamWrite     = 10 * time.Second // a reader that takes longer is disconnected
	streamLifetime  = time.Hour        // then the reader reconnects
	streamRetry     = 2 * time.Second  // what a reader waits before it does
)

// streamCounter bounds the streams of each key.
type streamCounter struct {
	mu   sync.Mutex
	open map[string]int
}

func (c *streamCounter) enter(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key] >= streamsPerKey {
		return false
	}
	if c.open == nil {
		c.open = map[string]int{}
	}
	c.open[key]++
	return true
}

func (c *streamCounter) leave(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key]--; c.open[key] == 0 {
		delete(c.open, key)
	}
}

// StreamEvents answers GET /v1/events/stream: what can be refused is refused here, before the first byte.
func (s *service) StreamEvents(ctx context.Context, in server.StreamEventsRequestObject) (server.StreamEventsResponseObject, error) {
	who := callerOf(ctx)
	stream := &eventStream{service: s, ctx: ctx, who: who, filter: eventFilter(ctx, in.Params.OrderID, in.Params.Type, 0, streamPage)}
	last, err := decodeCursor(in.Params.LastEventID, plausiblePosition)
	if err != nil {
		return nil, invalidParameters(openapi.FieldProblem{In: "header", Field: optional("Last-Event-ID"), Message: "not an id of this stream: send the last one as you got it, or leave the header out to begin now"})
	}
	first, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if last != nil {
		stream.filter.After = last.Seq
		stream.next, stream.upTo, err = s.Events.List(first, who.Provider, stream.filter)
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
	if !s.streams.enter(who.KeyID) {
		return nil, problem(codeTooManyRequests, "this key has %d streams open: close one of them", streamsPerKey)
	}
	return stream, nil
}

// eventStream is the answer of StreamEvents.
type eventStream struct {
	service *service
	ctx     context.Context // of the request, which the answer is written in
	who     caller
	filter  provision.EventFilter
	began   int64             // the place that it begins behind
	next    []provision.Event // that were read already
	upTo    int64             // how far that read
}

// VisitStreamEventsResponse writes the stream until somebody ends it. Each write has a deadline of its own, and the next events are read only when
// the last ones were taken, so a slow reader costs neither memory nor a connection for ever.
func (st *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	s := st.service
	defer s.streams.leave(st.who.KeyID)
	hints := make(<-chan string)
	if s.EventHints != nil {
		subscribed, cancel := s.EventHints.Subscribe(st.who.Provider)
		defer cancel()
		hints = subscribed
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the server's deadline for reading the request would end the stream; where there is none, none has to be lifted
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies pass it on at once
	w.WriteHeader(http.StatusOK)
	send := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(streamWrite))
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	if !send(fmt.Sprintf("retry: %d\nid: %s\n\n", streamRetry.Milliseconds(), *encodeCursor(streamPosition{st.began}))) {
		return nil // the reader is gone
	}
	lifetime, poll, heartbeat := time.NewTimer(s.StreamLifetime), time.NewTicker(streamPoll), time.NewTicker(streamHeartbeat)
	defer lifetime.Stop()
	defer poll.Stop()
	defer heartbeat.Stop()
	for {
		for _, e := range st.next {
			text, err := frame(e)
			if err != nil || !send(text) {
				return nil // the status is written, nothing can be told any more
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
				// The place goes with it, so that who sees few events does not fall behind what is kept.
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

// over tells whether the stream is to end now, although there may be more to tell.
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

// read reads the next events; false ends the stream. While the database is away it goes on without.
func (st *eventStream) read() bool {
	ctx, cancel := context.WithTimeout(st.ctx, requestTimeout)
	defer cancel()
	events, upTo, err := st.service.Events.List(ctx, st.who.Provider, st.filter)
	switch {
	case err == nil:
		st.next, st.upTo = events, upTo
	case errors.Is(err, provision.ErrGone), st.ctx.Err() != nil:
		return false // he reconnects, and is told
	default:
		st.service.Log.WarnContext(ctx, "a stream of events could not be read; it is tried again", "provider", st.who.Provider, "error", err)
	}
	return true
}

// keyIsValid looks at the key again: a stream ends soon after its key is revoked or has expired. A database that is away ends no stream.
func (st *eventStream) keyIsValid() bool {
	ctx, cancel := context.WithTimeout(st.ctx, requestTimeout)
	defer cancel()
	key, err := st.service.APIKeys.Find(ctx, st.who.KeyID)
	if err != nil {
		return !errors.Is(err, provision.ErrNotFound)
	}
	return key.Live(st.service.Now())
}

// frame is an event as the stream has it. Its JSON has no line breaks, so one data line is enough.
func frame(e provision.Event) (string, error) {
	body, err := e.Body()
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", *encodeCursor(streamPosition{e.Seq}), e.Type, body), err
}

// streamPath is the route that has no deadline.
const streamPath = "/v1/events/stream"
