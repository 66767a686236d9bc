package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"
)

type headKey struct{}

// withoutBody marks a HEAD request. Its handler is that of GET, and the server drops what it writes. Only a handler that writes without
// end needs the mark.
func withoutBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodHead {
			c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), headKey{}, true)))
		}
		return next(c)
	}
}

// wantsNoBody reports whether the request with this context is a HEAD request.
func wantsNoBody(ctx context.Context) bool {
	head, _ := ctx.Value(headKey{}).(bool)
	return head
}
