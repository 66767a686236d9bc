package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// newChunked is a request whose length is not known beforehand.
func newChunked(method, target string, body []byte) *http.Request {
	r := httptest.NewRequest(method, target, io.MultiReader(bytes.NewReader(body)))
	r.ContentLength = -1
	return r
}

func serve(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r)
	return answer
}

func TestConfigMustBeComplete(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, c := range map[string]struct {
		change  func(*Config)
		message string
	}{
		"no database":      {func(c *Config) { c.Orders = nil }, "Database, Workflows, Health, Opener, Sealer and Signer are needed"},
		"no workflows":     {func(c *Config) { c.Workflows = nil }, "Database, Workflows, Health, Opener, Sealer and Signer are needed"},
		"no opener":        {func(c *Config) { c.Opener = nil }, "Database, Workflows, Health, Opener, Sealer and Signer are needed"},
		"no signer":        {func(c *Config) { c.Signer = nil }, "Database, Workflows, Health, Opener, Sealer and Signer are needed"},
		"no address":       {func(c *Config) { c.PublicURL = "" }, "must have the form https://host"},
		"a path only":      {func(c *Config) { c.PublicURL = "/reveal" }, "must have the form https://host"},
		"a fragment":       {func(c *Config) { c.PublicURL = "https://a.example/#x" }, "must have the form https://host"},
		"another protocol": {func(c *Config) { c.PublicURL = "ftp://a.example" }, "must have the form https://host"},
		"a script":         {func(c *Config) { c.TemporalWeb = "javascript:alert(1)" }, "of the Temporal Web UI must have the form https://host"},
		"a host only":      {func(c *Config) { c.TemporalWeb = "temporal.example" }, "of the Temporal Web UI must have the form https://host"},
	} {
		cfg := w.service.Config
		c.change(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, c.message, name)
	}
	_, err := New(Config{Database: databaseOf(w.store), Workflows: w.workflows, Health: w.service.Health, Opener: w.service.Opener,
		Sealer: w.service.Sealer, Signer: w.service.Signer, PublicURL: "http://127.0.0.1:8080/"})
	require.NoError(t, err, "the rest has defaults")
}

func TestEachKeyHasItsOwnBudget(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.RequestsPerSecond, c.Burst = 0.0001, 3 })
	for range 3 {
		require.Equal(t, http.StatusOK, w.get("/v1/orders").Code)
	}
	answer := w.get("/v1/accounts")
	require.Contains(t, readProblem(t, answer, http.StatusTooManyRequests, codeTooManyRequests).Detail, "requests per second")
	require.Equal(t, "10000", answer.Header().Get("Retry-After"), "until one more may be sent")
	require.Equal(t, http.StatusOK, w.send(w.otherKey, http.MethodGet, "/v1/orders", "").Code, "another key is not touched by it")
	for range 3 { // without a key the address counts
		require.Equal(t, http.StatusOK, w.send("", http.MethodGet, "/v1/openapi.json", "").Code)
	}
	readProblem(t, w.send("", http.MethodGet, "/v1/openapi.json", ""), http.StatusTooManyRequests, codeTooManyRequests)
	require.Equal(t, http.StatusNoContent, w.send("", http.MethodGet, "/livez", "").Code, "probes are not limited")
}

func TestProbes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, target := range []string{"/livez", "/readyz"} {
		require.Equal(t, http.StatusNoContent, w.send("", http.MethodGet, target, "").Code)
	}
	w.change(func(c *Config) { c.Ping = func(context.Context) error { return errors.New("connection refused") } })
	require.Equal(t, http.StatusNoContent, w.send("", http.MethodGet, "/livez", "").Code)
	readProblem(t, w.send("", http.MethodGet, "/readyz", ""), http.StatusServiceUnavailable, codeUnavailable)
}

func TestTheAPIIsNotReadyBeforeTemporalWasUsable(t *testing.T) {
	t.Parallel()
	unusable := errors.New(`Temporal has no namespace "shop"`)
	w := setup(t, func(c *Config) { c.TemporalUsable = func() error { return unusable } })
	require.Equal(t, unusable.Error(), readProblem(t, w.send("", http.MethodGet, "/readyz", ""), http.StatusServiceUnavailable,
		codeUnavailable).Detail)
	require.Equal(t, http.StatusNoContent, w.send("", http.MethodGet, "/livez", "").Code)
	unusable = nil
	w.workflows.fail = provision.ErrUnavailable // Temporal went away again
	require.Equal(t, http.StatusNoContent, w.send("", http.MethodGet, "/readyz", "").Code)
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, "market-42", w.send(w.key, http.MethodGet, "/v1/orders", "", "X-Request-ID", "market-42").Header().Get("X-Request-ID"))
	for _, bad := range []string{"two words", strings.Repeat("x", 65), `"quoted"`} {
		got := w.send(w.key, http.MethodGet, "/v1/orders", "", "X-Request-ID", bad).Header().Get("X-Request-ID")
		require.NotEqual(t, bad, got)
		require.Regexp(t, `^[A-Za-z0-9]{32}$`, got)
	}
}

// The log contains neither secrets nor the customer's data, even if the request fails.
func TestTheLogContainsNoSecrets(t *testing.T) {
	t.Parallel()
	w := setup(t)
	token, contact := w.token(w.completedOrder("done-1")), "Zenobia Quux"
	_, secret, _ := splitKey("Bearer " + w.key)
	form := orderForm("MP-1", map[string]any{"aws_contact_name": contact,
		"aws_alternate_contact": map[string]any{"name": contact, "email": "zenobia@quux.example", "phone": "+46 8 777 888", "title": "t"}})
	require.Equal(t, http.StatusAccepted, w.post("/v1/orders", form).Code)
	require.Equal(t, http.StatusConflict, w.post("/v1/orders", changed(form, []map[string]any{{"aws_account_alias": "quux"}})).Code)
	require.Equal(t, http.StatusUnprocessableEntity, w.post("/v1/orders", changed(form,
		[]map[string]any{{"aws_contact_name": contact + "\u200b"}})).Code)
	require.Equal(t, http.StatusUnauthorized, w.send(w.key+"x", http.MethodGet, "/v1/orders", "").Code)
	require.Equal(t, http.StatusBadRequest, w.get("/v1/orders?contact=Zenobia+Quux").Code)
	require.Equal(t, http.StatusNotFound, w.get("/v1/"+token).Code)
	require.Equal(t, http.StatusNotFound, w.get("/v1/password-reveals/"+token+"?token="+token).Code)
	require.Equal(t, http.StatusOK, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(token))).Code)
	require.Equal(t, http.StatusGone, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(token))).Code)
	w.change(func(c *Config) { c.Orders = brokenOrders{c.Orders} })
	require.Equal(t, http.StatusInternalServerError, w.post("/v1/orders", orderForm("MP-2", map[string]any{"aws_contact_name": contact})).Code)

	log := w.log.String()
	for _, never := range []string{token, secret, passwordText, "Zenobia", "zenobia", "777 888", "berg-logistics"} {
		require.NotContains(t, log, never)
	}
	routes := map[any]bool{}
	lines := w.log.lines(t)
	require.Len(t, lines, 10)
	for _, line := range lines {
		routes[line["route"]] = true
		require.NotEmpty(t, line["request_id"])
	}
	require.Equal(t, map[any]bool{"/v1/orders": true, "(none)": true, "/v1/password-reveals": true}, routes)
	require.Equal(t, "acme", lines[0]["provider"])
	require.Equal(t, "OrderIDReused", lines[1]["code"])
	require.Equal(t, "ERROR", lines[9]["level"])
	require.Contains(t, lines[9]["error"], "broken")
}

func TestRequestsHaveADeadline(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.service.echo()
	e.GET("/slow", func(c echo.Context) error {
		deadline, ok := c.Request().Context().Deadline()
		require.True(t, ok)
		require.False(t, deadline.IsZero())
		return context.DeadlineExceeded
	})
	w.handler = e
	readProblem(t, w.get("/slow"), http.StatusServiceUnavailable, codeUnavailable)
}
