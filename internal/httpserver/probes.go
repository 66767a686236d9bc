package httpserver

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// readyTimeout bounds the answer of /readyz.
const readyTimeout = 2 * time.Second

// Dependency is something that a process cannot work without.
type Dependency struct {
	Name  string                      // for people, such as "the database"
	Check func(context.Context) error // returns nil when the dependency answers
}

// WithProbes adds GET /livez to the handler, which always answers 204. When the process has dependencies, it also adds
// GET /readyz, which answers 204 when all of them can be used, and otherwise 503 with a sentence that names the first one
// that cannot.
func WithProbes(handler http.Handler, dependencies ...Dependency) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if len(dependencies) > 0 {
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
			if err := check(r.Context(), dependencies); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
	return mux
}

// check checks all dependencies in parallel. It returns within readyTimeout even when a check ignores its context.
func check(ctx context.Context, dependencies []Dependency) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	answers := make([]chan error, len(dependencies))
	for i, dependency := range dependencies {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- dependency.Check(ctx) }()
	}
	for i, dependency := range dependencies {
		select {
		case err := <-answers[i]:
			if err != nil {
				return fmt.Errorf("%s is not ready: %w", dependency.Name, err)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer within %s", dependency.Name, readyTimeout)
		}
	}
	return nil
}
