package client

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const key = "qm_live_5f1c90aa0b3e_secret"

// script is a server that answers each request with the next of its handlers, and all further ones with the last.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	handlers []http.HandlerFunc
	requests []*http.Request
}

func setup(t *testing.T, handlers ...http.HandlerFunc) (*Client, *script) {
	t.Helper()
	s := &script{handlers: handlers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	c, err := New(Options{
		URL: s.URL, Key: key, Agent: "test", Timeout: 5 * time.Second, RetryFor: 5 * time.Second, FirstWait: time.Millisecond,
	})
	require.NoError(t, err)
	c.poll = 5 * time.Millisecond
	return c, s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	answer := s.handlers[0]
	if len(s.handlers) > 1 {
		s.handlers = s.handlers[1:]
	}
	s.mu.Unlock()
	answer(w, r)
}

// count returns how many requests came.
func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// answer answers with a status and a body of a media type.
func answer(status int, kind, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func unavailable503(body string, header ...string) http.HandlerFunc {
	return answer(http.StatusServiceUnavailable, "application/problem+json", body, header...)
}

func json200(body string) http.HandlerFunc { return answer(http.StatusOK, "application/json", body) }

// hangUp ends the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// half sends half an answer.
func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte(`{"id":"o-1",`))
	panic(http.ErrAbortHandler)
}
