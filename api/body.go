package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// bodyOf returns the media type of an operation's body, and its maximum size in bytes (x-max-bytes) if it is a file or if bodyLimit does
// not hold for it.
func bodyOf(op *openapi3.Operation) (mediaType string, maxBytes int64, err error) {
	if op.RequestBody == nil {
		return "", 0, nil
	}
	mediaTypes := slices.Collect(maps.Keys(op.RequestBody.Value.Content))
	if len(mediaTypes) != 1 {
		return "", 0, errors.New("its body must have exactly one media type")
	}
	mediaType = mediaTypes[0]
	most, _ := op.RequestBody.Value.Extensions["x-max-bytes"].(float64)
	if maxBytes = int64(most); mediaType != echo.MIMEApplicationJSON && maxBytes == 0 {
		return "", 0, fmt.Errorf("x-max-bytes is required for a body that is not JSON: the body is %s", mediaType)
	}
	return mediaType, maxBytes, nil
}

// readJSON reads the body and parses it. given is false for an optional body that is empty; the Content-Type of an empty body does not
// matter.
func (s *service) readJSON(c echo.Context, op *operation) (body any, given bool, err error) {
	text, err := s.readBody(c, op.limited(c))
	if err != nil {
		return nil, false, err
	}
	empty := len(bytes.TrimSpace(text)) == 0
	if empty && !op.RequestBody.Value.Required {
		return nil, false, nil
	}
	if err := mustBe(c.Request(), echo.MIMEApplicationJSON); err != nil {
		return nil, false, err
	}
	if empty {
		return nil, false, problem(codeInvalidJSON, "the body is empty: send a JSON object")
	}
	body, err = parseJSON(text)
	return body, true, err
}

// putBody gives the handler the body that was checked, and returns its JSON. Without a body, it gives the handler none.
func putBody(r *http.Request, body any, given bool) ([]byte, error) {
	if !given {
		r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0
		return nil, nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding a parsed body: %w", err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	r.Body, _ = r.GetBody() // never fails
	r.ContentLength = int64(len(text))
	r.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON) // the generated code compares bytes
	return text, nil
}

// takesFile reports whether the body is a file, which the handler reads.
func (op *operation) takesFile() bool {
	return op.maxBytes > 0 && op.mediaType != echo.MIMEApplicationJSON
}

// limited returns the body with the operation's own limit of its size. If it has none, a middleware has set bodyLimit.
func (op *operation) limited(c echo.Context) io.Reader {
	if op.maxBytes == 0 {
		return c.Request().Body
	}
	return http.MaxBytesReader(c.Response(), c.Request().Body, op.maxBytes)
}

// readBody reads the whole body, whose size is limited.
func (s *service) readBody(c echo.Context, body io.Reader) ([]byte, error) {
	connection := http.NewResponseController(c.Response())
	_ = connection.SetReadDeadline(time.Now().Add(s.BodyTimeout)) // an error means that there is no connection, as in tests
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, s.bodyProblem(err)
	}
	_ = connection.SetReadDeadline(time.Time{}) // otherwise the server takes the deadline for a caller who has hung up
	return text, nil
}

// bodyProblem says why a body could not be read.
func (s *service) bodyProblem(err error) error {
	_, tooLarge := errors.AsType[*echo.HTTPError](err)
	_, fileTooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge || fileTooLarge:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(codeRequestTimeout, "the body did not arrive within %s: send it faster, or in smaller parts", s.BodyTimeout).because(err)
	case errors.Is(err, context.Canceled):
		return hungUp(err)
	}
	return problem(codeBadRequest, "the body is incomplete: send it again").because(err)
}

// mustBe refuses a body with another Content-Type or charset, and a body that is compressed.
func mustBe(r *http.Request, mediaType string) error {
	for _, coding := range r.Header.Values(echo.HeaderContentEncoding) {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return problem(codeUnsupportedMediaType, "Content-Encoding is %q: send the body without a content coding", coding)
		}
	}
	declared := strings.Join(r.Header.Values(echo.HeaderContentType), ", ")
	got, parameters, err := mime.ParseMediaType(declared)
	if err != nil || got != mediaType {
		return problem(codeUnsupportedMediaType, "Content-Type is %q: send %s", declared, mediaType)
	}
	if charset, given := parameters["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return problem(codeUnsupportedMediaType, "the charset is %q: send UTF-8", charset)
	}
	return nil
}

// openFile checks and limits a body that is a file. The handler reads it.
func (s *service) openFile(c echo.Context, op *operation) error {
	r := c.Request()
	if err := mustBe(r, op.mediaType); err != nil {
		return err
	}
	if r.ContentLength > op.maxBytes {
		return &http.MaxBytesError{Limit: op.maxBytes}
	}
	text, err := s.readBody(c, op.limited(c))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}
