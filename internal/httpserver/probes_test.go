package httpserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func get(path string, dependencies ...Dependency) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	WithProbes(http.NotFoundHandler(), dependencies...).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return answer
}

func TestLivezAlwaysAnswers(t *testing.T) {
	t.Parallel()
	require.Equal(t, http.StatusNoContent, get("/livez").Code)
	require.Equal(t, http.StatusNotFound, get("/readyz").Code, "a process without dependencies has no /readyz")
	require.Equal(t, http.StatusNotFound, get("/other").Code, "the handler answers everything else")
}

func TestReadyzNamesTheFirstDependencyThatFails(t *testing.T) {
	t.Parallel()
	works := func(context.Context) error { return nil }
	refuses := func(context.Context) error { return errors.New("connection refused") }
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	hangs := func(context.Context) error { // ignores its context
		<-release
		return nil
	}
	require.Equal(t, http.StatusNoContent, get("/readyz", Dependency{"Temporal", works}, Dependency{"the database", works}).Code)
	for sentence, dependencies := range map[string][]Dependency{
		"the database is not ready: connection refused\n": {{"Temporal", works}, {"the database", refuses}},
		"Temporal is not ready: connection refused\n":     {{"Temporal", refuses}, {"the database", refuses}},
		"Temporal did not answer within 2s\n":             {{"Temporal", hangs}, {"the database", hangs}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			answer := get("/readyz", dependencies...)
			require.Equal(t, http.StatusServiceUnavailable, answer.Code)
			require.Equal(t, sentence, answer.Body.String())
			require.Less(t, time.Since(began), readyTimeout+time.Second)
		})
	}
}
