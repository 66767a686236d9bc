package api

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// Codes of problems that exist only over HTTP. The other codes are provision's.
const (
	codeBadRequest           provision.Code = "BadRequest"
	codeInvalidJSON          provision.Code = "InvalidJSON"
	codeInvalidParameter     provision.Code = "InvalidParameter"
	codeUnauthorized         provision.Code = "Unauthorized"
	codeForbidden            provision.Code = "Forbidden"
	codeNotFound             provision.Code = provision.CodeNotFound
	codeMethodNotAllowed     provision.Code = "MethodNotAllowed"
	codeConflict             provision.Code = provision.CodeConflict
	codeAccountExists        provision.Code = "AccountExists"
	codeBatchIDReused        provision.Code = "BatchIDReused"
	codeCountChanged         provision.Code = "CountChanged"
	codePreconditionFailed   provision.Code = "PreconditionFailed"
	codePreconditionRequired provision.Code = "PreconditionRequired"
	codeAlreadyDone          provision.Code = "AlreadyDone"
	codeStillRunning         provision.Code = "StillRunning"
	codeIdempotencyKeyReused provision.Code = "IdempotencyKeyReused"
	codeLinkUsedUp           provision.Code = "LinkUsedUp"
	codeEventsGone           provision.Code = "EventsGone"
	codeBodyTooLarge         provision.Code = "BodyTooLarge"
	codeUnsupportedMediaType provision.Code = "UnsupportedMediaType"
	codeInvalid              provision.Code = "Invalid"
	codeTooManyRequests      provision.Code = "TooManyRequests"
	codeUnavailable          provision.Code = provision.CodeUnavailable
	codeRequestTimeout       provision.Code = "RequestTimeout"
	codeClientClosedRequest  provision.Code = "ClientClosedRequest"
)

// statusClientClosedRequest is the status in the log and in metrics of a request whose caller hung up. No one receives it. nginx uses the
// same number.
const statusClientClosedRequest = 499

// problems is the only table from a code to an HTTP status. retryAfter is in seconds, unless the problem knows better; 0
// means no such header.
var problems = map[provision.Code]struct {
	status     int
	title      string
	retryAfter int
}{
	codeBadRequest:              {http.StatusBadRequest, "The request cannot be read", 0},
	codeInvalidJSON:             {http.StatusBadRequest, "The JSON body cannot be used", 0},
	codeInvalidParameter:        {http.StatusBadRequest, "A parameter is invalid", 0},
	codeRequestTimeout:          {http.StatusRequestTimeout, "The request took too long to arrive", 0},
	codeClientClosedRequest:     {statusClientClosedRequest, "The caller hung up", 0},
	codeUnauthorized:            {http.StatusUnauthorized, "A valid API key is required", 0},
	codeForbidden:               {http.StatusForbidden, "The API key does not have permission", 0},
	codeNotFound:                {http.StatusNotFound, "Not found", 0},
	codeMethodNotAllowed:        {http.StatusMethodNotAllowed, "Method not allowed", 0},
	provision.CodeOrderIDReused: {http.StatusConflict, "The order id is already used", 0},
	provision.CodeNotAsked:      {http.StatusConflict, "The order has not asked for this", 0},
	provision.CodeTooLate:       {http.StatusConflict, "It is too late for this", 0},
	provision.CodeSignInInUse:   {http.StatusConflict, "The customer has made the sign-in their own", 0},
	provision.CodeSignInRemoved: {http.StatusConflict, "The customer has removed the sign-in", 0},
	codeAccountExists:           {http.StatusConflict, "The account is already in a pool", 0},
	codeBatchIDReused:           {http.StatusConflict, "The batch id is already used", 0},
	codeCountChanged:            {http.StatusConflict, "The number has changed since the review", 0},
	codeConflict:                {http.StatusConflict, "The current state does not allow this", 0},
	codeAlreadyDone:             {http.StatusConflict, "An earlier request did this", 0},
	codeStillRunning:            {http.StatusConflict, "An earlier request is running", 0},
	codePreconditionFailed:      {http.StatusPreconditionFailed, "It has changed since you read it", 0},
	codePreconditionRequired:    {http.StatusPreconditionRequired, "If-Match is required", 0},
	codeLinkUsedUp:              {http.StatusGone, "The link can no longer be used", 0},
	codeEventsGone:              {http.StatusGone, "Events are no longer available", 0},
	codeBodyTooLarge:            {http.StatusRequestEntityTooLarge, "The body is too large", 0},
	codeUnsupportedMediaType:    {http.StatusUnsupportedMediaType, "Unsupported media type", 0},
	codeInvalid:                 {http.StatusUnprocessableEntity, "The request has invalid fields", 0},
	provision.CodeInputRefused:  {http.StatusUnprocessableEntity, "The order refuses the value", 0},
	codeIdempotencyKeyReused:    {http.StatusUnprocessableEntity, "The Idempotency-Key is already used", 0},
	codeTooManyRequests:         {http.StatusTooManyRequests, "Too many requests", 1},
	provision.CodeInternal:      {http.StatusInternalServerError, "Internal error", 0},
	codeUnavailable:             {http.StatusServiceUnavailable, "Temporarily unavailable", 5},
}

// echoProblems maps the statuses of Echo's own errors to problems.
var echoProblems = map[int]struct {
	code   provision.Code
	detail string
}{
	http.StatusBadRequest: {codeBadRequest, "the request cannot be read: compare it with GET /v1/openapi.json"},
	http.StatusNotFound:   {codeNotFound, "no such endpoint: GET /v1/openapi.json lists them all"},
	http.StatusMethodNotAllowed: {codeMethodNotAllowed,
		"this endpoint does not support the method: the header Allow lists those that it supports"},
	http.StatusRequestEntityTooLarge: {codeBodyTooLarge, "a body may have at most 64 KiB"},
	http.StatusUnsupportedMediaType:  {codeUnsupportedMediaType, "send the media type that GET /v1/openapi.json requires"},
	http.StatusTooManyRequests:       {codeTooManyRequests, "wait for the number of seconds in Retry-After"},
	http.StatusServiceUnavailable:    {codeUnavailable, "send the same request again in a moment"},
}

// problemError is an error with what to tell the caller.
type problemError struct {
	code       provision.Code
	detail     string
	fields     []openapi.FieldProblem
	earlier    *openapi.EarlierRequest
	cause      error // for the log only
	retryAfter int   // seconds; 0: as the table says
}

// Error is for the log: it has the code and the cause, but not the detail, which may quote the customer's input.
func (p *problemError) Error() string {
	if p.cause != nil {
		return string(p.code) + ": " + p.cause.Error()
	}
	return string(p.code)
}

// Unwrap returns the cause.
func (p *problemError) Unwrap() error { return p.cause }

// problem returns an error with a detail for the caller: what is wrong and what to do about it.
func problem(code provision.Code, detail string, args ...any) *problemError {
	return &problemError{code: code, detail: fmt.Sprintf(detail, args...)}
}

func (p *problemError) because(err error) *problemError {
	p.cause = err
	return p
}

func (p *problemError) at(fields ...openapi.FieldProblem) *problemError {
	p.fields = fields
	return p
}

// notFound says that something does not exist, or belongs to another provider.
func notFound(what string, err error) error {
	return problem(codeNotFound, "%s not found", what).because(err)
}

// stale refuses to update something that has changed since the caller read it.
func stale(what string, err error) error {
	return problem(codePreconditionFailed, "%s has changed since you read it: read it again and send its new ETag", what).because(err)
}

// invalidFields refuses the body because of its fields.
func invalidFields(fields ...openapi.FieldProblem) *problemError {
	return problem(codeInvalid, "%s", countOf(fields, "field")).at(fields...)
}

// invalidParameters refuses the request because of its parameters.
func invalidParameters(fields ...openapi.FieldProblem) *problemError {
	return problem(codeInvalidParameter, "%s", countOf(fields, "parameter")).at(fields...)
}

func countOf(fields []openapi.FieldProblem, what string) string {
	if len(fields) == 1 {
		return "1 " + what + " is invalid"
	}
	return fmt.Sprintf("%d %ss are invalid", len(fields), what)
}

// bodyField is an invalid field of the body; field is its dotted name, empty for the whole body.
func bodyField(field, message string) openapi.FieldProblem {
	pointer := ""
	if field != "" {
		pointer = "/" + strings.ReplaceAll(field, ".", "/") // no name of a field contains a dot, a slash or a tilde
	}
	return openapi.FieldProblem{In: "body", Pointer: &pointer, Field: resource.Optional(field), Message: message}
}

// asProblem decides what to tell the caller about an error. An error that it does not know is an internal one.
func asProblem(err error) *problemError {
	if known, ok := errors.AsType[*problemError](err); ok {
		return known
	}
	if failure, ok := errors.AsType[*provision.Failure](err); ok && failure.Code.IsRefusal() {
		return refused(*failure)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(codeBodyTooLarge, "the body may have at most %d bytes: split it", tooLarge.Limit).because(err)
	}
	if noAnswer(err) {
		return problem(codeUnavailable,
			"a service that Quartermaster depends on did not answer in time: send the same request again in a moment").
			because(err)
	}
	if fromEcho, ok := errors.AsType[*echo.HTTPError](err); ok {
		return echoProblem(fromEcho)
	}
	if state, ok := errors.AsType[*provision.StateError](err); ok {
		return problem(codeConflict, "%s", state.Reason).because(err)
	}
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return problem(codeNotFound, "not found").because(err)
	case errors.Is(err, provision.ErrConflict):
		return problem(codeConflict, "its current state does not allow this: read it again").because(err)
	case errors.Is(err, provision.ErrGone):
		return problem(codeLinkUsedUp, "it has already been used").because(err)
	}
	return internal(err)
}

// hungUp is what a caller who hung up would get.
func hungUp(err error) *problemError {
	return problem(codeClientClosedRequest, "the caller hung up before the answer").because(err)
}

// internal is an error that callers can do nothing about.
func internal(err error) *problemError {
	return problem(provision.CodeInternal, "an internal error occurred and was logged with this request id").because(err)
}

// noAnswer reports whether the database or Temporal did not answer, so that repeating the request may help.
func noAnswer(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, provision.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, driver.ErrBadConn)
}

func echoProblem(err *echo.HTTPError) *problemError {
	if p, ok := echoProblems[err.Code]; ok {
		return problem(p.code, "%s", p.detail).because(err)
	}
	if err.Code < http.StatusInternalServerError {
		return problem(codeBadRequest, "%s", echoProblems[http.StatusBadRequest].detail).because(err)
	}
	return internal(err)
}

// refused is the problem for a request that an order refuses. It does not keep the failure as its cause, because causes are
// logged, and the reason may quote the caller's input.
func refused(f provision.Failure) *problemError {
	p := problem(f.Code, "%s", f.Reason)
	if f.Field != "" {
		p = p.at(bodyField(f.Field, f.Reason))
	}
	return p
}

const (
	problemCode        = "problem.code" // key in the request's Echo context, for the log
	problemContentType = "application/problem+json"
)

// writeProblem is Echo's error handler: the only place that writes a problem.
func (s *service) writeProblem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := asProblem(err)
	row := problems[p.code]
	if row.status == 0 { // a code without a row, which a test forbids
		p = internal(err)
		row = problems[p.code]
	}
	c.Set(problemCode, p.code)
	header := c.Response().Header()
	if row.retryAfter > 0 {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(max(row.retryAfter, p.retryAfter)))
	}
	if row.status == http.StatusUnauthorized {
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="quartermaster"`)
	}
	body, err := json.Marshal(openapi.Problem{
		Type:      "urn:quartermaster:problem:" + string(p.code),
		Title:     row.title,
		Status:    row.status,
		Code:      p.code,
		Detail:    p.detail,
		RequestID: header.Get(echo.HeaderXRequestID),
		Errors:    resource.OptionalSlice(p.fields),
		Earlier:   p.earlier,
	})
	if err == nil {
		err = c.Blob(row.status, problemContentType, body)
	}
	if err != nil { // the caller has hung up
		s.Log.DebugContext(c.Request().Context(), "could not send the problem", "error", err)
	}
}

// value returns what a pointer points to, or the zero value for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
