package awscloud

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/smithy-go"
)

// gate lets one caller at a time into an account. The others wait for it, use what it brought, and share its failure: when AWS
// does not answer, four steps of an order wait for it once and not one after the other.
type gate struct {
	turn chan struct{}

	mu     sync.Mutex
	failed error
	ended  time.Time // when it failed
}

func newGate() *gate { return &gate{turn: make(chan struct{}, 1)} }

// idle tells whether nobody is in the gate.
func (g *gate) idle() bool { return len(g.turn) == 0 }

// pass calls work when it is the caller's turn.
func (g *gate) pass(ctx context.Context, work func(context.Context) error) error {
	began := time.Now()
	if ctx.Err() != nil {
		return enteringEnded(ctx)
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return enteringEnded(ctx)
	}
	g.mu.Lock()
	failed, ended := g.failed, g.ended
	g.mu.Unlock()
	if failed != nil && ended.After(began) {
		return failed
	}
	err := work(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed, g.ended = err, time.Now()
	if errors.Is(ctx.Err(), context.Canceled) {
		g.failed = nil // the caller has gone away, which says nothing about the account
	}
	return err
}

// enteringEnded is the error of a caller whose time is over while another one asks AWS for the way in.
func enteringEnded(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &smithy.OperationError{ServiceID: "STS", OperationName: assumeRole, Err: ctx.Err()}
	}
	return ctx.Err()
}
