package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"quartermaster/internal/provision"
)

// setupLimited is an API whose server allows a request a second, two at once, and whose clock does not advance on its own.
func setupLimited(t *testing.T) (w *testAPI, later func(time.Duration)) {
	t.Helper()
	clock := now
	w = setup(t, func(c *Config) {
		c.RequestsPerSecond, c.Burst = 1, 2
		c.Now = func() time.Time { return clock }
	})
	return w, func(d time.Duration) { clock = clock.Add(d) }
}

// until sends requests with the key until one is refused, and returns how many were not.
func (w *testAPI) until(t *testing.T, key string) (let int, retryAfter, detail string) {
	t.Helper()
	for range 1000 {
		answer := w.send(key, http.MethodGet, "/v1/orders", "")
		if answer.Code == http.StatusTooManyRequests {
			return let, answer.Header().Get("Retry-After"), readProblem(t, answer, http.StatusTooManyRequests, codeTooManyRequests).Detail
		}
		require.Equal(t, http.StatusOK, answer.Code)
		let++
	}
	return let, "", ""
}

func TestAKeysOwnLimitApplies(t *testing.T) {
	t.Parallel()
	w, later := setupLimited(t)
	limited := func(perSecond float64) string {
		return w.createKeyOf("acme", provision.RoleViewer, func(k *provision.APIKey) { k.RateLimit = &perSecond })
	}
	fast, slow := limited(10), limited(0.25)
	id, _, _ := splitKey("Bearer " + slow)

	let, retryAfter, detail := w.until(t, fast)
	require.Equal(t, 20, let)
	require.Equal(t, "1", retryAfter)
	require.Contains(t, detail, "is 10 requests per second")
	let, retryAfter, detail = w.until(t, slow)
	require.Equal(t, 1, let)
	require.Equal(t, "4", retryAfter)
	require.Equal(t, "the limit of API key "+id+" is 0.25 requests per second: wait for the number of seconds in Retry-After", detail)
	let, _, detail = w.until(t, w.key)
	require.Equal(t, 2, let)
	require.Contains(t, detail, "is 1 requests per second")

	later(4 * time.Second) // as the slow one was told
	let, _, _ = w.until(t, slow)
	require.Equal(t, 1, let)
	let, _, _ = w.until(t, fast)
	require.Equal(t, 20, let)
}

// Who asks too often, and does not wait, gets his rate all the same: refusals cost nothing.
func TestRefusalsDoNotLowerALimit(t *testing.T) {
	t.Parallel()
	b := budgets{of: map[string]*rate.Limiter{}}
	let := 0
	for step := range 10 {
		var flood errgroup.Group
		var passed atomic.Int32
		for range 200 {
			flood.Go(func() error {
				if _, err := b.take(budget{who: "key a", rate: 10, burst: 10, at: now.Add(time.Duration(step) * time.Second)}); err == nil {
					passed.Add(1)
				}
				return nil
			})
		}
		require.NoError(t, flood.Wait())
		let += int(passed.Load())
	}
	require.Equal(t, 100, let)
}

func TestABurstOfOneKeyDoesNotSlowOthers(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	second := w.createKey("acme")
	for range 50 {
		w.get("/v1/orders")
	}
	require.Equal(t, http.StatusTooManyRequests, w.get("/v1/orders").Code)
	for _, key := range []string{second, w.otherKey} { // of the same provider, and of another one, from the same address
		let, _, _ := w.until(t, key)
		require.Equal(t, 2, let)
	}
}

func TestGuessesAreLimitedBeforeTheyCostAQuery(t *testing.T) {
	t.Parallel()
	w, later := setupLimited(t)
	keys := w.countKeys()
	require.Equal(t, http.StatusOK, w.get("/v1/orders").Code)
	id, _, _ := splitKey("Bearer " + w.key)
	past := now.Add(-time.Hour)
	expired := w.createKeyOf("acme", provision.RoleAdmin, func(k *provision.APIKey) { k.ExpiresAt = &past })
	asked := keys.asked
	guess := func(key string) int { return w.send(key, http.MethodGet, "/v1/orders", "").Code }
	require.Equal(t, http.StatusUnauthorized, guess("qm_live_"+id+"_"+strings.Repeat("A", 43)), "a wrong secret of a key that is known here")
	require.Equal(t, http.StatusUnauthorized, guess(expired))
	for i := range 50 {
		require.Equal(t, http.StatusTooManyRequests, guess(fmt.Sprintf("qm_live_%012d_%s", i, strings.Repeat("A", 43))))
		require.Equal(t, http.StatusTooManyRequests, guess("qm_live_"+id+"_"+fmt.Sprintf("%043d", i)))
		require.Equal(t, http.StatusTooManyRequests, guess(expired))
		require.Equal(t, http.StatusTooManyRequests, guess("rubbish"))
	}
	require.Equal(t, asked+2, keys.asked, "the database was asked for two guesses and no more")
	detail := readProblem(t, w.send("rubbish", http.MethodGet, "/v1/orders", ""), http.StatusTooManyRequests, codeTooManyRequests).Detail
	require.Contains(t, detail, "the limit of your address, for requests without a valid API key, is 1 requests per second")

	require.Equal(t, http.StatusOK, w.get("/v1/orders").Code, "who has a key that is known here is not locked out by it")
	later(time.Second)
	require.Equal(t, http.StatusUnauthorized, guess("rubbish"))
}

func TestANewValidKeyCostsItsAddressNothing(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	for range 20 {
		require.Equal(t, http.StatusOK, w.send(w.createKey("acme"), http.MethodGet, "/v1/orders", "").Code)
	}
	require.Equal(t, http.StatusOK, w.send("", http.MethodGet, "/v1/openapi.json", "").Code)
}

// A key that ends while it is known must not be a way to ask the database without end.
func TestAKeyThatHasEndedIsForgotten(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	keys := w.countKeys()
	text := w.createKey("acme")
	require.Equal(t, http.StatusOK, w.send(text, http.MethodGet, "/v1/orders", "").Code)
	id, _, _ := splitKey("Bearer " + text)
	_, err := w.store.APIKeys.Revoke(t.Context(), "test", "acme", id, false)
	require.NoError(t, err)
	asked := keys.asked
	for range 50 {
		w.send(text, http.MethodGet, "/v1/orders", "")
	}
	require.Equal(t, asked+3, keys.asked, "once while it was known, twice as the address may")
}

// When the database is down, callers are not told that they send too many requests.
func TestAFailureOfTheDatabaseDoesNotCountAsAGuess(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	w.service.APIKeys = brokenKeys{w.service.APIKeys}
	handler, err := w.service.routes()
	require.NoError(t, err)
	w.handler = handler
	for range 20 {
		readProblem(t, w.get("/v1/orders"), http.StatusServiceUnavailable, codeUnavailable)
	}
}

func TestFullBudgetsAreForgotten(t *testing.T) {
	t.Parallel()
	w, later := setupLimited(t)
	b := &w.service.budgets
	_, err := b.take(budget{who: "key a", rate: 1, burst: 2, at: now})
	require.NoError(t, err)
	_, err = b.take(budget{who: "key slow", rate: 0.001, burst: 1, at: now})
	require.NoError(t, err)
	later(sweepEvery)
	_, err = b.take(budget{who: "key b", rate: 1, burst: 2, at: w.service.Now()})
	require.NoError(t, err)
	require.NotContains(t, b.of, "key a")
	require.Contains(t, b.of, "key slow", "its budget is not full again")
	_, err = b.take(budget{who: "key slow", rate: 0.001, burst: 1, at: w.service.Now()})
	require.Error(t, err)
}

func TestARequestSucceedsWhenTheUseOfItsKeyCannotBeRecorded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.service.APIKeys = usesFail{w.service.APIKeys}
	handler, err := w.service.routes()
	require.NoError(t, err)
	w.handler = handler
	require.Equal(t, http.StatusOK, w.get("/v1/orders").Code)
	require.Contains(t, w.log.String(), "could not record the use of an API key")
}

// brokenKeys finds no key, because the database does not answer.
type brokenKeys struct{ APIKeys }

func (brokenKeys) Find(context.Context, string) (provision.APIKey, error) {
	return provision.APIKey{}, provision.ErrUnavailable
}

// usesFail cannot write that a key was used.
type usesFail struct{ APIKeys }

func (usesFail) NoteUse(context.Context, string) error { return errors.New("disk full") }
