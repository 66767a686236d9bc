package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/tmaxmax/go-sse"

	"quartermaster/api/openapi"
)

// Event is an event, and its JSON as the API sent it.
type Event = Item[EventBody]

// EventBody is an event whose data is not decoded.
type EventBody struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// EventFilter selects events. Empty fields do not filter.
type EventFilter struct{ OrderID, Type string }

// Follow returns the events that happen from now on, or after a position, each once and in order. It ends when the context does,
// or with an error that a repeat cannot mend.
//
// Events are read from the list, which alone names their ids. The stream says when there is something to read, so that nothing is
// lost or doubled when it breaks, and a proxy that lets no stream through costs two seconds.
func (c *Client) Follow(ctx context.Context, filter EventFilter, position string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := &follower{Client: c, filter: filter, position: position, yield: yield}
		for ctx.Err() == nil && !f.over {
			f.stream(ctx)
			if f.over || ctx.Err() != nil {
				return
			}
			f.read(ctx)
			pause(ctx, c.poll)
		}
	}
}

// pause waits until the time is up or the context ends.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

type follower struct {
	*Client
	filter   EventFilter
	position string // events up to here were yielded; empty: unknown yet
	yield    func(Event, error) bool
	over     bool // the reader wants no more, or an error ended the sequence
}

// stream reads one stream until it ends or is silent for too long, and reads the list whenever the stream says something.
func (f *follower) stream(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := f.streams.StreamEvents(ctx, &openapi.StreamEventsParams{
		OrderID: optional(f.filter.OrderID), Type: optional(f.filter.Type), LastEventID: optional(f.position),
	})
	if err == nil && answer.StatusCode != http.StatusOK {
		_, err = Body(answer, nil)
	}
	if err != nil {
		f.fail(ctx, err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	silence := time.AfterFunc(f.stall, cancel)
	defer silence.Stop()
	for message, err := range sse.Read(heard{answer.Body, func() { silence.Reset(f.stall) }}, &sse.ReadConfig{MaxEventSize: 1 << 20}) {
		if err != nil {
			return
		}
		if f.position == "" { // the first message says where the stream begins
			f.position = message.LastEventID
		}
		if f.read(ctx); f.over {
			return
		}
	}
}

// read yields the events after the position. Without one it looks for the end of the list first: the past is no news.
func (f *follower) read(ctx context.Context) {
	fromNow := f.position == ""
	for {
		limit := mostOnPage
		answer, err := pageOf[EventBody](f.ListEvents(ctx, &openapi.ListEventsParams{
			OrderID: optional(f.filter.OrderID), Type: optional(f.filter.Type), Cursor: optional(f.position), Limit: &limit,
		}))
		if err != nil {
			f.fail(ctx, err)
			return
		}
		for _, event := range answer.items {
			if !fromNow && !f.yield(event, nil) {
				f.over = true
				return
			}
		}
		if answer.next != nil {
			f.position = *answer.next
		}
		if len(answer.items) < limit || answer.next == nil {
			return
		}
	}
}

// fail ends the sequence with an error that a repeat cannot mend, and reports any other one.
func (f *follower) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if refused, ok := errors.AsType[*openapi.Problem](err); ok && refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
		f.over = true
		f.yield(Event{}, err)
		return
	}
	f.options.Repeating(err, f.poll)
}

// heard calls a function whenever something is read.
type heard struct {
	io.Reader
	call func()
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.call()
	}
	return n, err
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
