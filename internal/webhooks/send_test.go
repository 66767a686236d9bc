package webhooks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

var event = provision.Event{
	ID: "0b9c5c1e-5b1f-4d2b-9d07-3f6a3f0e6f0a", Type: "order.completed",
	At: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Data: []byte(`{"order_id":"o-1"}`),
}

// send makes one attempt at a receiver.
func send(t *testing.T, attempts int, secrets []string, receiver http.HandlerFunc) provision.DeliveryOutcome {
	t.Helper()
	server := httptest.NewServer(receiver)
	defer server.Close()
	sender := NewSender(Policy{Loopback: true}, []time.Duration{time.Second, time.Minute}, func() float64 { return 0.5 })
	outcome, err := sender.Send(t.Context(), provision.DeliveryJob{
		Webhook: provision.Webhook{URL: server.URL + "/x?token=hush"}, Event: event, Attempts: attempts,
	}, secrets)
	require.NoError(t, err)
	require.NotContains(t, outcome.Error, "hush")
	return outcome
}

func TestAMessageIsSignedWithEverySecretAsTheStandardSays(t *testing.T) {
	t.Parallel()
	newer, older := NewSecret(), NewSecret()
	require.NotEqual(t, newer, older)
	outcome := send(t, 0, []string{newer, older}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusBadRequest)
		}
		for _, secret := range []string{newer, older} {
			verifier, err := standardwebhooks.NewWebhook(secret)
			if err != nil || verifier.Verify(body, r.Header) != nil {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
		stranger, err := standardwebhooks.NewWebhook(NewSecret())
		if err != nil || stranger.Verify(body, r.Header) == nil || len(strings.Fields(r.Header.Get("webhook-signature"))) != 2 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		const wanted = `{"type":"order.completed","timestamp":"2026-11-22T10:00:00Z","data":{"order_id":"o-1"}}`
		if r.Header.Get("webhook-id") != event.ID || string(body) != wanted {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	require.Empty(t, outcome.Error)
	require.Equal(t, http.StatusOK, outcome.StatusCode)
	require.Nil(t, outcome.RetryIn)
}

func TestWhatIsNotTakenIsTriedAgainUntilTheScheduleEnds(t *testing.T) {
	t.Parallel()
	down := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no\x00\x1b[31m"+strings.Repeat("ä", 9000), http.StatusBadGateway)
	}
	for attempts, wait := range []time.Duration{1050 * time.Millisecond, 63 * time.Second} {
		outcome := send(t, attempts, []string{NewSecret()}, down)
		require.Equal(t, wait, *outcome.RetryIn)
		require.Equal(t, "the receiver answered 502 Bad Gateway", outcome.Error)
		require.LessOrEqual(t, len([]rune(outcome.Answer)), keptAnswer)
		require.NotContains(t, outcome.Answer, "\x00")
		require.NotContains(t, outcome.Answer, "\x1b")
	}
	require.Nil(t, send(t, 2, []string{NewSecret()}, down).RetryIn)
	require.True(t, send(t, 0, []string{NewSecret()}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }).Gone)
}

func TestAReceiverMayAskToWaitLongerThanTheScheduleDoes(t *testing.T) {
	t.Parallel()
	in := func(wait time.Duration) string { return time.Now().UTC().Add(wait).Format(http.TimeFormat) }
	for text, wait := range map[string]time.Duration{
		"120": 2 * time.Minute, "999999": time.Hour, "99999999999999999999": time.Hour, in(999 * time.Hour): time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT": time.Hour, " 7 ": 7 * time.Second,
		"": time.Second, "0": time.Second, "-5": time.Second, "+5": time.Second, "1.5": time.Second, "soon": time.Second, "0x10": time.Second,
		in(-time.Hour): time.Second, "Thu, 01 Jan 1970 00:00:00 GMT": time.Second, "2999-01-01T00:00:00Z": time.Second,
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadRequest, http.StatusFound} {
			outcome := send(t, 0, []string{NewSecret()}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Retry-After"] = []string{text}
				w.WriteHeader(status)
			})
			require.Equal(t, wait+wait/20, *outcome.RetryIn, "%q, %d", text, status) // half of the jitter
			require.Equal(t, wait > time.Second, strings.Contains(outcome.Error, ", and asks to wait "+wait.String()), outcome.Error)
		}
	}
	outcome := send(t, 0, []string{NewSecret()}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", in(5*time.Minute))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	require.InDelta(t, 5*time.Minute.Seconds()*1.05, outcome.RetryIn.Seconds(), 30)
	later := send(t, 1, []string{NewSecret()}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	require.Equal(t, 63*time.Second, *later.RetryIn, "never earlier than the schedule")
	accepted := send(t, 0, []string{NewSecret()}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "120") })
	require.Nil(t, accepted.RetryIn)
}

// A slow receiver holds an attempt until its time is over, and no longer.
func TestASlowReceiverIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "drop ")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
	}
	for name, c := range map[string]struct {
		receiver http.HandlerFunc
		error    string
		status   int
	}{
		"it stalls": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer within 15s", 0},
		"it refuses in drops": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			drip(w, r)
		}, "the receiver answered 503 Service Unavailable, and asks to wait 1m0s", http.StatusServiceUnavailable},
		"it accepts in drops": {drip, "", http.StatusOK},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client has gone
			c.receiver(w, r)
		}))
		sender := NewSender(Policy{Loopback: true}, []time.Duration{time.Second}, func() float64 { return 0 })
		sender.client.Timeout = 300 * time.Millisecond
		outcome, err := sender.Send(t.Context(), provision.DeliveryJob{Webhook: provision.Webhook{URL: server.URL}, Event: event},
			[]string{NewSecret()})
		server.Close()
		require.NoError(t, err, name)
		require.Equal(t, c.error, outcome.Error, name)
		require.Equal(t, c.status, outcome.StatusCode, name)
		require.Equal(t, c.error != "", outcome.RetryIn != nil, name)
		require.Less(t, outcome.TookMS, 15_000, name)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	outcome := send(t, 0, []string{NewSecret()}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	require.Equal(t, http.StatusTemporaryRedirect, outcome.StatusCode)
	require.Contains(t, outcome.Error, "redirects are not followed")
	require.NotNil(t, outcome.RetryIn)
}

func TestNothingIsSentToAForbiddenAddress(t *testing.T) {
	t.Parallel()
	sender := NewSender(Policy{}, nil, func() float64 { return 0 })
	for url, wanted := range map[string]string{"https://127.0.0.1:1/": "not a public one", "https://[::1]/": "not a public one"} {
		job := provision.DeliveryJob{Webhook: provision.Webhook{URL: url}, Event: event}
		outcome, err := sender.Send(t.Context(), job, []string{NewSecret()})
		require.NoError(t, err)
		require.Contains(t, outcome.Error, wanted, url)
		require.Zero(t, outcome.StatusCode)
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	sender = NewSender(Policy{Loopback: true}, nil, func() float64 { return 0 })
	job := provision.DeliveryJob{Webhook: provision.Webhook{URL: closed.URL}, Event: event}
	outcome, err := sender.Send(t.Context(), job, []string{NewSecret()})
	require.NoError(t, err)
	require.Contains(t, outcome.Error, "no connection could be made")
}

func TestASecretThatIsNoneIsOurFault(t *testing.T) {
	t.Parallel()
	job := provision.DeliveryJob{Webhook: provision.Webhook{URL: "http://127.0.0.1:1"}, Event: event}
	_, err := NewSender(Policy{Loopback: true}, nil, nil).Send(t.Context(), job, []string{"whsec_%%hush"})
	require.ErrorContains(t, err, "whsec_<base64>")
	require.NotContains(t, err.Error(), "hush")
}
