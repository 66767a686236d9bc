package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"quartermaster/internal/provision"
)

// How long something may look wrong before it is a finding. Temporal's visibility lags behind its workflows by seconds, and
// a workflow closes a moment after its order has ended in the database.
const (
	// Grace is for everything that soon agrees without help.
	Grace = time.Minute
	// Settled is how long after the end of a run none of its attempts can still be running: the longest may take five minutes
	// (timeouts in workflows/call.go). Only then may another run take over.
	Settled = 6 * time.Minute
)

// Bounds say how long an order may stay in a state before that is a finding. The states in which an order waits for a person
// or for stock have the deadlines of their pool instead.
type Bounds struct {
	Accepted     time.Duration
	Provisioning time.Duration
	Compensating time.Duration
	Deadlines    time.Duration // how long after the deadline of its pool a waiting order may take to end
	Grace        time.Duration // for what soon agrees without help
	Settled      time.Duration // after the end of a run, before another run may take over
}

// DefaultBounds returns the bounds of production.
func DefaultBounds() Bounds {
	return Bounds{
		Accepted:     5 * time.Minute,
		Provisioning: time.Hour,
		Compensating: time.Hour,
		Deadlines:    time.Hour,
		Grace:        Grace,
		Settled:      Settled,
	}
}

// Order is an order as the reconciler sees it.
type Order struct {
	provision.OrderKey
	State   provision.OrderState
	Since   time.Time // of the state
	Account string    // the account in progress that it holds; empty: none
	Touched bool      // a step that writes to AWS was begun in that account
	Active  time.Time // when its state last changed or one of its steps last began or ended
}

// Reconciliation finds contradictions and reads orders.
type Reconciliation interface {
	// Contradictions lists what is wrong with the orders and accounts that are in progress, as of one moment for each invariant.
	Contradictions(ctx context.Context, bounds Bounds) ([]Finding, error)
	// ContradictionsOfEveryRow lists what is wrong with any order or account. It compares the requests of ended orders with their hashes
	// only if they ended after the given time.
	ContradictionsOfEveryRow(ctx context.Context, endedSince time.Time) ([]Finding, error)
	// RepairCounts makes the counts of accounts and orders agree with their rows.
	RepairCounts(ctx context.Context) error
	// OrdersInProgress lists the orders that have not ended.
	OrdersInProgress(ctx context.Context) ([]provision.OrderKey, error)
	// OrdersNow reads the given orders again. Orders without a row are missing from the result.
	OrdersNow(ctx context.Context, keys []provision.OrderKey) (map[provision.OrderKey]Order, error)
}

// Accounts reads accounts.
type Accounts interface {
	// Get reads one account of the provider. Errors: provision.ErrNotFound.
	Get(ctx context.Context, provider, id string) (provision.Account, error)
}

// Orders repairs the rows of orders.
type Orders interface {
	// Restore writes the row of an order again, with the account that it had. It returns provision.ErrConflict for an order that has
	// ended, and for one that completed with an account which another order has now.
	Restore(ctx context.Context, lost Lost, actor, reason string) error
	// PrepareRestart makes an order ready for another run and returns it as it was first placed. It returns provision.ErrConflict for an
	// order that has ended, and for one that has written to its account.
	PrepareRestart(ctx context.Context, key provision.OrderKey, actor, reason string) (provision.Order, error)
	// NoteAction records what was done to an order, and why.
	NoteAction(ctx context.Context, key provision.OrderKey, action string, by provision.Intervention) error
}

// Workflows is what the reconciler needs of Temporal.
type Workflows interface {
	// Open lists the newest open run of each order, of those that started after that time, from Temporal's visibility, which lags.
	Open(ctx context.Context, after time.Time) (map[provision.OrderKey]Run, error)
	// Closed lists the newest closed run of each order, of those that closed after that time, from visibility.
	Closed(ctx context.Context, after time.Time) (map[provision.OrderKey]Run, error)
	// Run reads the newest run of an order's workflow from Temporal itself, which does not lag.
	Run(ctx context.Context, key provision.OrderKey) (Run, error)
	// Completed reads from visibility the newest run of an order's workflow that completed. The run has no id when none did.
	Completed(ctx context.Context, key provision.OrderKey) (Run, error)
	// Story reads the history of a run. Errors: ErrSealed when it cannot be opened.
	Story(ctx context.Context, key provision.OrderKey, run Run) (Story, error)
	// Restart starts the workflow of an order again from the beginning. It returns false when a run is open.
	Restart(ctx context.Context, order provision.Order) (started bool, err error)
	// Continue makes a closed run go on at its last completed workflow task, with all that it knew. It returns false when the
	// history does not allow it, or when the run is no longer the newest.
	Continue(ctx context.Context, key provision.OrderKey, run Run, reason string) (continued bool, err error)
	// WakeOrders makes waiting orders look for their account. It ignores orders that have ended.
	WakeOrders(ctx context.Context, keys []provision.OrderKey) error
}

// Reconciler finds contradictions and repairs those that are safe to repair.
type Reconciler struct {
	Reconciliation Reconciliation
	Accounts       Accounts
	Orders         Orders
	Workflows      Workflows // nil: the database is not compared with Temporal
	Bounds         Bounds
	// All makes every check include everything, and what ended long ago.
	All bool
	Now func() time.Time // nil: time.Now

	mu       sync.Mutex // held by Find
	rows     rowCheck
	sighting sighting
}

// rowCheck is the last check of every row.
type rowCheck struct {
	next  time.Time // when the next one is due
	found []Finding // what it found, which holds until then
}

const (
	// recently is how far back ended orders are checked, unless all of them are.
	recently = 24 * time.Hour
	// rowChecks is how many times as long as a check of every row took passes until the next one: they use one percent of the time.
	// With some ten thousand accounts every run checks every row, with a million one in half an hour does.
	rowChecks = 100
)

func (a *Reconciler) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// Find lists everything that is wrong and changes nothing. When it cannot check a part, it returns the findings of the other
// parts with the error.
func (a *Reconciler) Find(ctx context.Context) ([]Finding, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, err := a.contradictions(ctx)
	if err != nil {
		err = fmt.Errorf("checking the database: %w", err)
	}
	for i := range found {
		switch found[i].Kind {
		case KindStockNotGiven, KindOrderNotWoken, KindStopNotHeard:
			found[i].Repairable, found[i].repair = true, &repair{how: wake}
		case KindCountsDiffer:
			found[i].Repairable, found[i].repair = true, &repair{how: recount}
		}
	}
	if a.Workflows != nil {
		crossed, crossErr := a.crossCheck(ctx)
		if crossErr != nil {
			err = errors.Join(err, fmt.Errorf("comparing the database with Temporal: %w", crossErr))
		}
		found = append(found, crossed...)
	}
	slices.SortStableFunc(found, func(x, y Finding) int {
		return cmp.Or(
			cmp.Compare(x.Kind, y.Kind),
			x.Since.Compare(y.Since),
			cmp.Compare(x.Order.String(), y.Order.String()),
			cmp.Compare(x.Account, y.Account),
		)
	})
	return found, err
}

// contradictions lists what is wrong within the database. Of the rows of ended orders and of accounts that are in no order, it
// returns what their last check found, unless the next one is due.
func (a *Reconciler) contradictions(ctx context.Context) ([]Finding, error) {
	found, err := a.Reconciliation.Contradictions(ctx, a.Bounds)
	if err != nil {
		return found, err
	}
	if began := a.now(); a.All || !began.Before(a.rows.next) {
		var endedSince time.Time
		if !a.All {
			endedSince = began.Add(-recently)
		}
		a.rows.found, err = a.Reconciliation.ContradictionsOfEveryRow(ctx, endedSince)
		took := a.now().Sub(began)
		a.rows.next = began.Add(rowChecks * took)
	}
	return append(found, a.rows.found...), err
}
