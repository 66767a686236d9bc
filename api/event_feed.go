package api

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"quartermaster/internal/provision"
)

const (
	feedPage   = 500                   // events that are read at once
	feedGather = 25 * time.Millisecond // how long hints are gathered before they cause a read
	feedBuffer = 256                   // events that wait for a slow reader; then it reads them again by itself
)

// eventFeeds reads the new events of a provider once for all its streams, however many there are.
type eventFeeds struct {
	events Events
	hints  EventHints // nil: feeds poll
	log    *slog.Logger

	mu    sync.Mutex
	feeds map[string]*eventFeed // by provider
}

// eventFeed reads the new events of one provider while it has streams.
type eventFeed struct {
	provider string
	position int64 // up to which events are read
	streams  map[*subscription]struct{}
	stop     context.CancelFunc
}

// subscription is what a feed has for one stream.
type subscription struct {
	feeds  *eventFeeds
	feed   *eventFeed
	of     provision.Tenant
	filter provision.EventFilter
	ready  chan struct{} // receives when there is something to take

	waiting taken // guarded by feeds.mu
}

// taken is what a stream takes from its subscription.
type taken struct {
	events []feedEvent
	upTo   int64 // the position up to which these are all
	lapsed bool  // there were more, which the stream must read by itself
	over   bool  // the feed has ended, and so must the stream
}

// feedEvent is an event as streams send it. All streams share the text.
type feedEvent struct {
	seq  int64
	text string
}

// subscribe adds a stream that has read the events up to the position. It must be closed.
func (f *eventFeeds) subscribe(of provision.Tenant, filter provision.EventFilter, position int64) *subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	feed := f.feeds[of.Provider]
	if feed == nil {
		ctx, stop := context.WithCancel(context.Background())
		feed = &eventFeed{provider: of.Provider, position: position, streams: map[*subscription]struct{}{}, stop: stop}
		if f.feeds == nil {
			f.feeds = map[string]*eventFeed{}
		}
		f.feeds[of.Provider] = feed
		go f.run(ctx, feed)
	}
	s := &subscription{feeds: f, feed: feed, of: of, filter: filter, ready: make(chan struct{}, 1)}
	s.waiting.lapsed = position < feed.position
	feed.streams[s] = struct{}{}
	return s
}

// close removes the stream. A feed without streams ends.
func (s *subscription) close() {
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	if delete(s.feed.streams, s); len(s.feed.streams) == 0 {
		s.feeds.end(s.feed)
	}
}

// end ends a feed. f.mu must be held.
func (f *eventFeeds) end(feed *eventFeed) {
	feed.stop()
	if f.feeds[feed.provider] == feed {
		delete(f.feeds, feed.provider)
	}
}

// take returns what the feed has for the stream since the last call.
func (s *subscription) take() taken {
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	now := s.waiting
	now.upTo = s.feed.position
	s.waiting = taken{over: now.over}
	return now
}

func (s *subscription) wake() {
	select {
	case s.ready <- struct{}{}:
	default: // it is awake already
	}
}

// run reads when there is a hint, and every streamPoll. Hints that arrive together cause one read.
func (f *eventFeeds) run(ctx context.Context, feed *eventFeed) {
	hints := make(<-chan string)
	if f.hints != nil {
		subscribed, cancel := f.hints.Subscribe(feed.provider)
		defer cancel()
		hints = subscribed
	}
	poll := time.NewTicker(streamPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-hints:
			select {
			case <-ctx.Done():
				return
			case <-time.After(feedGather):
			}
		}
		for more := true; more; {
			var err error
			switch more, err = f.read(ctx, feed); {
			case err == nil, ctx.Err() != nil:
			case errors.Is(err, provision.ErrGone):
				f.abandon(feed)
				return
			default:
				f.log.WarnContext(ctx, "could not read the events for streams; they are read again", "provider", feed.provider, "error", err)
			}
		}
	}
}

// read reads the next page and gives it to the streams. It returns whether there may be more.
func (f *eventFeeds) read(ctx context.Context, feed *eventFeed) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	filter := provision.EventFilter{After: feed.position, Limit: feedPage} // only this goroutine changes the position
	events, upTo, err := f.events.List(ctx, provision.Tenant{Provider: feed.provider}, filter)
	if err != nil {
		return false, err
	}
	texts, err := frames(events)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	feed.position = upTo
	for s := range feed.streams {
		s.give(events, texts)
	}
	return len(events) == feedPage, nil
}

// give adds the events that the stream selects. A stream that takes them too slowly must read them by itself, so it neither costs
// memory nor holds up others.
func (s *subscription) give(events []provision.Event, texts []feedEvent) {
	for i, e := range events {
		if s.waiting.lapsed || !s.filter.Selects(s.of, e) {
			continue
		}
		if s.waiting.events = append(s.waiting.events, texts[i]); len(s.waiting.events) > feedBuffer {
			s.waiting.events, s.waiting.lapsed = nil, true
		}
		s.wake()
	}
}

// abandon ends a feed, and its streams, because the database does not know the feed's position: it was restored. Their readers
// reconnect and learn whether it knows theirs.
func (f *eventFeeds) abandon(feed *eventFeed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(feed)
	for s := range feed.streams {
		s.waiting = taken{over: true}
		s.wake()
	}
}
