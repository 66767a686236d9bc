package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	"quartermaster/api/openapi"
)

// NotTheAPI reports an answer that does not come from Quartermaster: usually QM_API_URL names another server, or a proxy answers.
type NotTheAPI struct {
	Status int
	What   string // what came instead
}

// Error says what came and what to check.
func (e *NotTheAPI) Error() string {
	return fmt.Sprintf("the answer (%d %s) does not come from Quartermaster's API: %s; check the address, and any proxy in between",
		e.Status, http.StatusText(e.Status), e.What)
}

// Body returns the body of a successful answer. Errors: *openapi.Problem when the API refuses, *NotTheAPI, *Unreachable.
func Body(answer *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	problem := openapi.ProblemOf(answer.StatusCode, body)
	switch {
	case answer.StatusCode < 300 && (kind == "text/csv" || answer.StatusCode == http.StatusNoContent):
		return body, nil
	case answer.StatusCode < 300 && json.Valid(body):
		return body, nil
	case answer.StatusCode < 300:
		return nil, &NotTheAPI{answer.StatusCode, fmt.Sprintf("it is no JSON but %q", kind)}
	case answer.StatusCode < 400:
		return nil, &NotTheAPI{answer.StatusCode, fmt.Sprintf("it leads to %q", answer.Header.Get("Location"))}
	case problem.Code == "":
		return nil, &NotTheAPI{answer.StatusCode, "it is no problem document"}
	}
	return nil, problem
}

// Object returns a successful answer as a value, and its JSON as the API sent it.
func Object[T any](answer *http.Response, err error) (object T, raw []byte, _ error) {
	if raw, err = Body(answer, err); err != nil {
		return object, nil, err
	}
	object, err = decode[T](raw)
	return object, raw, err
}

// decode reads JSON tolerantly.
func decode[T any](raw []byte) (object T, err error) {
	if err = json.Unmarshal(raw, &object); err != nil {
		err = fmt.Errorf("reading the API's answer: %w (is this program older than the API?)", err)
	}
	return object, err
}
