package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
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

// GetHealth answers GET /v1/health.
func (s *service) GetHealth(ctx context.Context, _ server.GetHealthRequestObject) (server.GetHealthResponseObject, error) {
	found := s.Health.Examine(ctx, callerOf(ctx).Provider)
	answer := server.GetHealth200JSONResponse{
		Status: string(found.Status), At: found.At,
		Checks:    make([]openapi.HealthCheck, len(found.Checks)),
		Workers:   make([]openapi.Workers, len(found.Workers)),
		Schedules: make([]openapi.Schedule, len(found.Schedules)),
	}
	for i, c := range found.Checks {
		answer.Checks[i] = openapi.HealthCheck{Name: c.Name, Status: string(c.Status), Message: c.Message, Runbook: c.Runbook}
	}
	for i, w := range found.Workers {
		answer.Workers[i] = openapi.Workers{Type: w.Type, Count: w.Pollers, Backlog: int(w.Backlog)}
		if !w.SeenAt.IsZero() {
			answer.Workers[i].SeenAt = resource.UTC(&w.SeenAt)
		}
	}
	for i, of := range found.Schedules {
		answer.Schedules[i] = openapi.Schedule{ID: of.ID, Exists: of.Exists, Paused: of.Paused, LastRunAt: resource.UTC(of.LastRun),
			NextRunAt: resource.UTC(of.NextRun), LastResult: resource.Optional(of.LastResult)}
	}
	return answer, nil
}
