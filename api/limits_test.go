package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
				if err := b.take(budget{who: "key a", rate: 10, burst: 10, at: now.Add(time.Duration(step) * time.Second)}); err == nil {
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

// guess sends a key from an address and returns the status.
func (w *testAPI) guess(key, address string) int {
	r := httptest.NewRequest(http.MethodGet, "/v1/orders", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	r.RemoteAddr = address
	return serve(w.handler, r).Code
}

// madeUp is a key that has the form of one and opens nothing.
func madeUp(i int) string { return fmt.Sprintf("qm_live_%012d_%s", i, strings.Repeat("A", 43)) }

func TestGuessesAreLimitedByTheirAddress(t *testing.T) {
	t.Parallel()
	w, later := setupLimited(t)
	const attacker = "203.0.113.7:1234"
	id, _, _ := splitKey("Bearer " + w.key)
	past := now.Add(-time.Hour)
	expired := w.createKeyOf("acme", provision.RoleAdmin, func(k *provision.APIKey) { k.ExpiresAt = &past })
	require.Equal(t, http.StatusUnauthorized, w.guess("qm_live_"+id+"_"+strings.Repeat("A", 43), attacker), "a wrong secret")
	require.Equal(t, http.StatusUnauthorized, w.guess(expired, attacker))
	for i := range 50 {
		for _, key := range []string{madeUp(i), "qm_live_" + id + "_" + fmt.Sprintf("%043d", i), expired, "rubbish"} {
			require.Equal(t, http.StatusTooManyRequests, w.guess(key, attacker))
		}
	}
	detail := readProblem(t, w.send("rubbish", http.MethodGet, "/v1/orders", ""),
		http.StatusUnauthorized, codeUnauthorized).Detail
	require.Contains(t, detail, "send the header", "another address has a budget of its own")
	w.send("rubbish", http.MethodGet, "/v1/orders", "")
	detail = readProblem(t, w.send("rubbish", http.MethodGet, "/v1/orders", ""), http.StatusTooManyRequests, codeTooManyRequests).Detail
	require.Contains(t, detail, "the limit of your address, for requests without a valid API key, is 1 requests per second")
	later(time.Second)
	require.Equal(t, http.StatusUnauthorized, w.guess("rubbish", attacker))
}

// Behind a proxy that is not trusted, everyone has the address of the proxy. The process has seen none of the keys before.
func TestAFloodOfInvalidKeysFromOneAddressRefusesNoValidKey(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	token := w.token(w.completedOrder("done-1"))
	var attackers errgroup.Group
	over := make(chan struct{})
	for attacker := range 4 {
		attackers.Go(func() error {
			for i := 0; ; i++ {
				select {
				case <-over:
					return nil
				default:
					w.guess(madeUp(attacker*1_000_000+i), "192.0.2.1:1234")
				}
			}
		})
	}
	for range 300 {
		w.guess("rubbish", "192.0.2.1:1234")
	}
	for range 30 {
		require.Equal(t, http.StatusOK, w.guess(w.createKey("acme"), "192.0.2.1:1234"))
	}
	require.Equal(t, http.StatusTooManyRequests, w.guess("rubbish", "192.0.2.1:1234"))
	answer := w.send("", http.MethodPost, "/v1/password-reveals", asText(map[string]any{"token": token}))
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
	require.Equal(t, http.StatusOK, w.send("", http.MethodGet, "/v1/openapi.json", "").Code)
	close(over)
	require.NoError(t, attackers.Wait())
}

// A client chooses its address within its /64 freely.
func TestAnIPv6NetworkHasOneBudget(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	statuses := map[int]int{}
	for i := range 300 {
		statuses[w.guess(madeUp(i), fmt.Sprintf("[2001:db8:1:2:%x::%x]:1234", i, i))]++
	}
	require.Equal(t, map[int]int{http.StatusUnauthorized: 2, http.StatusTooManyRequests: 298}, statuses)
	require.Equal(t, http.StatusUnauthorized, w.guess(madeUp(1), "[2001:db8:1:3::1]:1234"), "another network")
	for _, same := range []string{"198.51.100.7:1", "[::ffff:198.51.100.7]:1", "[64:ff9b::198.51.100.7]:1"} {
		w.guess(madeUp(1), same)
	}
	require.Equal(t, http.StatusTooManyRequests, w.guess(madeUp(1), "198.51.100.7:2"), "one address in three forms")
	require.Equal(t, http.StatusUnauthorized, w.guess(madeUp(1), "198.51.100.8:2"))
}

// Each operation that needs no key has its own budget for each address.
func TestRevealsHaveABudgetOfTheirOwn(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	reveal := func() int {
		return w.send("", http.MethodPost, "/v1/password-reveals", `{"token":"forged"}`).Code
	}
	for range 3 {
		w.guess("rubbish", "192.0.2.1:1234")
		w.send("", http.MethodGet, "/v1/openapi.json", "")
	}
	require.NotEqual(t, http.StatusTooManyRequests, reveal())
	reveal()
	p := readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", `{"token":"forged"}`), http.StatusTooManyRequests,
		codeTooManyRequests)
	require.Contains(t, p.Detail, "the limit of your address, for requests of this kind, is 1 requests per second")
}

func TestANewValidKeyCostsItsAddressNothing(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	for range 20 {
		require.Equal(t, http.StatusOK, w.send(w.createKey("acme"), http.MethodGet, "/v1/orders", "").Code)
	}
	require.Equal(t, http.StatusUnauthorized, w.guess("rubbish", "192.0.2.1:1234"))
}

// A client that repeats an invalid key costs no query, and neither does one whose key ends while it is used.
func TestAnInvalidKeyIsNotReadAgain(t *testing.T) {
	t.Parallel()
	w, later := setupLimited(t)
	keys := w.countKeys()
	text := w.createKey("acme")
	require.Equal(t, http.StatusOK, w.guess(text, "192.0.2.1:1"))
	require.Equal(t, 1, keys.asked)
	id, _, _ := splitKey("Bearer " + text)
	_, err := w.store.APIKeys.Revoke(t.Context(), "test", "acme", id, "", false)
	require.NoError(t, err)
	for range 20 {
		require.NotEqual(t, http.StatusOK, w.guess(text, "192.0.2.1:1"))
		require.NotEqual(t, http.StatusOK, w.guess(madeUp(1), "192.0.2.1:1"))
	}
	require.Equal(t, 3, keys.asked)
	later(invalidKept)
	p := readProblem(t, w.send(text, http.MethodGet, "/v1/orders", ""), http.StatusUnauthorized, codeUnauthorized)
	require.Contains(t, p.Detail, "is revoked")
	require.Equal(t, 4, keys.asked)
}

// slowKeys takes a while, and counts the queries that run at once.
type slowKeys struct {
	APIKeys
	queries, atOnce, most atomic.Int32
	release               chan struct{}
}

func (s *slowKeys) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	s.queries.Add(1)
	s.most.Store(max(s.most.Load(), s.atOnce.Add(1)))
	defer s.atOnce.Add(-1)
	<-s.release
	return s.APIKeys.Find(ctx, ids...)
}

func TestKeysThatAreNewToTheProcessShareOneQueryAtATime(t *testing.T) {
	t.Parallel()
	w, _ := setupLimited(t)
	slow := &slowKeys{APIKeys: w.store.APIKeys, release: make(chan struct{})}
	w.change(func(c *Config) { c.APIKeys = slow })
	valid := w.createKey("acme")
	var callers errgroup.Group
	var opened atomic.Int32
	for i := range 50 {
		callers.Go(func() error {
			key := madeUp(i)
			if i%10 == 0 {
				key = valid
			}
			if w.guess(key, "192.0.2.1:1234") == http.StatusOK {
				opened.Add(1)
			}
			return nil
		})
	}
	close(slow.release)
	require.NoError(t, callers.Wait())
	require.LessOrEqual(t, opened.Load(), int32(2), "the burst of the key itself")
	require.Positive(t, opened.Load())
	require.Equal(t, int32(1), slow.most.Load())

	// A key that is known does not wait for the guesses.
	slow.release = make(chan struct{})
	callers.Go(func() error { w.guess(madeUp(1000), "192.0.2.1:1234"); return nil })
	require.Eventually(t, func() bool { return slow.atOnce.Load() == 1 }, 20*time.Second, time.Millisecond)
	callers.Go(func() error { w.guess(valid, "192.0.2.1:1234"); return nil })
	require.Eventually(t, func() bool { return slow.atOnce.Load() == 2 }, 20*time.Second, time.Millisecond)
	close(slow.release)
	require.NoError(t, callers.Wait())
}

// The first of several callers who share a query hangs up; the others get their answer.
func TestACallerWhoHangsUpDoesNotEndTheQueryOfOthers(t *testing.T) {
	t.Parallel()
	var lookup keyLookup
	began, release := make(chan struct{}, 2), make(chan struct{})
	find := func(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
		began <- struct{}{}
		<-release
		return []provision.APIKey{{ID: ids[0]}}, ctx.Err()
	}
	ctx, hangUp := context.WithCancel(t.Context())
	var first, second errgroup.Group
	first.Go(func() error { _, _, err := lookup.key(ctx, find, "a", [32]byte{}); return err })
	<-began
	hangUp()
	require.ErrorIs(t, first.Wait(), context.Canceled)
	second.Go(func() error {
		_, found, err := lookup.key(t.Context(), find, "b", [32]byte{})
		if !found {
			return errors.Join(err, errors.New("b was not found"))
		}
		return err
	})
	close(release)
	require.NoError(t, second.Wait())
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
	err := b.take(budget{who: "key a", rate: 1, burst: 2, at: now})
	require.NoError(t, err)
	err = b.take(budget{who: "key slow", rate: 0.001, burst: 1, at: now})
	require.NoError(t, err)
	later(sweepEvery)
	err = b.take(budget{who: "key b", rate: 1, burst: 2, at: w.service.Now()})
	require.NoError(t, err)
	require.NotContains(t, b.of, "key a")
	require.Contains(t, b.of, "key slow", "its budget is not full again")
	err = b.take(budget{who: "key slow", rate: 0.001, burst: 1, at: w.service.Now()})
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

func (brokenKeys) Find(context.Context, ...string) ([]provision.APIKey, error) {
	return nil, provision.ErrUnavailable
}

// usesFail cannot write that a key was used.
type usesFail struct{ APIKeys }

func (usesFail) NoteUse(context.Context, string) error { return errors.New("disk full") }
