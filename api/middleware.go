package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"quartermaster/internal/provision"
)

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// contentPolicy allows only what the reveal page needs: its own script and style.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// echo returns an Echo without routes, with the middleware of every request.
func (s *service) echo() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.writeProblem
	e.IPExtractor = clientAddress(s.TrustedProxies)

	e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			// Callers may send their own request id, unless it is too long or could break a line of the log.
			if !requestIDPattern.MatchString(c.Request().Header.Get(echo.HeaderXRequestID)) {
				c.Request().Header.Del(echo.HeaderXRequestID)
			}
			c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
			return next(c)
		}
	})
	e.Pre(middleware.RequestID())
	e.Use(s.requestLog(), s.recoverPanics(), hangUps)
	e.Use(middleware.SecureWithConfig(middleware.SecureConfig{
		ContentTypeNosniff:    "nosniff",
		XFrameOptions:         "DENY",
		HSTSMaxAge:            int((365 * 24 * time.Hour).Seconds()),
		ContentSecurityPolicy: contentPolicy,
		ReferrerPolicy:        "no-referrer",
	}))
	e.Use(middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Limit: bodyLimit, Skipper: s.hasOwnLimit}))
	e.Use(middleware.ContextTimeoutWithConfig(middleware.ContextTimeoutConfig{
		Skipper:      func(c echo.Context) bool { return c.Path() == streamPath },
		Timeout:      requestTimeout,
		ErrorHandler: func(err error, _ echo.Context) error { return err }, // asProblem handles deadlines
	}))
	return e
}

// hangUps distinguishes callers who hang up from services that do not answer: both end a call to the database or to Temporal.
func hangUps(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		caller := c.Request().Context() // without the deadline that a later middleware adds
		err := next(c)
		if err != nil && caller.Err() != nil && noAnswer(err) && problems[asProblem(err).code].status >= http.StatusInternalServerError {
			return hungUp(err)
		}
		return err
	}
}

// hasOwnLimit reports whether the operation has a limit of its own for the size of its body, which applies after authentication.
func (s *service) hasOwnLimit(c echo.Context) bool {
	op := s.contract.operations[c.Request().Method+" "+c.Path()]
	return op != nil && op.maxBytes > 0
}

// requestLog writes one line per request. It logs the pattern of the route, never the requested path or a body, because these
// may contain tokens or the customer's data. It logs a refusal by its code, because the message may quote the customer's
// input; only internal errors are logged with their text.
func (s *service) requestLog() echo.MiddlewareFunc {
	return middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
		HandleError: true, LogError: true, LogLatency: true, LogMethod: true, LogRemoteIP: true, LogRequestID: true, LogStatus: true,
		LogValuesFunc: func(c echo.Context, v middleware.RequestLoggerValues) error {
			route := c.Path()
			if route == "" {
				route = "(none)"
			}
			level := slog.LevelInfo
			who := callerOf(c.Request().Context())
			attrs := []slog.Attr{
				slog.String("method", v.Method), slog.String("route", route), slog.Int("status", v.Status),
				slog.Duration("took", v.Latency), slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
				slog.String("ip", v.RemoteIP), slog.String("provider", who.Provider), slog.String("key", who.KeyID),
			}
			if code, ok := c.Get(problemCode).(provision.Code); ok {
				attrs = append(attrs, slog.String("code", string(code)))
			}
			if v.Status >= http.StatusInternalServerError {
				level = slog.LevelError
				if v.Error != nil {
					attrs = append(attrs, slog.String("error", v.Error.Error()))
				}
			}
			s.Log.LogAttrs(context.WithoutCancel(c.Request().Context()), level, "request", attrs...)
			return nil
		},
	})
}

func (s *service) recoverPanics() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll:     true,
		DisableErrorHandler: true, // requestLog passes the error on, and then logs its status
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			s.Log.LogAttrs(context.WithoutCancel(c.Request().Context()), slog.LevelError, "panic",
				slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)), slog.String("stack", string(stack)))
			return fmt.Errorf("panic: %w", err)
		},
	})
}
