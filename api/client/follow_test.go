package client

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// feed is an API with events. The position of an event is its number.
type feed struct {
	mu      sync.Mutex
	events  int      // how many happened
	streams []string // the Last-Event-ID of each stream
	stream  func(f *feed, w http.ResponseWriter, r *http.Request)
}

func setupFeed(t *testing.T, stream func(*feed, http.ResponseWriter, *http.Request)) (*feed, *Client) {
	t.Helper()
	f := &feed{stream: stream, events: 2}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, Key: key, Timeout: 5 * time.Second, FirstWait: time.Millisecond})
	require.NoError(t, err)
	c.poll, c.stall = time.Millisecond, 50*time.Millisecond
	return f, c
}

// happen makes the next event happen.
func (f *feed) happen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events++
}

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/events/stream" {
		f.mu.Lock()
		f.streams = append(f.streams, r.Header.Get("Last-Event-ID"))
		f.mu.Unlock()
		f.stream(f, w, r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	after, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	items, limit := "", 2
	for n := after + 1; n <= f.events && n <= after+limit; n++ {
		if items != "" {
			items += ","
		}
		items += fmt.Sprintf(`{"id":"e%d","type":"order.accepted","timestamp":"2026-11-22T10:00:00Z","data":{"n":%d}}`, n, n)
		after = n
		limit--
	}
	json200(fmt.Sprintf(`{"items":[%s],"next_cursor":"%d"}`, items, after))(w, r)
}

// begin opens a stream that starts with the events to come.
func begin(f *feed, w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(w, "retry: 2000\nid: %d\n\n", f.events)
	_ = http.NewResponseController(w).Flush()
}

// follow returns the ids of the first events, while they happen one after the other.
func (f *feed) follow(t *testing.T, c *Client, position string, count int) (ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for event, err := range c.Follow(ctx, EventFilter{}, position) {
		require.NoError(t, err)
		if ids = append(ids, event.Value.ID); len(ids) == count {
			break
		}
		f.happen()
	}
	require.NoError(t, ctx.Err())
	return ids
}

func TestEventsComeOnceAndInOrderAcrossBrokenStreams(t *testing.T) {
	t.Parallel()
	f, c := setupFeed(t, func(f *feed, w http.ResponseWriter, _ *http.Request) {
		begin(f, w)
		f.happen()
		fmt.Fprint(w, "id: 99\nevent: order.accepted\ndata: {}\n\n")
		panic(http.ErrAbortHandler)
	})
	ids := f.follow(t, c, "", 6)
	require.Equal(t, []string{"e3", "e4", "e5", "e6", "e7", "e8"}, ids, "nothing of the past, nothing twice, nothing lost")
	require.Empty(t, f.streams[0])
	require.NotEmpty(t, f.streams[len(f.streams)-1], "a stream continues where the last one broke")
}

func TestASilentStreamIsReplaced(t *testing.T) {
	t.Parallel()
	f, c := setupFeed(t, func(f *feed, w http.ResponseWriter, r *http.Request) {
		begin(f, w)
		f.happen()
		<-r.Context().Done()
	})
	require.Equal(t, []string{"e3", "e4", "e5"}, f.follow(t, c, "", 3))
	require.Greater(t, len(f.streams), 1)
}

func TestWithoutAStreamEventsArePolled(t *testing.T) {
	t.Parallel()
	f, c := setupFeed(t, func(_ *feed, w http.ResponseWriter, r *http.Request) {
		answer(http.StatusBadGateway, "text/html", "no streams here")(w, r)
	})
	require.Equal(t, []string{"e1", "e2", "e3", "e4"}, f.follow(t, c, "0", 4))
}

func TestWhatNoRepeatCanMendEndsTheEvents(t *testing.T) {
	t.Parallel()
	_, c := setupFeed(t, func(_ *feed, w http.ResponseWriter, r *http.Request) {
		answer(http.StatusGone, "application/problem+json", `{"status":410,"code":"EventsGone","detail":"no longer kept"}`)(w, r)
	})
	count := 0
	for _, err := range c.Follow(t.Context(), EventFilter{}, "7") {
		count++
		require.ErrorContains(t, err, "no longer kept")
	}
	require.Equal(t, 1, count)
}
