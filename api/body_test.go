package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/httpserver"
	"quartermaster/internal/provision"
)

// listen serves the API on a port, as the product does, and returns its address.
func (w *testAPI) listen(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- httpserver.Serve(ctx, listener, w.handler, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String()
}

// open sends the beginning of a request to the address, over a connection of its own.
func (w *testAPI) open(t *testing.T, address, method, target, headers, body string) *net.TCPConn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	_, err = fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n%s",
		method, target, w.key, headers, body)
	require.NoError(t, err)
	dialed, ok := connection.(*net.TCPConn)
	require.True(t, ok)
	return dialed
}

// logged waits for the log's record of the next request, and returns it.
func (w *testAPI) logged(t *testing.T, seen int) map[string]any {
	t.Helper()
	var line map[string]any
	require.Eventually(t, func() bool {
		lines := w.log.lines(t)
		if len(lines) > seen {
			line = lines[seen]
		}
		return line != nil
	}, 5*time.Second, 5*time.Millisecond)
	return line
}

// No caller can make the service log an error or count a 5xx by what it sends, or by how it sends it.
func TestWhatACallerBreaksIsNoErrorOfTheService(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	w := setup(t, func(c *Config) { c.Metrics = registry })
	address := w.listen(t)
	for i, c := range []struct {
		name, headers, body string
		end                 func(*net.TCPConn) error
		status              float64
		code                provision.Code
	}{
		{"half a body", "Content-Length: 500\r\n", `{"id":`, (*net.TCPConn).CloseWrite, 400, codeBadRequest},
		{"half a chunk", "Transfer-Encoding: chunked\r\n", "ff\r\n{", (*net.TCPConn).CloseWrite, 400, codeBadRequest},
		{"no chunk", "Transfer-Encoding: chunked\r\n", "zz\r\n{", (*net.TCPConn).CloseWrite, 400, codeBadRequest},
		{"a reset", "Content-Length: 500\r\n", `{"id":`, func(c *net.TCPConn) error {
			return errors.Join(c.SetLinger(0), c.Close())
		}, 400, codeBadRequest},
	} {
		connection := w.open(t, address, http.MethodPost, "/v1/orders", c.headers, c.body)
		require.NoError(t, c.end(connection), c.name)
		line := w.logged(t, i)
		require.Equal(t, "INFO", line["level"], c.name)
		require.InDelta(t, c.status, line["status"], 0, c.name)
		require.Equal(t, string(c.code), line["code"], c.name)
	}
	requireNo5xx(t, registry)
}

func requireNo5xx(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	metrics, err := registry.Gather()
	require.NoError(t, err)
	counted := 0
	for _, family := range metrics {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "code" {
					counted++
					require.NotEqual(t, byte('5'), label.GetValue()[0], metric.String())
				}
			}
		}
	}
	require.Positive(t, counted)
}

// A body that arrives too slowly is the caller's fault, and is answered.
func TestASlowBodyIsARequestTimeout(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.BodyTimeout = 100 * time.Millisecond })
	address := w.listen(t)
	connection := w.open(t, address, http.MethodPost, "/v1/orders", "Content-Length: 500\r\n", `{"id":`)
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, answer.StatusCode, string(body))
	require.Contains(t, string(body), "the body did not arrive within 100ms")
	line := w.logged(t, 0)
	require.Equal(t, "INFO", line["level"])
	require.Equal(t, "RequestTimeout", line["code"])
}

// slowOrders are orders that no one can read before the caller hangs up.
type slowOrders struct {
	Orders
	reached chan struct{}
	err     error
}

func (s slowOrders) Get(ctx context.Context, _ provision.Tenant, _ string) (provision.OrderView, error) {
	close(s.reached)
	<-ctx.Done()
	return provision.OrderView{}, fmt.Errorf("reading the order: %w", s.err)
}

func TestAHangUpIsNoErrorOfTheService(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		level string
		code  provision.Code
	}{
		"while the database works": {context.Canceled, "INFO", codeClientClosedRequest},
		"while Temporal is away":   {provision.ErrUnavailable, "INFO", codeClientClosedRequest},
		"while a bug shows itself": {errors.New("broken"), "ERROR", provision.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			reached := make(chan struct{})
			w.change(func(cfg *Config) { cfg.Orders = slowOrders{cfg.Orders, reached, c.err} })
			connection := w.open(t, w.listen(t), http.MethodGet, "/v1/orders/MP-1", "", "")
			<-reached
			require.NoError(t, connection.Close())
			line := w.logged(t, 0)
			require.Equal(t, c.level, line["level"])
			require.Equal(t, string(c.code), line["code"])
		})
	}
}

// The time for a body ends with the body: work that takes longer is not taken for a caller who has hung up.
func TestABodyThatHasArrivedHasNoDeadline(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.BodyTimeout = time.Second })
	address := w.listen(t)
	form := asText(orderForm("MP-1"))
	connection := w.open(t, address, http.MethodPost, "/v1/orders/validate", fmt.Sprintf("Content-Length: %d\r\n", len(form)), form)
	reader := bufio.NewReader(connection)
	answer, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	_, err = fmt.Fprintf(connection, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	answer, err = http.ReadResponse(reader, nil)
	require.NoError(t, err, "the connection serves the next request")
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
}

func TestBodiesInAnotherEncodingAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	form, file := asText(orderForm("MP-1")), csvFile("777788880001")
	for _, c := range []struct{ target, body, header, value, detail string }{
		{"/v1/orders", form, "Content-Encoding", "gzip", `Content-Encoding is "gzip": send the body without a content coding`},
		{"/v1/orders", form, "Content-Encoding", "identity, br", `"identity, br"`},
		{"/v1/orders", form, "Content-Type", "application/json; charset=iso-8859-1", `the charset is "iso-8859-1": send UTF-8`},
		{"/v1/orders", form, "Content-Type", "application/json; charset=utf-16", "send UTF-8"},
		{"/v1/orders", form, "Content-Type", "application/json, text/plain", "send application/json"},
		{"/v1/orders", form, "Content-Type", "application/json;;", "send application/json"},
		{"/v1/account-imports", file, "Content-Encoding", "deflate", `"deflate"`},
		{"/v1/account-imports", file, "Content-Type", "text/csv; charset=windows-1252", "send UTF-8"},
	} {
		headers := []string{"Content-Type", "text/csv"}
		if strings.HasPrefix(c.body, "{") {
			headers[1] = "application/json"
		}
		answer := w.send(w.key, http.MethodPost, c.target, c.body, append(headers, c.header, c.value)...)
		require.Contains(t, readProblem(t, answer, http.StatusUnsupportedMediaType, codeUnsupportedMediaType).Detail, c.detail, c.value)
	}
	answer := w.send(w.key, http.MethodPost, "/v1/orders/validate", form, "Content-Encoding", "Identity",
		"Content-Type", `Application/JSON; Charset="UTF-8"`)
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
}
