package client

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
)

func TestTheSameOrderIsSentUntilItsAnswerArrives(t *testing.T) {
	t.Parallel()
	var bodies []string
	keep := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, r.Header.Get("Authorization")+" "+string(body))
			next(w, r)
		}
	}
	c, s := setup(t, keep(hangUp), keep(half), keep(answer(http.StatusBadGateway, "text/html", "<html>")),
		keep(answer(http.StatusServiceUnavailable, "application/problem+json", `{"status":503,"code":"Unavailable"}`)),
		keep(answer(http.StatusAccepted, "application/json", `{"id":"o-1"}`)))
	order, raw, err := Object[openapi.Order](c.CreateOrder(t.Context(), openapi.NewOrder{ID: "o-1"}))
	require.NoError(t, err)
	require.Equal(t, "o-1", order.ID)
	require.JSONEq(t, `{"id":"o-1"}`, string(raw))
	require.Equal(t, 5, s.count())
	for _, body := range bodies {
		require.Equal(t, bodies[0], body, "the same request, with its key")
		require.Contains(t, body, key)
	}
}

func TestARequestThatMayNotBeRepeatedIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, lost := range []http.HandlerFunc{hangUp, half} {
		c, s := setup(t, lost)
		_, err := Body(c.CreateAPIKey(Once(t.Context()), nil, openapi.NewAPIKey{Name: "n"}))
		require.ErrorContains(t, err, "the request may have taken effect: look before you repeat it")
		require.Equal(t, 1, s.count())
	}
	c, s := setup(t, unavailable503(`{"status":503,"code":"Unavailable","detail":"later"}`))
	_, err := Body(c.CreateAPIKey(Once(t.Context()), nil, openapi.NewAPIKey{Name: "n"}))
	require.ErrorContains(t, err, "later")
	require.Equal(t, 1, s.count())

	tooMany := answer(http.StatusTooManyRequests, "application/problem+json", `{"status":429,"code":"TooManyRequests"}`, "Retry-After", "0")
	c, s = setup(t, tooMany, answer(http.StatusCreated, "application/json", `{}`))
	_, err = Body(c.CreateAPIKey(Once(t.Context()), nil, openapi.NewAPIKey{Name: "n"}))
	require.NoError(t, err, "what was refused had no effect")
	require.Equal(t, 2, s.count())
}

func TestRetryAfterIsHonored(t *testing.T) {
	t.Parallel()
	c, s := setup(t, unavailable503(`{"status":503}`, "Retry-After", "1"), json200(`{"items":[]}`))
	began := time.Now()
	_, err := Body(c.ListOrders(t.Context(), nil))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	require.Equal(t, 2, s.count())

	c, s = setup(t, unavailable503(`{"status":503,"code":"Unavailable"}`, "Retry-After", "3600"))
	_, err = Body(c.ListOrders(t.Context(), nil))
	require.ErrorContains(t, err, "503 Unavailable", "no one waits an hour: the API's own words are returned")
	require.Equal(t, 1, s.count())
}

func TestAStalledConnectionEnds(t *testing.T) {
	t.Parallel()
	stalled := make(chan struct{})
	t.Cleanup(func() { close(stalled) })
	stall := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/orders" {
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-stalled:
		case <-r.Context().Done():
		}
	}
	c, s := setup(t, stall)
	fast, err := New(Options{URL: s.URL, Key: key, Timeout: 20 * time.Millisecond, FirstWait: time.Millisecond})
	require.NoError(t, err)
	_, err = Body(fast.ListOrders(t.Context(), nil))
	require.ErrorContains(t, err, "nothing came within 20ms")
	_, err = Body(fast.GetOrder(t.Context(), "o-1"))
	require.ErrorContains(t, err, "nothing came within 20ms", "headers without a body, too")
	require.NotContains(t, err.Error(), key)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Body(c.ListOrders(ctx, nil))
	require.ErrorIs(t, err, context.Canceled)
}

func TestAnAnswerThatIsNotTheAPIsIsNamed(t *testing.T) {
	t.Parallel()
	for wanted, handler := range map[string]http.HandlerFunc{
		`it is no JSON but "text/html"`:           answer(http.StatusOK, "text/html", "<html>sign in</html>"),
		`it is no JSON but "application/json"`:    json200(`{"items":[`),
		`it leads to "https://sso.example/login"`: answer(http.StatusFound, "text/html", "", "Location", "https://sso.example/login"),
		"it is no problem document":               answer(http.StatusForbidden, "text/html", "<html>blocked</html>"),
	} {
		c, s := setup(t, handler)
		_, err := Body(c.ListOrders(t.Context(), nil))
		require.ErrorContains(t, err, wanted)
		require.ErrorContains(t, err, "check the address, and any proxy in between")
		require.Equal(t, 1, s.count(), "redirects are not followed, and a repeat would not help")
	}
}

func TestOnlyAnAddressIsAnAddress(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "host", "ftp://host", "https://user:pw@host", "https://host?x=1", "https://host#x", "https://"} {
		_, err := New(Options{URL: url, Key: key})
		require.ErrorContains(t, err, "https://host", url)
		require.NotContains(t, err.Error(), "pw@")
	}
}

func TestAnUnknownHostIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	c, err := New(Options{URL: "http://quartermaster.invalid", Key: key, Timeout: 5 * time.Second, RetryFor: time.Minute})
	require.NoError(t, err)
	began := time.Now()
	_, err = Body(c.ListOrders(t.Context(), nil))
	require.ErrorContains(t, err, "no answer from quartermaster.invalid")
	require.Less(t, time.Since(began), 30*time.Second)
}

func TestListsAreReadPageByPageAndTolerantly(t *testing.T) {
	t.Parallel()
	first, second := `{"id":"a","new":1}`, `{"id":"b","state":"dreaming"}`
	c, s := setup(t, json200(`{"items":[`+first+`,`+second+`],"next_cursor":"n"}`), json200(`{"items":[{"id":"c"}]}`))
	var ids []string
	var raws strings.Builder
	for item, err := range List[openapi.Order](func(limit *int, cursor *string) (*http.Response, error) {
		return c.ListOrders(t.Context(), &openapi.ListOrdersParams{Limit: limit, Cursor: cursor})
	}) {
		require.NoError(t, err)
		ids = append(ids, item.Value.ID)
		raws.Write(item.Raw)
	}
	require.Equal(t, []string{"a", "b", "c"}, ids)
	require.Equal(t, first+second+`{"id":"c"}`, raws.String(), "unchanged")
	require.Equal(t, "n", s.requests[1].URL.Query().Get("cursor"))
}
