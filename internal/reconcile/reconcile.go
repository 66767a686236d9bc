package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"quartermaster/internal/provision"
)

// How long something may look wrong before it counts. Temporal's visibility lags behind its workflows by seconds, and a
// workflow closes a moment after its order's row.
const (
	// Grace is for everything that settles by itself.
	Grace = time.Minute
	// Settled is how long after the end of a run none of its attempts can be running any more: the longest may take five
	// minutes (workflows, option rows). Only then may another run take over.
	Settled = 6 * time.Minute
)

// Bounds say how long an order may stay in a state before that is a finding. The states that wait for somebody have the
// deadlines of their pool.
type Bounds struct {
	Accepted     time.Duration
	Provisioning time.Duration
	Compensating time.Duration
	Deadlines    time.Duration // how much later than its pool's deadline a waiting order ends
	Grace        time.Duration // for what settles by itself
	Settled      time.Duration // after the end of a run, before another one may take over
}

// DefaultBounds are those of production.
func DefaultBounds() Bounds {
	return Bounds{Accepted: 5 * time.Minute, Provisioning: time.Hour, Compensating: time.Hour, Deadlines: time.Hour, Grace: Grace, Settled: Settled}
}

// Order is an order as the reconciler sees it.
type Order struct {
	provision.OrderKey
	State   provision.OrderState
	Since   time.Time // of the state
	Account string    // that it holds in progress; empty: none
	Touched bool      // a step that writes to AWS was begun in that account
	Active  time.Time // when something last happened: the state, or a step of it
}

// Reconciliation reads and repairs the rows of orders.
type Reconciliation interface {
	// Contradictions lists what is wrong within the database, as of one moment for each invariant. It compares requests with their hashes
	// only for orders that are in progress or ended after requestsSince.
	Contradictions(ctx context.Context, bounds Bounds, requestsSince time.Time) ([]Finding, error)
	// OrdersInProgress lists the orders that have not ended.
	OrdersInProgress(ctx context.Context) ([]Order, error)
	// OrdersNow reads the given orders again. Orders without a row are missing from the result.
	OrdersNow(ctx context.Context, keys []provision.OrderKey) (map[provision.OrderKey]Order, error)
	// RestoreOrder writes the row of an order again, with the account that it had. It returns provision.ErrConflict for an order that has
	// ended, and for one that completed with an account which another order has now.
	RestoreOrder(ctx context.Context, lost Lost, actor, reason string) error
	// PrepareRestart makes an order ready for another run and returns it as it was first placed. It returns provision.ErrConflict for an
	// order that has ended, and for one that has written to its account.
	PrepareRestart(ctx context.Context, key provision.OrderKey, actor, reason string) (provision.Order, error)
}

// Accounts reads accounts.
type Accounts interface {
	// Get reads one account of the provider. Errors: provision.ErrNotFound.
	Get(ctx context.Context, provider, id string) (provision.Account, error)
}

// Orders writes to the history of orders.
type Orders interface {
	// NoteAction records what was done to an order, and why.
	NoteAction(ctx context.Context, key provision.OrderKey, action string, by provision.Intervention) error
}

// Workflows is what the reconciler needs of Temporal.
type Workflows interface {
	// Open lists the open workflows of orders and when they started, from Temporal's visibility, which lags.
	Open(ctx context.Context) (map[provision.OrderKey]time.Time, error)
	// Closed lists how the newest run of each order closed that visibility knows to have closed after that time.
	Closed(ctx context.Context, after time.Time) (map[provision.OrderKey]string, error)
	// Run reads the newest run of an order's workflow from Temporal itself, which does not lag.
	Run(ctx context.Context, key provision.OrderKey) (Run, error)
	// Completed reads the newest run of an order's workflow that completed, from visibility; one without an id when none did.
	Completed(ctx context.Context, key provision.OrderKey) (Run, error)
	// Story reads the history of a run. Errors: ErrSealed when it cannot be opened.
	Story(ctx context.Context, key provision.OrderKey, run Run) (Story, error)
	// Restart starts the workflow of an order again, from the beginning. It returns false when a run is open.
	Restart(ctx context.Context, order provision.Order) (started bool, err error)
	// Continue makes a closed run go on at its last completed workflow task, with all that it knew. It returns false when
	// the history does not allow it, or when it is not the newest run any more.
	Continue(ctx context.Context, key provision.OrderKey, run Run, reason string) (continued bool, err error)
	// WakeOrders tells waiting orders to look for their account. One that has ended needs no waking.
	WakeOrders(ctx context.Context, keys []provision.OrderKey) error
}

// Reconciler finds what is wrong, and repairs what is safe to repair.
type Reconciler struct {
	Reconciliation Reconciliation
	Accounts       Accounts
	Orders         Orders
	Workflows      Workflows // nil: the database is not compared with Temporal
	Bounds         Bounds
	// All also looks at what ended long ago: the requests of ended orders, and runs that closed.
	All bool
	Now func() time.Time // nil: time.Now

	lookedBack atomic.Int64 // when all closed runs were looked at, in seconds of Unix time
}

// recently is how far back closed runs and ended orders are looked at, unless all of them are.
const recently = 24 * time.Hour

func (a *Reconciler) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// closedSince is how far back closed runs are looked at. All of them are at first and then once a day: after a restore of
// the database from an older backup, lost orders may have ended long ago.
func (a *Reconciler) closedSince() time.Time {
	last := time.Unix(a.lookedBack.Load(), 0)
	if !a.All && a.now().Sub(last) < recently {
		return a.now().Add(-recently)
	}
	a.lookedBack.Store(a.now().Unix()) // also when this fails: the next audit must not fail for the same reason
	return time.Time{}
}

// Find lists everything that is wrong; nothing is changed. When a part cannot be checked the findings of the others come
// with the error.
func (a *Reconciler) Find(ctx context.Context) ([]Finding, error) {
	var requestsSince time.Time
	if !a.All {
		requestsSince = a.now().Add(-recently)
	}
	found, err := a.Reconciliation.Contradictions(ctx, a.Bounds, requestsSince)
	if err != nil {
		err = fmt.Errorf("the database could not be checked: %w", err)
	}
	for i := range found {
		if kind := found[i].Kind; kind == KindStockNotGiven || kind == KindOrderNotWoken || kind == KindStopNotHeard {
			found[i].Repairable, found[i].repair = true, &repair{how: wake}
		}
	}
	if a.Workflows != nil {
		crossed, crossErr := a.crossCheck(ctx)
		if crossErr != nil {
			err = errors.Join(err, fmt.Errorf("the database could not be compared with Temporal: %w", crossErr))
		}
		found = append(found, crossed...)
	}
	slices.SortStableFunc(found, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), x.Since.Compare(y.Since), cmp.Compare(x.Order.String(), y.Order.String()), cmp.Compare(x.Account, y.Account))
	})
	return found, err
}
