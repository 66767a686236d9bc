package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// countedEvents counts the reads.
type countedEvents struct {
	Events
	reads atomic.Int32
}

func (e *countedEvents) List(
	ctx context.Context, of provision.Tenant, filter provision.EventFilter,
) ([]provision.Event, int64, error) {
	e.reads.Add(1)
	return e.Events.List(ctx, of, filter)
}

// reader reads a stream. It takes nothing while it is held up.
type reader struct {
	*httptest.ResponseRecorder
	mu   sync.Mutex
	text strings.Builder
}

func (*reader) SetWriteDeadline(time.Time) error { return nil }

func (r *reader) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(text)
}

// events are the numbers of the events that were read.
func (r *reader) events(t *testing.T) (numbers []int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.text.String()) {
		if _, after, found := strings.Cut(line, `"n":"`); found {
			n, err := strconv.Atoi(after[:strings.IndexByte(after, '"')])
			require.NoError(t, err)
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// follow streams the events of the tenant to a reader, until the test ends.
func follow(t *testing.T, w *testAPI, of provision.Tenant, filter provision.EventFilter) *reader {
	t.Helper()
	upTo, err := w.store.Events.Now(t.Context())
	require.NoError(t, err)
	ctx, hangUp := context.WithCancel(t.Context())
	r := &reader{ResponseRecorder: httptest.NewRecorder()}
	key := fmt.Sprintf("%p", r)
	require.True(t, w.service.streams.open(key))
	if filter.Limit == 0 {
		filter.Limit = streamPage
	}
	st := &eventStream{service: w.service, ctx: ctx, who: caller{Provider: of.Provider, Tenant: of, KeyID: key}, filter: filter,
		began: upTo, upTo: upTo}
	var ended sync.WaitGroup
	ended.Go(func() { _ = st.VisitStreamEventsResponse(http.ResponseWriter(r)) })
	t.Cleanup(func() { hangUp(); ended.Wait() })
	require.Eventually(t, func() bool {
		w.service.feeds.mu.Lock()
		defer w.service.feeds.mu.Unlock()
		return st.feed != nil
	}, 20*time.Second, time.Millisecond)
	return r
}

func TestAnEventIsReadOnceForAllStreamsOfAProvider(t *testing.T) {
	t.Parallel()
	hints := hintsOf(make(chan string, 1))
	var counted *countedEvents
	w, db, _ := setupEvents(t, func(c *Config) {
		counted = &countedEvents{Events: c.Events}
		c.Events, c.EventHints = counted, hints
	})
	const streams, events = 100, 20
	acme := provision.Tenant{Provider: "acme"}
	all := make([]*reader, streams)
	for i := range all {
		all[i] = follow(t, w, acme, provision.EventFilter{})
	}
	nordic := follow(t, w, provision.Tenant{Provider: "acme", Marketplaces: []string{"nordic"}}, provision.EventFilter{})
	iberic := follow(t, w, provision.Tenant{Provider: "acme", Marketplaces: []string{"iberic"}}, provision.EventFilter{})
	seven := follow(t, w, acme, provision.EventFilter{OrderID: "7"})
	counted.reads.Store(0)
	began := time.Now()
	var wanted []int
	for i := range events {
		emit(t, db, "acme", "order.accepted", strconv.Itoa(i))
		hints <- "acme"
		wanted = append(wanted, i)
	}
	for _, r := range slices.Concat(all, []*reader{nordic}) {
		require.Eventually(t, func() bool { return len(r.events(t)) == events }, 20*time.Second, time.Millisecond)
		require.Equal(t, wanted, r.events(t))
	}
	polls := int32(time.Since(began)/streamPoll) + 1
	require.LessOrEqual(t, counted.reads.Load(), events+1+polls, "not one for each of the streams")
	require.Empty(t, iberic.events(t))
	require.Equal(t, []int{7}, seven.events(t))
}

func TestASlowReaderReadsByItselfAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	hints := hintsOf(make(chan string, 1))
	w, db, _ := setupEvents(t, func(c *Config) { c.EventHints = hints })
	acme := provision.Tenant{Provider: "acme"}
	slow, fast := follow(t, w, acme, provision.EventFilter{}), follow(t, w, acme, provision.EventFilter{})
	const events = 3*feedBuffer + 7
	slow.mu.Lock() // it takes nothing
	_, err := db.Exec(`SELECT emit_event('acme', 'stock.low', 'n', jsonb_build_object('n', i::text)) FROM generate_series(1, $1) i`, events)
	require.NoError(t, err)
	hints <- "acme"
	require.Eventually(t, func() bool { return len(fast.events(t)) == events }, 20*time.Second, time.Millisecond)
	w.service.feeds.mu.Lock()
	for s := range w.service.feeds.feeds["acme"].streams {
		require.LessOrEqual(t, len(s.waiting.events), feedBuffer)
	}
	w.service.feeds.mu.Unlock()
	slow.mu.Unlock()
	require.Eventually(t, func() bool { return len(slow.events(t)) == events }, 20*time.Second, time.Millisecond)
	require.IsIncreasing(t, slow.events(t))
	require.IsIncreasing(t, fast.events(t))
}

func TestAFeedEndsWithItsLastStream(t *testing.T) {
	t.Parallel()
	w, _, _ := setupEvents(t)
	acme := provision.Tenant{Provider: "acme"}
	one := w.service.feeds.subscribe(acme, provision.EventFilter{}, 0)
	two := w.service.feeds.subscribe(acme, provision.EventFilter{}, 0)
	require.Same(t, one.feed, two.feed)
	one.close()
	require.Len(t, w.service.feeds.feeds, 1)
	two.close()
	require.Empty(t, w.service.feeds.feeds)
}

// After a restore from a backup, the database has not yet reached the position of the readers.
func TestStreamsEndWhenTheDatabaseDoesNotKnowTheirPosition(t *testing.T) {
	t.Parallel()
	hints := hintsOf(make(chan string, 1))
	w, db, _ := setupEvents(t, func(c *Config) { c.EventHints = hints })
	emit(t, db, "acme", "stock.low", "1")
	acme := provision.Tenant{Provider: "acme"}
	follow(t, w, acme, provision.EventFilter{})
	db.MustExec(`TRUNCATE events RESTART IDENTITY CASCADE`)
	hints <- "acme"
	require.Eventually(t, func() bool {
		w.service.feeds.mu.Lock()
		defer w.service.feeds.mu.Unlock()
		return len(w.service.feeds.feeds) == 0
	}, 20*time.Second, time.Millisecond)
	later := follow(t, w, acme, provision.EventFilter{})
	emit(t, db, "acme", "stock.low", "2")
	require.Eventually(t, func() bool { return len(later.events(t)) == 1 }, 20*time.Second, time.Millisecond)
}
