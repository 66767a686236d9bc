package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quartermaster/internal/provision"
)

// Actor is the actor in the history of what the reconciler did.
const Actor = "reconciler"

// maxFindings bounds a report, because Temporal stores it as the result of an activity.
const maxFindings = 200

// Report lists what FindAndRepair found and did.
type Report struct {
	At       time.Time `json:"at"`
	Repaired int       `json:"repaired"` // findings that were repaired
	Raised   int       `json:"raised"`   // findings that were not repaired
	Findings []Finding `json:"findings,omitempty"`
	More     int       `json:"more,omitempty"` // findings that are not in the list
}

// way is how a finding is repaired.
type way int

const (
	wake    way = iota // wake the order's workflow
	rewrite            // write the order's row from what its run knows
	restart            // start the order's workflow from the beginning
	carryOn            // let the order's closed workflow go on where it was
	recount            // count accounts and orders again
)

// repair is the safe way to repair a finding.
type repair struct {
	how       way
	run       Run
	lost      bool // the order's row must be written from what the run knows
	notBefore time.Time
}

// rank orders the repairs. Orders that completed come first, then orders that work in an account, so that a later repair can
// no longer take or fail their accounts.
func (r repair) rank() int {
	switch {
	case r.lost && r.run.ending() == sold:
		return 0
	case r.lost && r.run.ending() != decided && r.run.working():
		return 1
	}
	return 2
}

// takeOver returns how to repair an order in progress that no workflow works on; nil when there is no safe way.
//
// A run that ended by the order's own decision wrote the row first. So the row comes from an older backup, and is written
// again to say the same as the run.
//
// Every other run ended without a decision about the order. A new run from the beginning reads the account and later
// restores what it read, so it is safe only while nothing in the account was changed. A run that was stopped in the middle
// can continue with all that it knew, because Temporal's history has the journal of the account, and every step and undo may
// be repeated. A run that failed would fail again. An order whose undo has begun is never restarted, because the new run
// would claim nothing and close the order.
func takeOver(row Order, run Run) *repair {
	ending := run.ending()
	switch untouched := !row.Touched && row.State != provision.Compensating; {
	case ending == decided:
		return &repair{how: rewrite, run: run, lost: true}
	case untouched && (ending == vanished || ending == stopped || ending == ours):
		return &repair{how: restart, run: run}
	case ending == stopped:
		return &repair{how: carryOn, run: run}
	}
	return nil
}

// FindAndRepair lists everything that is wrong and repairs what is safe to repair. Like Find, it returns what it knows
// together with an error. Its repairs may be repeated.
func (a *Reconciler) FindAndRepair(ctx context.Context) (Report, error) {
	found, err := a.Find(ctx)
	var repairs []*Finding
	for i := range found {
		if r := found[i].repair; r != nil && !a.now().Before(r.notBefore) {
			repairs = append(repairs, &found[i])
		}
	}
	slices.SortStableFunc(repairs, func(x, y *Finding) int { return cmp.Compare(x.repair.rank(), y.repair.rank()) })
	repaired := map[provision.OrderKey]string{}
	for _, f := range repairs {
		done, repairErr := a.repair(ctx, *f)
		switch {
		case errors.Is(repairErr, ErrSealed): // the other orders must not wait for the key
			f.What += "; " + ErrSealed.Error()
		case repairErr != nil:
			err = errors.Join(err, fmt.Errorf("repairing %s of order %s: %w", f.Kind, f.Order, repairErr))
		}
		if f.Repaired = done; done != "" && f.repair.how != wake && f.repair.how != recount {
			repaired[f.Order] = done
		}
	}
	report := Report{At: a.now().UTC()}
	for i := range found {
		if found[i].Kind == KindAccountWithoutWorkflow {
			found[i].Repaired = repaired[found[i].Order]
		}
		if found[i].Repaired != "" {
			report.Repaired++
		} else {
			report.Raised++
		}
	}
	report.Findings = found[:min(len(found), maxFindings)]
	report.More = len(found) - len(report.Findings)
	return report, err
}

// repair repairs the finding and returns what it did; empty when the order has changed since and nothing needed a repair.
func (a *Reconciler) repair(ctx context.Context, f Finding) (done string, err error) {
	defer func() {
		if err != nil {
			done = ""
		}
		if errors.Is(err, provision.ErrConflict) { // the order moved on, has ended, or cannot get its account back
			err = nil
		}
	}()
	run := f.repair.run
	switch f.repair.how {
	case wake:
		return "the order was woken", a.Workflows.WakeOrders(ctx, []provision.OrderKey{f.Order})
	case rewrite:
		_, err := a.rewrite(ctx, f, func(story Story) provision.OrderStatus {
			if run.Open {
				return run.inProgress()
			}
			return run.ended(story)
		})
		return "its row was written from what its workflow knows", err
	case recount:
		return "they were counted again", a.Reconciliation.RepairCounts(ctx)
	case restart:
		return a.restart(ctx, f)
	case carryOn:
		if f.repair.lost { // first, so that the run finds the row
			if _, err := a.rewrite(ctx, f, func(Story) provision.OrderStatus { return run.inProgress() }); err != nil {
				return "", err
			}
		}
		continued, err := a.Workflows.Continue(ctx, f.Order, run, Actor+": "+f.What)
		if err != nil || !continued {
			return "", err
		}
		by := provision.Intervention{Actor: Actor, Reason: f.What}
		return "its workflow continues where it was", a.Orders.NoteAction(ctx, f.Order, "continue", by)
	}
	return "", nil
}

func (a *Reconciler) restart(ctx context.Context, f Finding) (done string, err error) {
	var order provision.Order
	if f.repair.lost {
		order, err = a.rewrite(ctx, f, func(Story) provision.OrderStatus {
			status := f.repair.run.inProgress()
			if status.AccountID != "" { // the new run asks its questions again
				status.State, status.Failure = provision.Provisioning, nil
			}
			return status
		})
	} else {
		order, err = a.Orders.PrepareRestart(ctx, f.Order, Actor, f.What)
	}
	if err != nil {
		return "", err
	}
	started, err := a.Workflows.Restart(ctx, order)
	if err != nil || !started {
		return "", err
	}
	return "its workflow was started again", nil
}

// rewrite writes the row of an order from the history of its run. It returns the order as it was placed.
func (a *Reconciler) rewrite(ctx context.Context, f Finding, status func(Story) provision.OrderStatus) (provision.Order, error) {
	story, err := a.Workflows.Story(ctx, f.Order, f.repair.run)
	if err != nil {
		return provision.Order{}, err
	}
	lost := Lost{Order: story.Order, Requests: story.Requests, Settings: story.Settings, OrderStatus: status(story)}
	return story.Order, a.Orders.Restore(ctx, lost, Actor, f.What)
}
