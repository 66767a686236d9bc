package metrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// probe asks a metrics listener.
func probe(path string, needs ...Need) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	Handler(prometheus.NewRegistry(), needs...).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return answer
}

func TestTheMetricsListenerIsAlive(t *testing.T) {
	t.Parallel()
	require.Equal(t, http.StatusNoContent, probe("/livez").Code)
	require.Equal(t, http.StatusNotFound, probe("/readyz").Code, "the API has one of its own")
}

func TestAProcessIsReadyWhenAllItNeedsIsThere(t *testing.T) {
	t.Parallel()
	there := func(context.Context) error { return nil }
	missing := func(context.Context) error { return errors.New("connection refused") }
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	hangs := func(context.Context) error { // whatever its context says
		<-hung
		return nil
	}
	require.Equal(t, http.StatusNoContent, probe("/readyz", Need{"Temporal", there}, Need{"the database", there}).Code)
	for sentence, needs := range map[string][]Need{
		"the database is not ready: connection refused\n": {{"Temporal", there}, {"the database", missing}},
		"Temporal is not ready: connection refused\n":     {{"Temporal", missing}, {"the database", missing}},
		"Temporal did not answer within 2s\n":             {{"Temporal", hangs}, {"the database", hangs}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			answer := probe("/readyz", needs...)
			require.Equal(t, http.StatusServiceUnavailable, answer.Code)
			require.Equal(t, sentence, answer.Body.String())
			require.Less(t, time.Since(began), readyTimeout+time.Second)
		})
	}
}
