package console

import (
	"net/http"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/client"
)

// loaded is a part of a page, or why it could not be read. A part that fails says so alone; the rest of the page is shown.
type loaded[T any] struct {
	Value T
	Err   *problem
}

// load reads a part of a page in the group.
func load[T any](group *errgroup.Group, part *loaded[T], call func() (*http.Response, error)) {
	group.Go(func() error {
		value, _, err := client.Object[T](call())
		if err != nil {
			part.Err = problemOf(err)
			return nil
		}
		part.Value = value
		return nil
	})
}

// read returns the answer of an operation.
func read[T any](answer *http.Response, err error) (T, error) {
	value, _, err := client.Object[T](answer, err)
	return value, err
}

// readVersion returns the answer of an operation, and the version that a later change must name in If-Match.
func readVersion[T any](answer *http.Response, err error) (value T, version string, _ error) {
	if value, err = read[T](answer, err); err != nil {
		return value, "", err
	}
	return value, answer.Header.Get("ETag"), nil
}
