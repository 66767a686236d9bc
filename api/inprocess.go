package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"

	"github.com/labstack/echo/v4"

	"quartermaster/internal/provision"
)

// As returns a transport that answers requests by the handler itself, in process, as sent by the principal from the address.
// Everything that guards a request over the network guards these too: scope, rate limit, the check against the document, timeouts,
// log, and metrics. An answer is streamed while it is written; closing its body ends the handler. The request's headers for
// authentication and for its address do not count.
func (h *Handler) As(who provision.Principal, from netip.Addr) http.RoundTripper {
	return inProcess{h, &who, netip.AddrPortFrom(from, 0).String()}
}

// Unauthenticated returns a transport like that of As, of requests that authenticate themselves by their headers.
func (h *Handler) Unauthenticated(from netip.Addr) http.RoundTripper {
	return inProcess{h, nil, netip.AddrPortFrom(from, 0).String()}
}

// ClientAddress returns the address that the request came from: the peer's, or what trusted proxies say.
func (h *Handler) ClientAddress(r *http.Request) netip.Addr {
	address, _ := parseAddress(h.clientAddress(r))
	return address
}

type inProcess struct {
	handler    http.Handler
	who        *provision.Principal // nil: the request's headers say who sends it
	remoteAddr string
}

type principalKey struct{}

// principalOf returns who As authenticated. No request over the network can carry one.
func principalOf(ctx context.Context) (provision.Principal, bool) {
	who, ok := ctx.Value(principalKey{}).(provision.Principal)
	return who, ok
}

// RoundTrip implements http.RoundTripper. It returns when the handler has written the status.
func (t inProcess) RoundTrip(sent *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(sent.Context())
	if t.who != nil {
		ctx = context.WithValue(ctx, principalKey{}, *t.who)
	}
	r := sent.Clone(ctx)
	r.RemoteAddr, r.RequestURI, r.Host = t.remoteAddr, sent.URL.RequestURI(), sent.URL.Host
	r.Header.Del(echo.HeaderXForwardedFor)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	read, write := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: write, started: make(chan struct{})}
	go func() {
		defer cancel()
		defer func() { _ = r.Body.Close() }()
		err := io.EOF
		defer func() {
			if broken := recover(); broken != nil { // such as http.ErrAbortHandler
				err = fmt.Errorf("the handler panicked: %v", broken)
			}
			w.end(err)
		}()
		t.handler.ServeHTTP(w, r)
	}()
	select {
	case <-w.started:
	case <-sent.Context().Done():
		cancel()
		_ = read.CloseWithError(sent.Context().Err())
		return nil, sent.Context().Err()
	}
	if w.failure != nil {
		cancel()
		return nil, w.failure
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: pipeBody{read, cancel}, ContentLength: -1, Request: sent,
	}, nil
}

// pipeWriter is the http.ResponseWriter of a handler that runs in process.
type pipeWriter struct {
	header  http.Header
	body    *io.PipeWriter
	once    sync.Once
	started chan struct{} // closed when the following are set
	status  int
	sent    http.Header // the header when the status was written
	failure error       // why there is no answer
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	})
}

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(text []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(text)
}

// Flush implements http.Flusher: what is written has already been read, because a pipe keeps nothing.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// end ends the answer. The error is io.EOF when the handler has returned.
func (w *pipeWriter) end(err error) {
	if !errors.Is(err, io.EOF) {
		w.once.Do(func() {
			w.failure = err
			close(w.started)
		})
	}
	w.WriteHeader(http.StatusOK)
	_ = w.body.CloseWithError(err)
}

// pipeBody is the body of an answer. Closing it ends the handler.
type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b pipeBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
