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
	"quartermaster/internal/provision"
)

// ErrUnavailable says that something this service needs does not answer, and that the effect of the call is unknown.
var ErrUnavailable = errors.New("unavailable")

// The codes of problems that only HTTP knows. The others are provision's.
const (
	codeBadRequest           provision.Code = "BadRequest"
	codeInvalidJSON          provision.Code = "InvalidJSON"
	codeInvalidParameter     provision.Code = "InvalidParameter"
	codeUnauthorized         provision.Code = "Unauthorized"
	codeForbidden            provision.Code = "Forbidden"
	codeNotFound             provision.Code = "NotFound"
	codeMethodNotAllowed     provision.Code = "MethodNotAllowed"
	codeConflict             provision.Code = "Conflict"
	codeAccountExists        provision.Code = "AccountExists"
	codePreconditionFailed   provision.Code = "PreconditionFailed"
	codePreconditionRequired provision.Code = "PreconditionRequired"
	codeLinkUsedUp           provision.Code = "LinkUsedUp"
	codeEventsGone           provision.Code = "EventsGone"
	codeBodyTooLarge         provision.Code = "BodyTooLarge"
	codeUnsupportedMediaType provision.Code = "UnsupportedMediaType"
	codeInvalid              provision.Code = "Invalid"
	codeTooManyRequests      provision.Code = "TooManyRequests"
	codeUnavailable          provision.Code = "Unavailable"
)

// problems is the only table from a code to an HTTP status. retryAfter is in seconds, unless the problem knows better; 0: no
// such header.
var problems = map[provision.Code]struct {
	status     int
	title      string
	retryAfter int
}{
	codeBadRequest:              {http.StatusBadRequest, "The request cannot be read", 0},
	codeInvalidJSON:             {http.StatusBadRequest, "The body is not JSON", 0},
	codeInvalidParameter:        {http.StatusBadRequest, "A parameter is wrong", 0},
	codeUnauthorized:            {http.StatusUnauthorized, "A valid API key is needed", 0},
	codeForbidden:               {http.StatusForbidden, "The API key may not do that", 0},
	codeNotFound:                {http.StatusNotFound, "Not found", 0},
	codeMethodNotAllowed:        {http.StatusMethodNotAllowed, "The method is not offered here", 0},
	provision.CodeOrderIDReused: {http.StatusConflict, "The order id is taken", 0},
	provision.CodeNotAsked:      {http.StatusConflict, "The order does not ask for that", 0},
	provision.CodeTooLate:       {http.StatusConflict, "It is too late for that", 0},
	codeAccountExists:           {http.StatusConflict, "The account is in a pool already", 0},
	codeConflict:                {http.StatusConflict, "The state of the thing forbids it", 0},
	codePreconditionFailed:      {http.StatusPreconditionFailed, "It was changed meanwhile", 0},
	codePreconditionRequired:    {http.StatusPreconditionRequired, "If-Match is needed", 0},
	codeLinkUsedUp:              {http.StatusGone, "The link is used up", 0},
	codeEventsGone:              {http.StatusGone, "Events are missing", 0},
	codeBodyTooLarge:            {http.StatusRequestEntityTooLarge, "The body is too large", 0},
	codeUnsupportedMediaType:    {http.StatusUnsupportedMediaType, "The body is of another type", 0},
	codeInvalid:                 {http.StatusUnprocessableEntity, "Fields are wrong", 0},
	provision.CodeInputRefused:  {http.StatusUnprocessableEntity, "The order refuses the value", 0},
	codeTooManyRequests:         {http.StatusTooManyRequests, "Too many requests", 1},
	provision.CodeInternal:      {http.StatusInternalServerError, "Something went wrong here", 0},
	codeUnavailable:             {http.StatusServiceUnavailable, "Not available at the moment", 5},
}

// echoProblems says what Echo's own errors are called here, by their status.
var echoProblems = map[int]struct {
	code   provision.Code
	detail string
}{
	http.StatusBadRequest:            {codeBadRequest, "the request cannot be read: compare it with GET /v1/openapi.json"},
	http.StatusNotFound:              {codeNotFound, "there is no such address: GET /v1/openapi.json lists them all"},
	http.StatusMethodNotAllowed:      {codeMethodNotAllowed, "this address does not take this method: the header Allow names those that it takes"},
	http.StatusRequestEntityTooLarge: {codeBodyTooLarge, "a body may have at most 64 KiB"},
	http.StatusUnsupportedMediaType:  {codeUnsupportedMediaType, "send what GET /v1/openapi.json says that the address takes"},
	http.StatusTooManyRequests:       {codeTooManyRequests, "wait as long as Retry-After says"},
	http.StatusServiceUnavailable:    {codeUnavailable, "send the same request again in a moment"},
}

// problemError is an error that knows what the caller is to be told.
type problemError struct {
	code       provision.Code
	detail     string
	fields     []openapi.FieldProblem
	cause      error // for the log, never for the caller
	retryAfter int   // seconds; 0: as the table says
}

// Error is for the log: the cause and the code, without the detail, which may quote the customer's input.
func (p *problemError) Error() string {
	if p.cause != nil {
		return string(p.code) + ": " + p.cause.Error()
	}
	return string(p.code)
}

// Unwrap is the cause.
func (p *problemError) Unwrap() error { return p.cause }

// problem is an error with a detail for the caller: what is wrong and what to do about it.
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

// stale refuses an edit of something that is not any more as the editor saw it.
func stale(what string, err error) error {
	return problem(codePreconditionFailed, "%s was changed since you read it: read it again and send its ETag", what).because(err)
}

// invalidFields refuses the body for its fields.
func invalidFields(fields ...openapi.FieldProblem) *problemError {
	return problem(codeInvalid, "%s", countOf(fields, "field")).at(fields...)
}

// invalidParameters refuses the address for its parameters.
func invalidParameters(fields ...openapi.FieldProblem) *problemError {
	return problem(codeInvalidParameter, "%s", countOf(fields, "parameter")).at(fields...)
}

func countOf(fields []openapi.FieldProblem, what string) string {
	if len(fields) == 1 {
		return "1 " + what + " is wrong"
	}
	return fmt.Sprintf("%d %ss are wrong", len(fields), what)
}

// bodyField is a wrong field of the body; field is its dotted name, empty for the body as a whole.
func bodyField(field, message string) openapi.FieldProblem {
	pointer := ""
	if field != "" {
		pointer = "/" + strings.ReplaceAll(field, ".", "/") // no field of ours holds a dot, a slash or a tilde
	}
	return openapi.FieldProblem{In: "body", Pointer: &pointer, Field: optional(field), Message: message}
}

// asProblem says what the caller is told about an error. What nobody foresaw is a fault of ours.
func asProblem(err error) *problemError {
	var known *problemError
	var fromEcho *echo.HTTPError
	var network net.Error
	var refusal *provision.Failure
	var tooLarge *http.MaxBytesError
	var state *provision.StateError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refusal) && isRefusal(refusal.Code):
		return refused(*refusal)
	case errors.As(err, &tooLarge):
		return problem(codeBodyTooLarge, "the file may have at most %d bytes: split it", tooLarge.Limit).because(err)
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, driver.ErrBadConn), errors.As(err, &network):
		return problem(codeUnavailable, "something that this service needs does not answer in time: send the same request again in a moment").because(err)
	case errors.As(err, &fromEcho):
		if p, ok := echoProblems[fromEcho.Code]; ok {
			return problem(p.code, "%s", p.detail).because(err)
		}
		if fromEcho.Code < http.StatusInternalServerError {
			return problem(codeBadRequest, "%s", echoProblems[http.StatusBadRequest].detail).because(err)
		}
	case errors.As(err, &state):
		return problem(codeConflict, "%s", state.Reason).because(err)
	case errors.Is(err, provision.ErrNotFound):
		return problem(codeNotFound, "there is no such thing, or it is not yours").because(err)
	case errors.Is(err, provision.ErrConflict):
		return problem(codeConflict, "its state forbids that: read it again").because(err)
	case errors.Is(err, provision.ErrGone):
		return problem(codeLinkUsedUp, "it was there and is used up").because(err)
	}
	return problem(provision.CodeInternal, "the fault is ours and is recorded under this request id").because(err)
}

// isRefusal tells the codes with which an order answers those who want something of it. A failure of any other code is
// none of the caller's business.
func isRefusal(code provision.Code) bool {
	return code == provision.CodeNotAsked || code == provision.CodeTooLate || code == provision.CodeInputRefused
}

// refused is what the caller is told when an order refuses. The failure is not kept as the cause: its reason may quote the
// caller's input, and causes are logged.
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
		p = problem(provision.CodeInternal, "the fault is ours and is recorded under this request id").because(err)
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
	if c.Request().Method == http.MethodHead {
		err = c.NoContent(row.status)
	} else {
		var body []byte
		body, err = json.Marshal(openapi.Problem{
			Type:      "urn:quartermaster:problem:" + string(p.code),
			Title:     row.title,
			Status:    row.status,
			Code:      p.code,
			Detail:    p.detail,
			RequestID: header.Get(echo.HeaderXRequestID),
			Errors:    optionalSlice(p.fields),
		})
		if err == nil {
			err = c.Blob(row.status, problemContentType, body)
		}
	}
	if err != nil { // the caller is gone
		s.Log.DebugContext(c.Request().Context(), "problem not delivered", "error", err)
	}
}

// optional is nil for a zero value: the field is then left out of the JSON.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func optionalSlice[T any](v []T) *[]T {
	if len(v) == 0 {
		return nil
	}
	return &v
}

// value is what a pointer points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
