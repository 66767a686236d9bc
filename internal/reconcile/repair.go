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

// Actor signs the audit rows of what the reconciler does.
const Actor = "audit"

// maxFindings bounds a report: it is the result of an activity, which Temporal keeps.
const maxFindings = 200

// Report is what an audit found and did.
type Report struct {
	At       time.Time `json:"at"`
	Repaired int       `json:"repaired"` // findings that were put right
	Raised   int       `json:"raised"`   // findings that were not
	Findings []Finding `json:"findings,omitempty"`
	More     int       `json:"more,omitempty"` // findings that are not in the list
}

// way is how a finding is put right.
type way int

const (
	wake    way = iota // tell the order to look
	rewrite            // write its row as its run has it
	restart            // start its workflow from the beginning
	carryOn            // let its closed workflow go on where it was
)

// repair is the safe way to put a finding right.
type repair struct {
	how       way
	run       Run
	lost      bool // the order's row is to be written from what the run knows
	notBefore time.Time
}

// rank is when a repair has its turn. Accounts that were sold are the first that get their order back, then those in which
// an order works: what is repaired afterwards can no longer take or fail them.
func (r repair) rank() int {
	switch {
	case r.lost && r.run.ending() == sold:
		return 0
	case r.lost && r.run.ending() != decided && r.run.working():
		return 1
	}
	return 2
}

// takeOver is how an order in progress that nothing works on is put right; nil when there is no safe way.
//
// A run that ended by the decision of its order wrote the row first, so the row is that of an older backup and is made to say
// the same. Every other run left its order by no decision of the order. A run from the beginning reads the account and puts
// back what it read, so it is safe only while nothing in the account was changed. A run that was stopped in the middle goes
// on with all that it knew: Temporal's history has the journal of the account, and every step and undo may be repeated. A run
// that failed would fail again. A state in which the undo has begun is never restarted: the new run would claim nothing and
// close the order.
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

// FindAndRepair lists everything that is wrong and puts right what is safe. Like Find, it returns what it knows beside an
// error; what it did may be done again.
func (a *Reconciler) FindAndRepair(ctx context.Context) (Report, error) {
	found, err := a.Find(ctx)
	var repairs []*Finding
	for i := range found {
		if r := found[i].repair; r != nil && !a.now().Before(r.notBefore) {
			repairs = append(repairs, &found[i])
		}
	}
	slices.SortStableFunc(repairs, func(x, y *Finding) int { return cmp.Compare(x.repair.rank(), y.repair.rank()) })
	mended := map[provision.OrderKey]string{}
	for _, f := range repairs {
		done, mendErr := a.mend(ctx, *f)
		switch {
		case errors.Is(mendErr, ErrSealed): // the others must not wait for that
			f.What += "; " + ErrSealed.Error()
		case mendErr != nil:
			err = errors.Join(err, fmt.Errorf("repairing order %s: %w", f.Order, mendErr))
		}
		if f.Repaired = done; done != "" && f.repair.how != wake {
			mended[f.Order] = done
		}
	}
	report := Report{At: a.now().UTC()}
	for i := range found {
		if found[i].Kind == KindAccountWithoutWorkflow {
			found[i].Repaired = mended[found[i].Order]
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

// mend does the repair and says what was done; empty when things have changed since and nothing was to do.
func (a *Reconciler) mend(ctx context.Context, f Finding) (done string, err error) {
	defer func() {
		if err != nil {
			done = ""
		}
		if errors.Is(err, provision.ErrConflict) { // it has gone on, has ended, or cannot have its account back
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
	case restart:
		return a.restart(ctx, f)
	case carryOn:
		if f.repair.lost { // first, so that the run finds its order
			if _, err := a.rewrite(ctx, f, func(Story) provision.OrderStatus { return run.inProgress() }); err != nil {
				return "", err
			}
		}
		continued, err := a.Workflows.Continue(ctx, f.Order, run, Actor+": "+f.What)
		if err != nil || !continued {
			return "", err
		}
		return "its workflow goes on where it was", a.Orders.NoteAction(ctx, f.Order, "continue", provision.Intervention{Actor: Actor, Reason: f.What})
	}
	return "", nil
}

func (a *Reconciler) restart(ctx context.Context, f Finding) (done string, err error) {
	var order provision.Order
	if f.repair.lost {
		order, err = a.rewrite(ctx, f, func(Story) provision.OrderStatus {
			status := f.repair.run.inProgress()
			if status.AccountID != "" { // what the order waited for is asked again by the new run
				status.State, status.Failure = provision.Provisioning, nil
			}
			return status
		})
	} else {
		order, err = a.Reconciliation.PrepareRestart(ctx, f.Order, Actor, f.What)
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

// rewrite writes the row of an order from the history of its run, and returns the order as it was placed.
func (a *Reconciler) rewrite(ctx context.Context, f Finding, status func(Story) provision.OrderStatus) (provision.Order, error) {
	story, err := a.Workflows.Story(ctx, f.Order, f.repair.run)
	if err != nil {
		return provision.Order{}, err
	}
	lost := Lost{Order: story.Order, Request: story.Request, OrderStatus: status(story)}
	return story.Order, a.Reconciliation.RestoreOrder(ctx, lost, Actor, f.What)
}
