package api

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return fmt.Errorf("reading order acme/MP-1: %w", err) }
	for _, c := range []struct {
		err    error
		status int
		code   provision.Code
	}{
		{wrap(provision.ErrNotFound), http.StatusNotFound, codeNotFound},
		{wrap(provision.ErrConflict), http.StatusConflict, codeConflict},
		{wrap(provision.ErrGone), http.StatusGone, codeLinkUsedUp},
		{wrap(provision.ErrUnavailable), http.StatusServiceUnavailable, codeUnavailable},
		{wrap(context.DeadlineExceeded), http.StatusServiceUnavailable, codeUnavailable},
		{wrap(context.Canceled), http.StatusServiceUnavailable, codeUnavailable},
		{wrap(driver.ErrBadConn), http.StatusServiceUnavailable, codeUnavailable},
		{wrap(&net.OpError{Op: "dial", Err: errors.New("refused")}), http.StatusServiceUnavailable, codeUnavailable},
		{wrap(errors.New("anything")), http.StatusInternalServerError, provision.CodeInternal},
		{echo.NewHTTPError(http.StatusTeapot, "secret"), http.StatusBadRequest, codeBadRequest},
		{echo.NewHTTPError(http.StatusBadGateway, "secret"), http.StatusInternalServerError, provision.CodeInternal},
		{echo.ErrNotFound, http.StatusNotFound, codeNotFound},
		{echo.ErrMethodNotAllowed, http.StatusMethodNotAllowed, codeMethodNotAllowed},
		{echo.ErrStatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge, codeBodyTooLarge},
		{echo.ErrUnsupportedMediaType, http.StatusUnsupportedMediaType, codeUnsupportedMediaType},
		{echo.ErrTooManyRequests, http.StatusTooManyRequests, codeTooManyRequests},
	} {
		p := asProblem(c.err)
		require.Equal(t, c.code, p.code, "%v", c.err)
		require.Equal(t, c.status, problems[p.code].status, "%v", c.err)
		require.NotContains(t, p.detail, "secret")
		require.NotContains(t, p.detail, "acme", "what is wrong inside stays inside")
		require.ErrorIs(t, p, c.err)
	}
}

func TestEveryCodeHasARowInTheTable(t *testing.T) {
	t.Parallel()
	for status, p := range echoProblems {
		require.Equal(t, status, problems[p.code].status, p.code)
	}
	for code, row := range problems {
		require.Regexp(t, `^[A-Z][A-Za-z]+$`, string(code))
		require.GreaterOrEqual(t, row.status, 400, code)
		require.NotEmpty(t, row.title, code)
	}
}

func TestTheRouterAnswersWithProblems(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, target := range []string{"/", "/v1", "/v1/nothing", "/v1/orders/a/b", "/reveal/other.js"} {
		readProblem(t, w.get(target), http.StatusNotFound, codeNotFound)
	}
	answer := w.send(w.key, http.MethodDelete, "/v1/orders", "")
	readProblem(t, answer, http.StatusMethodNotAllowed, codeMethodNotAllowed)
	require.Contains(t, answer.Header().Get("Allow"), "POST")
	readProblem(t, w.send(w.key, http.MethodPut, "/v1/orders/x", "{}"), http.StatusMethodNotAllowed, codeMethodNotAllowed)
	readProblem(t, w.send(w.key, http.MethodHead, "/v1/orders/x/cancel", ""), http.StatusMethodNotAllowed, codeMethodNotAllowed)
}

// A body whose length is not declared is cut off all the same.
func TestTheSizeLimitAppliesToChunkedBodies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := newChunked(http.MethodPost, "/v1/orders", bytes.Repeat([]byte(" "), 70<<10))
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header.Set("Content-Type", "application/json")
	readProblem(t, serve(w.handler, r), http.StatusRequestEntityTooLarge, codeBodyTooLarge)
}

func TestPanicsAreProblemsAndLogged(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.service.echo()
	e.GET("/boom", func(echo.Context) error { panic("a bug") })
	w.handler = e
	p := readProblem(t, w.get("/boom"), http.StatusInternalServerError, provision.CodeInternal)
	require.NotContains(t, p.Detail, "a bug")
	lines := w.log.lines(t)
	require.Len(t, lines, 2)
	require.Equal(t, "panic", lines[0]["msg"])
	require.Contains(t, lines[0]["stack"], "errors_test.go")
	require.Equal(t, "panic: a bug", lines[1]["error"])
	require.Equal(t, p.RequestID, lines[0]["request_id"])
}
