package api

import (
	"net/http"
	"slices"

	"github.com/labstack/echo-contrib/echoprometheus"
	"github.com/labstack/echo/v4"
)

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions}

// measure counts and times requests by the pattern of their route, their method and their status. Values that callers can choose
// freely are not labels: the host, a path without a route, and an unknown method.
func (s *service) measure() (echo.MiddlewareFunc, error) {
	return echoprometheus.MiddlewareConfig{
		Namespace:                 "quartermaster",
		Subsystem:                 "http",
		Registerer:                s.Metrics,
		DoNotUseRequestPathFor404: true,
		LabelFuncs: map[string]echoprometheus.LabelValueFunc{
			"host": func(echo.Context, error) string { return "" },
			"method": func(c echo.Context, _ error) string {
				if method := c.Request().Method; slices.Contains(methods, method) {
					return method
				}
				return "other"
			},
		},
		StatusCodeResolver: func(c echo.Context, _ error) int { return c.Response().Status }, // the request log has had it written
	}.ToMiddleware()
}
