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
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// bodyOf returns the media type of an operation's body and, for a file, its maximum size in bytes (x-max-bytes).
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
	if maxBytes = int64(most); (mediaType == echo.MIMEApplicationJSON) != (maxBytes == 0) {
		return "", 0, fmt.Errorf("x-max-bytes is required for a body that is not JSON, and not allowed for JSON: the body is %s", mediaType)
	}
	return mediaType, maxBytes, nil
}

// readJSON reads the body, checks that it is JSON, and puts it back for the handler. It returns nil for an optional body that
// is empty; the Content-Type of an empty body does not matter.
func readJSON(r *http.Request, required bool) ([]byte, error) {
	body, err := readBody(r.Context(), r.Body)
	if err != nil {
		return nil, err
	}
	empty := len(bytes.TrimSpace(body)) == 0
	if empty && !required {
		r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0
		return nil, nil
	}
	if err := mustBe(r, echo.MIMEApplicationJSON); err != nil {
		return nil, err
	}
	switch {
	case empty:
		return nil, problem(codeInvalidJSON, "the body is empty: send a JSON object")
	case !utf8.Valid(body):
		return nil, problem(codeInvalidJSON, "the body is not UTF-8: encode the JSON in UTF-8")
	}
	var document json.RawMessage
	if err := json.Unmarshal(body, &document); err != nil {
		where := ""
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			where = fmt.Sprintf(" at byte %d", syntax.Offset)
		}
		return nil, problem(codeInvalidJSON, "the body is not JSON%s: %s", where, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.ContentLength = int64(len(body))
	return body, nil
}

// readBody reads the whole body. A middleware or openFile has already set its limit.
func readBody(ctx context.Context, body io.Reader) ([]byte, error) {
	text, err := io.ReadAll(body)
	if err == nil {
		return text, nil
	}
	_, tooLarge := errors.AsType[*echo.HTTPError](err)
	_, fileTooLarge := errors.AsType[*http.MaxBytesError](err)
	if tooLarge || fileTooLarge || ctx.Err() != nil {
		return nil, err
	}
	return nil, problem(codeBadRequest, "the body is incomplete: send it again").because(err)
}

// mustBe refuses a body with another Content-Type.
func mustBe(r *http.Request, mediaType string) error {
	declared := r.Header.Get(echo.HeaderContentType)
	got, _, err := mime.ParseMediaType(declared)
	if err != nil || got != mediaType {
		return problem(codeUnsupportedMediaType, "Content-Type is %q: send %s", declared, mediaType)
	}
	return nil
}

// openFile checks and limits a body that is a file. The handler reads it.
func openFile(c echo.Context, op *operation) error {
	r := c.Request()
	if err := mustBe(r, op.mediaType); err != nil {
		return err
	}
	_, parameters, _ := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)) // it can be parsed
	if charset, given := parameters["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return problem(codeUnsupportedMediaType, "the charset is %q: send UTF-8", charset)
	}
	if r.ContentLength > op.maxBytes {
		return &http.MaxBytesError{Limit: op.maxBytes}
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, op.maxBytes)
	return nil
}
