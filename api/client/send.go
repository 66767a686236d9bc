package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	largestAnswer = 256 << 20 // bytes; the export of a hundred thousand accounts has about 30 MB
	longestWait   = 30 * time.Second
)

type onceKey struct{}

// Once marks the requests of a context as unsafe to repeat after an answer was lost: each one would do its work again.
func Once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// Unreachable reports that no complete answer arrived.
type Unreachable struct {
	Host  string
	Once  bool // the request was not repeated; it may have taken effect
	Cause error
}

// Error says which host did not answer, and whether the request may be repeated.
func (e *Unreachable) Error() string {
	text := fmt.Sprintf("no answer from %s: %v", e.Host, e.Cause)
	if e.Once {
		text += "; the request may have taken effect: look before you repeat it"
	}
	return text
}

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Cause }

// sender sends requests and repeats them. Its answers are complete: their bodies are in memory.
type sender struct {
	http    *http.Client
	options Options
}

// Do implements openapi.HttpRequestDoer. Errors: *Unreachable.
func (s *sender) Do(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	once := ctx.Value(onceKey{}) != nil
	var last *http.Response
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = s.options.FirstWait, longestWait/3
	answer, err := backoff.Retry(ctx, func() (*http.Response, error) {
		answer, err := s.attempt(r)
		last = answer
		switch {
		case err != nil && (ctx.Err() != nil || hopeless(err) || once && !neverSent(err)):
			return nil, backoff.Permanent(err)
		case err != nil:
			return nil, err
		case answer.StatusCode == http.StatusTooManyRequests || !once && unavailable(answer.StatusCode):
			return nil, tryLater(answer)
		}
		return answer, nil
	}, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(max(s.options.RetryFor, 1)), backoff.WithNotify(s.options.Repeating))
	switch {
	case err == nil:
		return answer, nil
	case last != nil: // the API's last word explains more than the end of our patience
		return last, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, &Unreachable{Host: r.URL.Host, Once: once && !neverSent(err), Cause: plain(err, s.options.Timeout)}
}

// attempt sends the request once and reads its whole answer, so that half an answer counts as none.
func (s *sender) attempt(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.options.Timeout)
	defer cancel()
	request := r.Clone(ctx)
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		request.Body = body
	}
	answer, err := s.http.Do(request) //nolint:gosec // it goes where the user of the program says
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestAnswer+1))
	if err == nil && len(body) > largestAnswer {
		err = fmt.Errorf("the answer has more than %d bytes", largestAnswer)
	}
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// unavailable reports whether a status means that the same request may succeed later.
func unavailable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// tryLater returns an error that says when to repeat the request, if the answer does.
func tryLater(answer *http.Response) error {
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return errors.New(answer.Status)
	}
	return fmt.Errorf("%s: %w", answer.Status, backoff.RetryAfter(min(max(seconds, 1), int(longestWait.Seconds()))))
}

// neverSent reports whether a request failed before it reached the API.
func neverSent(err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && failed.Op == "dial"
}

// hopeless reports whether a repeat must fail in the same way.
func hopeless(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	name, ok := errors.AsType[*net.DNSError](err)
	return certificate || ok && name.IsNotFound
}

// plain removes the URL from an error of net/http, and says in words that the time is up.
func plain(err error, timeout time.Duration) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("nothing came within %s", timeout)
	}
	return err
}
