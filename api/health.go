package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// live answers GET /livez for as long as the process serves requests.
func (s *service) live(c echo.Context) error { return c.NoContent(http.StatusNoContent) }

// ready answers GET /readyz: it succeeds if the database answers and Temporal has been usable since the start, because every
// order is refused while Temporal's namespace is missing. Once Temporal has been usable, ready no longer asks it: reads work
// without Temporal, and accepted orders are safe without workers, so taking a replica out of service would help no one.
func (s *service) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), 2*time.Second)
	defer cancel()
	if err := s.Ping(ctx); err != nil {
		return problem(codeUnavailable, "the database does not answer").because(err)
	}
	if err := s.TemporalUsable(); err != nil {
		return problem(codeUnavailable, "%s", err).because(err)
	}
	return c.NoContent(http.StatusNoContent)
}
