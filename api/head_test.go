package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// answerTo sends a request to a served API, and returns the answer and its body.
func (w *testAPI) answerTo(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header.Set("Accept-Encoding", "identity") // the client adds gzip to a GET only
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer, string(body)
}

// readable fills the parameters of a path with what exists, or could.
var readable = strings.NewReplacer("{order_id}", "MP-1", "{account_id}", "444455556666", "{key_id}", "unknown", "{marketplace}", "nordic",
	"{environment}", "production", "{webhook_id}", "7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10", "{delivery_id}",
	"7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10", "{import_id}", "7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10",
	"{alert_id}", "7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10")

// HEAD has the status and the headers of GET, and no body. OPTIONS and 405 name the methods of the path.
func TestEveryPathAnswersHEADAndOPTIONS(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.StreamLifetime = time.Millisecond })
	w.stockAccount(t, "444455556666", provision.AccountReady)
	w.createOrder("MP-1", provision.WaitingForAccount)
	base := "http://" + w.listen(t)
	methods := map[string][]string{"/livez": {"GET"}, "/readyz": {"GET"}, "/reveal": {"GET"}, "/reveal/reveal.js": {"GET"}}
	for _, op := range w.service.contract.operations {
		path := readable.Replace(op.route.Path)
		methods[path] = append(methods[path], op.route.Method)
	}
	read := 0
	for path, of := range methods {
		options, body := w.answerTo(t, http.MethodOptions, base+path)
		require.Equal(t, http.StatusNoContent, options.StatusCode, path)
		require.Empty(t, body, path)
		refused, _ := w.answerTo(t, http.MethodTrace, base+path)
		require.Equal(t, http.StatusMethodNotAllowed, refused.StatusCode, path)
		require.Equal(t, refused.Header.Get("Allow"), options.Header.Get("Allow"), path)
		wanted := append([]string{"OPTIONS"}, of...)
		if _, isGet := strings.CutPrefix(strings.Join(of, " ")+" ", "GET "); isGet || strings.Contains(strings.Join(of, " "), " GET") {
			wanted = append(wanted, "HEAD")
			get, _ := w.answerTo(t, http.MethodGet, base+path)
			head, body := w.answerTo(t, http.MethodHead, base+path)
			require.Empty(t, body, path)
			require.Equal(t, get.StatusCode, head.StatusCode, path)
			for _, own := range []string{"Date", "X-Request-Id"} {
				get.Header.Del(own)
				head.Header.Del(own)
			}
			// The length is known only when the body is written, or it changes with the time of the answer.
			if get.ContentLength < 0 || path == "/v1/accounts/export" || path == "/v1/history/export" || path == "/v1/health" {
				get.Header.Del("Content-Length")
				head.Header.Del("Content-Length")
			}
			require.Equal(t, get.Header, head.Header, path)
			read++
		}
		require.ElementsMatch(t, wanted, strings.Split(options.Header.Get("Allow"), ", "), path)
	}
	require.Greater(t, read, 20)
}

// A HEAD request for the stream ends at once, and holds none of the key's streams.
func TestHEADOpensNoStream(t *testing.T) {
	t.Parallel()
	w := setup(t)
	base := "http://" + w.listen(t)
	for range streamsPerKey + 1 {
		answer, _ := w.answerTo(t, http.MethodHead, base+streamPath)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	}
}

func TestAnEmptyLastEventIDIsNone(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.StreamLifetime = time.Millisecond })
	answer := w.send(w.key, http.MethodGet, streamPath, "", "Last-Event-ID", "")
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
	require.Contains(t, fieldsOf(readProblem(t, w.send(w.key, http.MethodGet, streamPath, "", "Last-Event-ID", "?"), http.StatusBadRequest,
		codeInvalidParameter))["Last-Event-ID"], "send the last one unchanged")
}
