package metrics

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyTimeout bounds the answer of /readyz.
const readyTimeout = 2 * time.Second

// Need is something that a process cannot work without.
type Need struct {
	Name string                      // for people, e.g. "the database"
	Ask  func(context.Context) error // returns nil when it is there
}

// Handler serves the registry at /metrics and 204 at /livez. When the process has needs, it also serves /readyz: 204 when all of
// them are there, else 503 and a sentence that names the first one that is not.
func Handler(registry *prometheus.Registry, needs ...Need) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 2 * readTimeout}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if len(needs) > 0 {
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
			if err := ask(r.Context(), needs); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	return mux
}

// ask asks for all needs at once. It returns in time even when one of them does not.
func ask(ctx context.Context, needs []Need) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	answers := make([]chan error, len(needs))
	for i, need := range needs {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- need.Ask(ctx) }()
	}
	for i, need := range needs {
		select {
		case err := <-answers[i]:
			if err != nil {
				return fmt.Errorf("%s is not ready: %w", need.Name, err)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer within %s", need.Name, readyTimeout)
		}
	}
	return nil
}
