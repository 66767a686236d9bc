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

// bodyOf is the one media type of an operation's body and, for a file, how many bytes it may have (x-max-bytes).
func bodyOf(op *openapi3.Operation) (mediaType string, maxBytes int64, err error) {
	if op.RequestBody == nil {
		return "", 0, nil
	}
	mediaTypes := slices.Collect(maps.Keys(op.RequestBody.Value.Content))
	if len(mediaTypes) != 1 {
		return "", 0, errors.New("its body needs exactly one media type")
	}
	mediaType = mediaTypes[0]
	most, _ := op.RequestBody.Value.Extensions["x-max-bytes"].(float64)
	if maxBytes = int64(most); (mediaType == echo.MIMEApplicationJSON) != (maxBytes == 0) {
		return "", 0, fmt.Errorf("x-max-bytes is for a body that is no JSON, and %s needs it", mediaType)
	}
	return mediaType, maxBytes, nil
}

// readJSON reads the body once, checks that it is JSON, and puts it back. A body that is not required may be empty, whatever
// type it is said to be of; then nil is returned.
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
		return nil, problem(codeInvalidJSON, "the body is not UTF-8: JSON must be")
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

// readBody reads the body, of which the limit is set already.
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
	return nil, problem(codeBadRequest, "the body ended too early: send it again").because(err)
}

// mustBe refuses a body that is declared as something else.
func mustBe(r *http.Request, mediaType string) error {
	declared := r.Header.Get(echo.HeaderContentType)
	got, _, err := mime.ParseMediaType(declared)
	if err != nil || got != mediaType {
		return problem(codeUnsupportedMediaType, "Content-Type is %q: send %s", declared, mediaType)
	}
	return nil
}

// openFile readies a body that is a file for its handler, which reads it.
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
