package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// Order is an order as the auditor sees it.
type Order struct {
	provision.OrderKey
	State   provision.OrderState
	Since   time.Time // of the state
	Account string    // that it holds in progress; empty: none
	Touched bool      // a step that writes to AWS was begun in that account
	Active  time.Time // when something last happened: the state, or a step of it
}

// Run is the newest run of an order's workflow.
type Run struct {
	ID       string    // empty: Temporal knows no run of it
	Open     bool      // it runs
	Status   string    // how it closed, as Temporal calls it, e.g. Terminated
	Started  time.Time // of this run
	ClosedAt time.Time // zero while it is open
}

// terminated is the one way of closing that an order's workflow does not choose itself and knows nothing of.
const terminated = "Terminated"

// Store is what the auditor needs of the database.
type Store interface {
	// Contradictions lists what is wrong within the database, as of one moment for each invariant. Requests of orders that
	// ended before requestsSince are not compared with their hash.
	Contradictions(ctx context.Context, bounds Bounds, requestsSince time.Time) ([]Finding, error)
	// OrdersInProgress lists the orders that have not ended.
	OrdersInProgress(ctx context.Context) ([]Order, error)
	// OrdersNow reads the given orders again; those without a row are missing.
	OrdersNow(ctx context.Context, keys []provision.OrderKey) (map[provision.OrderKey]Order, error)
	// PrepareRestart makes an order ready for another run and returns it as it was first placed. It refuses, with
	// provision.ErrConflict, an order that has ended or whose account was touched.
	PrepareRestart(ctx context.Context, key provision.OrderKey, actor, reason string) (provision.Order, error)
	// NoteAction writes down what was done to an order, and why.
	NoteAction(ctx context.Context, key provision.OrderKey, action string, by provision.Action) error
}

// Workflows is what the auditor needs of Temporal.
type Workflows interface {
	// Open lists the open workflows of orders and when they started, from Temporal's visibility, which lags.
	Open(ctx context.Context) (map[provision.OrderKey]time.Time, error)
	// Terminated lists the orders of which a run was terminated after that time, from visibility too.
	Terminated(ctx context.Context, after time.Time) ([]provision.OrderKey, error)
	// Run reads the newest run of an order's workflow from Temporal itself, which does not.
	Run(ctx context.Context, key provision.OrderKey) (Run, error)
	// Restart starts the workflow of an order again, from the beginning. It returns false when a run is open.
	Restart(ctx context.Context, order provision.Order) (started bool, err error)
	// Continue makes a closed run go on at its last completed workflow task, with all that it knew. It returns false when
	// the history does not allow it, or when it is not the newest run any more.
	Continue(ctx context.Context, key provision.OrderKey, run Run, reason string) (continued bool, err error)
	// WakeOrders tells waiting orders to look for their account. One that has ended needs no waking.
	WakeOrders(ctx context.Context, keys []provision.OrderKey) error
}

// Auditor finds what is wrong, and repairs what is safe to repair.
type Auditor struct {
	Store     Store
	Workflows Workflows
	Bounds    Bounds
	// All also looks at what ended long ago: the requests of ended orders, and runs that were terminated.
	All bool
	Now func() time.Time // nil: time.Now
}

// recently is how far back that is looked at, unless all of it is.
const recently = 24 * time.Hour

func (a *Auditor) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// Find lists everything that is wrong; nothing is changed. When a part cannot be checked the findings of the others come
// with the error.
func (a *Auditor) Find(ctx context.Context) ([]Finding, error) {
	var since time.Time
	if !a.All {
		since = a.now().Add(-recently)
	}
	found, err := a.Store.Contradictions(ctx, a.Bounds, since)
	if err != nil {
		err = fmt.Errorf("the database could not be checked: %w", err)
	}
	for i := range found {
		if kind := found[i].Kind; kind == KindStockNotGiven || kind == KindOrderNotWoken {
			found[i].Repairable, found[i].repair = true, &repair{how: wake}
		}
	}
	crossed, crossErr := a.crossCheck(ctx, since)
	if crossErr != nil {
		err = errors.Join(err, fmt.Errorf("the database could not be compared with Temporal: %w", crossErr))
	}
	found = append(found, crossed...)
	slices.SortStableFunc(found, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), x.Since.Compare(y.Since), cmp.Compare(x.Order.String(), y.Order.String()), cmp.Compare(x.Account, y.Account))
	})
	return found, err
}

// crossCheck compares the orders' rows with their workflows. The lists only raise suspicion: each suspect is asked for at
// Temporal itself, and then its row is read again, because it may have gone on meanwhile.
func (a *Auditor) crossCheck(ctx context.Context, since time.Time) (found []Finding, err error) {
	open, err := a.Workflows.Open(ctx)
	if err != nil {
		return nil, err
	}
	stopped, err := a.Workflows.Terminated(ctx, since)
	if err != nil {
		return nil, err
	}
	rows, err := a.Store.OrdersInProgress(ctx)
	if err != nil {
		return nil, err
	}
	var suspects []provision.OrderKey
	inProgress := make(map[provision.OrderKey]bool, len(rows))
	for _, row := range rows {
		inProgress[row.OrderKey] = true
		if _, runs := open[row.OrderKey]; !runs {
			suspects = append(suspects, row.OrderKey)
		}
	}
	for key := range open {
		if !inProgress[key] {
			suspects = append(suspects, key)
		}
	}
	for _, key := range stopped { // before they had a row
		if _, runs := open[key]; !runs && !inProgress[key] {
			suspects = append(suspects, key)
		}
	}
	runs := make(map[provision.OrderKey]Run, len(suspects))
	for _, key := range suspects {
		if runs[key], err = a.Workflows.Run(ctx, key); err != nil {
			return nil, err
		}
	}
	again, err := a.Store.OrdersNow(ctx, suspects)
	if err != nil {
		return nil, err
	}
	for _, key := range suspects {
		row, stands := again[key]
		found = append(found, a.compare(key, row, stands, runs[key])...)
	}
	return found, nil
}

// compare holds an order's row, if it stands, against the newest run of its workflow.
func (a *Auditor) compare(key provision.OrderKey, row Order, stands bool, run Run) []Finding {
	older := func(t time.Time, than time.Duration) bool { return a.now().Sub(t) > than }
	switch {
	case !stands && run.Open:
		if older(run.Started, a.Bounds.Accepted) {
			return []Finding{New(KindWorkflowWithoutOrder, key, "", run.Started, "the workflow runs, but has not written the order's row")}
		}
	case !stands && run.Status == terminated:
		if older(run.ClosedAt, a.Bounds.Grace) {
			f := New(KindWorkflowWithoutOrder, key, "", run.ClosedAt, "the order was acknowledged, but its workflow was terminated before it wrote the order's row")
			f.Repairable, f.repair = true, &repair{how: carryOn, run: run, notBefore: run.ClosedAt.Add(a.Bounds.Settled)}
			return []Finding{f}
		}
	case !stands: // it ended by its own decision: an order that was refused
	case row.State.Ended() && run.Open:
		if older(row.Since, a.Bounds.Grace) {
			return []Finding{New(KindWorkflowOfEndedOrder, key, "", row.Since, fmt.Sprintf("the order is %s, but its workflow still runs", row.State))}
		}
	case row.State.Ended() || run.Open: // they agree
	case run.ID == "" && older(row.Active, a.Bounds.Grace), run.ID != "" && older(run.ClosedAt, a.Bounds.Grace):
		return a.deserted(row, run)
	}
	return nil
}

// deserted says that nobody works on an order in progress, and on the account that it holds.
func (a *Auditor) deserted(row Order, run Run) []Finding {
	since, how := row.Active, "Temporal knows no workflow of it"
	if run.ID != "" {
		since, how = run.ClosedAt, "its workflow has closed as "+run.Status
	}
	f := New(KindOrderWithoutWorkflow, row.OrderKey, row.Account, since, fmt.Sprintf("the order is %s, but %s", row.State, how))
	if f.repair = takeOver(row, run); f.repair != nil {
		f.Repairable, f.repair.notBefore = true, since.Add(a.Bounds.Settled)
	}
	if row.Account == "" {
		return []Finding{f}
	}
	held := New(KindAccountWithoutWorkflow, row.OrderKey, row.Account, since, "the account is in progress, but nobody works in it")
	held.Repairable = f.Repairable // with its order
	return []Finding{held, f}
}
