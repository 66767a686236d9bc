package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/httpserver"
	"quartermaster/internal/provision"
)

// setupEvents is an API that is served, over a database that the test writes events into.
func setupEvents(t *testing.T, change ...func(*Config)) (w *testAPI, db *sqlx.DB, server *httptest.Server) {
	t.Helper()
	store, db := openDatabase(t)
	w = setupOn(t, store, change...)
	server = httptest.NewUnstartedServer(w.handler)
	// Far shorter than the streams: they must not be bound by them.
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	return w, db, server
}

func emit(t require.TestingT, db sqlx.Execer, provider, eventType, subject string) {
	_, err := db.Exec(`SELECT emit_event($1, $2, $3, jsonb_build_object('n', $3::text, 'marketplace', 'nordic'))`,
		provider, eventType, subject)
	require.NoError(t, err)
}

// streamed is one event of a stream.
type streamed struct{ id, event, subject string }

// stream opens a stream; events come out of the channel until it ends.
func stream(
	t *testing.T, ctx context.Context, server *httptest.Server, key, query, lastID string,
) (status int, began string, events <-chan streamed) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/events/stream"+query, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	if answer.StatusCode != http.StatusOK {
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode, "", nil
	}
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() && lines.Text() != "" {
		if id, found := strings.CutPrefix(lines.Text(), "id: "); found {
			began = id
		}
	}
	out := make(chan streamed)
	go func() {
		defer close(out)
		defer func() { _ = answer.Body.Close() }()
		var e streamed
		for lines.Scan() {
			name, text, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = text
			case "event":
				e.event = text
			case "data":
				var body struct{ Data struct{ N string } }
				if json.Unmarshal([]byte(text), &body) != nil {
					body.Data.N = "not JSON: " + text
				}
				e.subject = body.Data.N
			case "":
				if e.event == "" {
					continue // a place without an event
				}
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
				e = streamed{}
			}
		}
	}()
	return answer.StatusCode, began, out
}

func receive(t *testing.T, events <-chan streamed) streamed {
	t.Helper()
	select {
	case e, open := <-events:
		require.True(t, open, "the stream ended")
		return e
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no event came")
		return streamed{}
	}
}

func TestAStreamStartsWithNewEvents(t *testing.T) {
	t.Parallel()
	w, db, server := setupEvents(t)
	emit(t, db, "acme", "order.accepted", "before")
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	_, _, all := stream(t, ctx, server, w.key, "", "")
	_, _, orders := stream(t, ctx, server, w.key, "?type=order.*", "")
	_, _, one := stream(t, ctx, server, w.key, "?order_id=o-2", "")
	_, _, others := stream(t, ctx, server, w.otherKey, "", "")
	emit(t, db, "acme", "stock.low", "nordic/production")
	emit(t, db, "acme", "order.accepted", "o-1")
	emit(t, db, "acme", "order.accepted", "o-2")
	emit(t, db, "globex", "order.accepted", "theirs")
	require.Equal(t, "nordic/production", receive(t, all).subject)
	require.Equal(t, "o-1", receive(t, all).subject)
	require.Equal(t, "o-1", receive(t, orders).subject)
	require.Equal(t, "o-2", receive(t, orders).subject)
	require.Equal(t, "o-2", receive(t, one).subject)
	require.Equal(t, "theirs", receive(t, others).subject)
}

// A client is cut off again and again while events come in, from transactions that commit out of order.
func TestReconnectingWithTheLastIDYieldsEveryEventOnceInOrder(t *testing.T) {
	t.Parallel()
	w, db, server := setupEvents(t)
	const pairs = 60
	ctx, cut := context.WithCancel(t.Context())
	_, last, events := stream(t, ctx, server, w.key, "", "")
	go func() {
		for i := range pairs {
			first, err := db.BeginTxx(context.WithoutCancel(t.Context()), nil)
			if err != nil {
				return
			}
			second, err := db.BeginTxx(context.WithoutCancel(t.Context()), nil)
			if err != nil {
				return
			}
			_, _ = first.Exec(`SELECT emit_event('acme', 'stock.low', 's', jsonb_build_object('n', $1::text))`, fmt.Sprint(2*i))
			_, _ = second.Exec(`SELECT emit_event('acme', 'stock.low', 's', jsonb_build_object('n', $1::text))`, fmt.Sprint(2*i+1))
			_ = second.Commit()
			_, _ = db.Exec(`SELECT pg_sleep($1)`, rand.Float64()/100) // the later one is alone for a while
			_ = first.Commit()
		}
	}()
	cuts := 0
	for want := range 2 * pairs {
		for rand.N(3) == 0 {
			cut()
			cuts++
			ctx, cut = context.WithCancel(t.Context())
			_, _, events = stream(t, ctx, server, w.key, "", last)
		}
		got := receive(t, events)
		require.Equal(t, fmt.Sprint(want), got.subject, "after %d cuts", cuts)
		last = got.id
	}
	cut()
	require.Positive(t, cuts)
}

func TestAnUnknownPositionIsRefused(t *testing.T) {
	t.Parallel()
	w, db, server := setupEvents(t)
	emit(t, db, "acme", "stock.low", "1")
	emit(t, db, "acme", "stock.low", "2")
	page := read[openapi.EventPage](t, w.get("/v1/events?limit=1"), http.StatusOK)
	require.Len(t, page.Items, 1)
	require.Equal(t, "1", page.Items[0].Data["n"])
	rest := read[openapi.EventPage](t, w.get("/v1/events?cursor="+page.NextCursor), http.StatusOK)
	require.Equal(t, "2", rest.Items[0].Data["n"])
	require.Empty(t, read[openapi.EventPage](t, w.get("/v1/events?cursor="+rest.NextCursor), http.StatusOK).Items)
	db.MustExec(`INSERT INTO event_purges (provider, through) SELECT 'acme', max(seq) FROM events`)
	require.Contains(t, readProblem(t, w.get("/v1/events?cursor="+page.NextCursor), http.StatusGone, codeEventsGone).Detail,
		"read the orders themselves")
	for lastID, wanted := range map[string]int{page.NextCursor: http.StatusGone,
		*encodeCursor(streamPosition{1 << 40}): http.StatusGone, "rubbish": http.StatusBadRequest, rest.NextCursor: http.StatusOK} {
		ctx, hangUp := context.WithCancel(t.Context())
		status, _, _ := stream(t, ctx, server, w.key, "", lastID)
		require.Equal(t, wanted, status, lastID)
		hangUp()
	}
}

func TestAStreamOutlivesTheTimeoutsOfRequests(t *testing.T) {
	t.Parallel()
	w, db, server := setupEvents(t)
	_, _, events := stream(t, t.Context(), server, w.key, "", "")
	<-time.After(time.Second) // more than three of the server's timeouts
	emit(t, db, "acme", "stock.low", "late")
	require.Equal(t, "late", receive(t, events).subject)
}

func TestAHintDeliversAnEventAtOnce(t *testing.T) {
	t.Parallel()
	hints := hintsOf(make(chan string, 1))
	w, db, server := setupEvents(t, func(c *Config) { c.EventHints = hints })
	_, _, events := stream(t, t.Context(), server, w.key, "", "")
	began := time.Now()
	emit(t, db, "acme", "stock.low", "1")
	hints <- "acme"
	receive(t, events)
	require.Less(t, time.Since(began), streamPoll/2, "it did not wait for the next look")
}

type hintsOf chan string

func (h hintsOf) Subscribe(string) (<-chan string, func()) { return h, func() {} }

func TestTheNumberOfStreamsOfAKeyIsLimited(t *testing.T) {
	t.Parallel()
	w, _, server := setupEvents(t)
	ctx, hangUp := context.WithCancel(t.Context())
	for range streamsPerKey {
		status, _, _ := stream(t, ctx, server, w.key, "", "")
		require.Equal(t, http.StatusOK, status)
	}
	status, _, _ := stream(t, ctx, server, w.key, "", "")
	require.Equal(t, http.StatusTooManyRequests, status)
	status, _, _ = stream(t, ctx, server, w.otherKey, "", "")
	require.Equal(t, http.StatusOK, status)
	hangUp()
	require.Eventually(t, func() bool {
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		status, _, _ := stream(t, ctx, server, w.key, "", "")
		return status == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond, "a stream that ended makes room")
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	w, _, _ := setupEvents(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- httpserver.Serve(ctx, listener, w.handler, slog.New(slog.DiscardHandler)) }()
	_, _, events := stream(t, t.Context(), &httptest.Server{URL: "http://" + listener.Addr().String()}, w.key, "", "")
	stop()
	for range events {
		require.FailNow(t, "an event out of nowhere")
	}
	select {
	case err := <-stopped:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the stream kept the server from stopping")
	}
}

// A reader that takes nothing is disconnected: his write runs into its deadline.
func TestASlowReaderIsDisconnected(t *testing.T) {
	t.Parallel()
	w, db, _ := setupEvents(t)
	emit(t, db, "acme", "stock.low", "1")
	events, upTo, err := w.store.Events.List(t.Context(), provision.Tenant{Provider: "acme"}, provision.EventFilter{Limit: 1})
	require.NoError(t, err)
	slow := &slowWriter{ResponseRecorder: httptest.NewRecorder()}
	require.True(t, w.service.streams.open("k"))
	next, err := frames(events)
	require.NoError(t, err)
	answer := &eventStream{service: w.service, ctx: t.Context(), who: caller{Provider: "acme", ID: "k", KeyID: "k"},
		filter: provision.EventFilter{Limit: 1}, next: next, upTo: upTo}
	began := time.Now()
	require.NoError(t, answer.VisitStreamEventsResponse(slow))
	require.WithinRange(t, slow.deadline, began.Add(streamWrite-time.Second), time.Now().Add(streamWrite))
	require.Empty(t, w.service.streams.counts)
}

// slowWriter takes the beginning and then, as a connection does at its deadline, nothing more.
type slowWriter struct {
	*httptest.ResponseRecorder
	deadline time.Time
	writes   int
}

func (w *slowWriter) SetWriteDeadline(deadline time.Time) error { w.deadline = deadline; return nil }

func (w *slowWriter) Write(text []byte) (int, error) {
	if w.writes++; w.writes > 1 {
		return 0, errors.Join(io.ErrShortWrite, context.DeadlineExceeded)
	}
	return w.ResponseRecorder.Write(text)
}

func TestAStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	w, _, _ := setupEvents(t)
	st := &eventStream{service: w.service, ctx: t.Context(), who: caller{Provider: "acme", KeyID: w.keyID()}}
	require.True(t, st.keyIsValid())
	_, err := w.store.APIKeys.Revoke(t.Context(), "test", "acme", w.keyID(), "", false)
	require.NoError(t, err)
	require.False(t, st.keyIsValid())
	st.who.KeyID = "000000000000"
	require.False(t, st.keyIsValid())
}
