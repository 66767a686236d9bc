package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/alecthomas/kong"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// Exit codes. docs/cli.md has this table; a test compares both.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitUnavailable = 5
	exitForbidden   = 6
	exitPartly      = 7
	exitInterrupted = 130
)

var exitCodes = []struct {
	code    int
	meaning string
}{
	{0, "The command did what it says."},
	{exitFailed, "It failed, or what it checks or follows is not well: a finding, a faulty row, an order that did not complete."},
	{exitUsage, "The command line is wrong, a setting is missing, or a question could not be asked."},
	{exitNotFound, "What the command names does not exist, or belongs to another provider."},
	{exitRefused, "The API refused: a value is invalid, or the state does not allow it."},
	{exitUnavailable, "No answer came, or Quartermaster is temporarily unavailable. Run the command again."},
	{exitForbidden, "The API key is invalid, or it may not do this."},
	{exitPartly, "Of several items, some failed. The output says which."},
	{exitInterrupted, "The command was interrupted."},
}

// errInterrupted reports that a signal stopped the command.
var errInterrupted = errors.New("interrupted")

// usageError is a mistake in the command line or the environment.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// usage returns an error about the command line or the environment.
func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// partly reports that some of several items failed.
type partly struct{ failed, all int }

func (e *partly) Error() string { return fmt.Sprintf("%d of %d failed", e.failed, e.all) }

// exitCode returns the exit code for an error.
func exitCode(err error) int {
	if refused, ok := errors.AsType[*openapi.Problem](err); ok {
		return exitCodeOf(refused.Status)
	}
	if other, ok := errors.AsType[*client.NotTheAPI](err); ok && other.Status >= 500 {
		return exitUnavailable
	}
	for _, kind := range []struct {
		code int
		is   bool
	}{
		{exitUsage, is[*usageError](err) || is[*kong.ParseError](err)},
		{exitUnavailable, is[*client.Unreachable](err)},
		{exitPartly, is[*partly](err)},
		{exitInterrupted, errors.Is(err, errInterrupted)},
		{exitNotFound, errors.Is(err, provision.ErrNotFound)},
		{exitRefused, errors.Is(err, provision.ErrConflict) || is[*provision.InvalidError](err) || is[*provision.Failure](err)},
	} {
		if kind.is {
			return kind.code
		}
	}
	return exitFailed
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// exitCodeOf returns the exit code for the status of a refusal.
func exitCodeOf(status int) int {
	switch {
	case status == http.StatusNotFound:
		return exitNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return exitForbidden
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable,
		status == http.StatusGatewayTimeout:
		return exitUnavailable
	case status < 500:
		return exitRefused
	}
	return exitFailed
}

// inWords describes an error to a person: of a refusal, every field and the id to quote.
func inWords(err error) string {
	refused, ok := errors.AsType[*openapi.Problem](err)
	if !ok {
		return err.Error()
	}
	var text strings.Builder
	text.WriteString(strings.Replace(err.Error(), refused.Error(), refused.Detail, 1))
	fmt.Fprintf(&text, " (%s, request %s)", refused.Code, refused.RequestID)
	if refused.Errors != nil {
		for _, field := range *refused.Errors {
			fmt.Fprintf(&text, "\n  %s: %s", or(field.Field, field.In), field.Message)
		}
	}
	return text.String()
}

// or returns the text behind a pointer, or another one without it.
func or[T ~string](text *T, other T) T {
	if text == nil || *text == "" {
		return other
	}
	return *text
}
