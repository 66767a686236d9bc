package awscloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/smithy-go"
)

// single lets one caller at a time ask AWS for credentials. The others wait, use its result, and share its failure: when AWS does
// not answer, four steps of an order wait for one timeout and not for four in a row.
type single struct {
	token chan struct{}

	mu       sync.Mutex
	failure  error
	failedAt time.Time
}

func newSingle() *single { return &single{token: make(chan struct{}, 1)} }

// idle reports whether no caller is at work.
func (s *single) idle() bool { return len(s.token) == 0 }

// do waits until no other caller is at work, then calls work. If another caller's work failed after do was called, it returns that
// failure instead.
func (s *single) do(ctx context.Context, work func(context.Context) error) error {
	began := time.Now()
	if ctx.Err() != nil {
		return timedOut(ctx)
	}
	select {
	case s.token <- struct{}{}:
		defer func() { <-s.token }()
	case <-ctx.Done():
		return timedOut(ctx)
	}
	s.mu.Lock()
	failure, failedAt := s.failure, s.failedAt
	s.mu.Unlock()
	if failure != nil && failedAt.After(began) {
		return failure
	}
	err := work(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.failedAt = err, time.Now()
	if errors.Is(ctx.Err(), context.Canceled) {
		s.failure = nil // the caller was canceled, which says nothing about AWS
	}
	return err
}

// timedOut returns the error of a caller whose context ended while another caller waited for AWS's answer to AssumeRole.
func timedOut(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &smithy.OperationError{ServiceID: "STS", OperationName: assumeRole, Err: ctx.Err()}
	}
	return ctx.Err()
}
