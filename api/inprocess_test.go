package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

var (
	anna = provision.Person{Issuer: "https://login.example", Subject: "00u1ab", Name: "anna@acme.example"}
	desk = netip.MustParseAddr("192.0.2.7")
)

func annaAs(role provision.Role, marketplaces ...string) provision.Principal {
	return provision.Principal{Person: anna, Grant: provision.Grant{Provider: "acme", Role: role, Marketplaces: marketplaces}}
}

// as sends a request in process as the principal.
func (w *testAPI) as(t *testing.T, who provision.Principal, method, target, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://console.invalid"+target, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := (&Handler{Handler: w.handler}).As(who, desk).RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func readAnswer[T any](t *testing.T, answer *http.Response, status int) (value T) {
	t.Helper()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, status, answer.StatusCode, string(text))
	require.NoError(t, json.Unmarshal(text, &value), string(text))
	return value
}

func TestAPersonCallsTheAPIInProcess(t *testing.T) {
	t.Parallel()
	w := setup(t)
	me := readAnswer[openapi.Me](t, w.as(t, annaAs(provision.RoleOperator), http.MethodGet, "/v1/me", ""), http.StatusOK)
	require.Equal(t, "person anna@acme.example (00u1ab)", me.Actor)
	require.Equal(t, "acme", me.Provider)
	require.Equal(t, provision.RoleOperator.Scopes(), me.Scopes)
	require.Nil(t, me.APIKey)

	w.orderIn(provision.ActionRequired, "aws_account_alias")
	readAnswer[openapi.Order](t, w.as(t, annaAs(provision.RoleOperator), http.MethodPost, "/v1/orders/MP-1/retry", `{"reason":"r"}`),
		http.StatusAccepted)
	history := readAnswer[openapi.OrderHistoryPage](t, w.as(t, annaAs(provision.RoleOperator), http.MethodGet, "/v1/orders/MP-1/history", ""),
		http.StatusOK).Items
	require.True(t, slices.ContainsFunc(history, func(e openapi.OrderHistoryEntry) bool {
		return e.Actor == "person anna@acme.example (00u1ab)" && *e.Code == "retry"
	}), history)
	require.Contains(t, w.log.String(), `"ip":"192.0.2.7"`)

	p := readAnswer[openapi.Problem](t, w.as(t, annaAs(provision.RoleViewer), http.MethodPost, "/v1/orders/MP-1/retry", `{"reason":"r"}`),
		http.StatusForbidden)
	require.Equal(t, "this requires the scope orders:operate, which a person of role viewer does not have: "+
		"ask an admin for the role operator or admin", p.Detail)
	p = readAnswer[openapi.Problem](t, w.as(t, annaAs(provision.RoleOperator), http.MethodPost, "/v1/orders/MP-1/retry", `{"reason":""}`),
		http.StatusUnprocessableEntity)
	require.NotEmpty(t, p.Errors)
	readAnswer[openapi.Problem](t, w.as(t, annaAs(provision.RoleMarketplace, "baltic"), http.MethodGet, "/v1/orders/MP-1", ""),
		http.StatusNotFound)
}

// A console session holds the id of a key, and the key's row decides with every request.
func TestAKeyOfASessionIsReadWithEveryRequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	text := w.createKeyOf("acme", provision.RoleViewer)
	id, _, _ := splitKey("Bearer " + text)
	who := provision.Principal{KeyID: id, Grant: provision.Grant{Provider: "globex", Role: provision.RoleAdmin}}
	me := readAnswer[openapi.Me](t, w.as(t, who, http.MethodGet, "/v1/me", ""), http.StatusOK)
	require.Equal(t, "acme", me.Provider)
	require.Equal(t, provision.RoleViewer, me.Role)
	require.Equal(t, id, me.APIKey.ID)
	_, err := w.store.APIKeys.Revoke(t.Context(), "test", "acme", id, "", false)
	require.NoError(t, err)
	p := readAnswer[openapi.Problem](t, w.as(t, who, http.MethodGet, "/v1/me", ""), http.StatusUnauthorized)
	require.Contains(t, p.Detail, "is revoked")
	who.KeyID = "000000000000"
	readAnswer[openapi.Problem](t, w.as(t, who, http.MethodGet, "/v1/me", ""), http.StatusUnauthorized)
}

// Nothing that a request carries makes it a request in process, and the address of one in process cannot be forged.
func TestARequestCannotNameItsPrincipal(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) {
		c.RequestsPerSecond, c.Burst = 1, 1
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	readProblem(t, w.send("", http.MethodGet, "/v1/me", "", "X-Principal", "person anna"), http.StatusUnauthorized, codeUnauthorized)
	answer := w.as(t, annaAs(provision.RoleViewer), http.MethodGet, "/v1/me", "", "X-Forwarded-For", "198.51.100.9",
		"Authorization", "Bearer "+w.otherKey)
	require.Equal(t, "acme", readAnswer[openapi.Me](t, answer, http.StatusOK).Provider)
	require.NotContains(t, w.log.String(), "198.51.100.9")
	p := readAnswer[openapi.Problem](t, w.as(t, annaAs(provision.RoleViewer), http.MethodGet, "/v1/me", ""), http.StatusTooManyRequests)
	require.Contains(t, p.Detail, "your account", "a person has a budget as a key has")
	other := annaAs(provision.RoleViewer)
	other.Person.Subject = "00u2cd"
	require.Equal(t, http.StatusOK, w.as(t, other, http.MethodGet, "/v1/me", "").StatusCode, "each person has one")
}

func TestAStreamInProcessEndsWithItsBody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.as(t, annaAs(provision.RoleViewer), http.MethodGet, "/v1/events/stream", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "retry: 2000\n", line)
	require.NoError(t, answer.Body.Close())
	require.Eventually(t, func() bool {
		return strings.Contains(w.log.String(), `"route":"/v1/events/stream"`)
	}, 5*time.Second, 5*time.Millisecond, "the handler has returned")
}

func TestACallerInProcessMayGiveUp(t *testing.T) {
	t.Parallel()
	blocked := &Handler{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://console.invalid/", nil)
	require.NoError(t, err)
	_, err = blocked.As(annaAs(provision.RoleViewer), desk).RoundTrip(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	broken := &Handler{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") })}
	_, err = broken.As(annaAs(provision.RoleViewer), desk).RoundTrip(r.WithContext(t.Context()))
	require.ErrorContains(t, err, "a fault")
}
