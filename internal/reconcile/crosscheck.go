package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"quartermaster/internal/provision"
)

// suspect is an order whose row and workflow may contradict each other.
type suspect struct {
	key   provision.OrderKey
	run   Run
	row   Order // zero: the order has no row
	read  bool  // the run was read
	found []Finding
}

func (s *suspect) hasRow() bool { return s.row.State != "" }

// crossCheck compares the orders' rows with their workflows. The lists only raise suspicion, because visibility lags: for each
// suspect it reads the run from Temporal itself, and then the row again, because the order may have moved on. When it cannot
// read something, it returns the findings about the other orders with the error.
func (a *Reconciler) crossCheck(ctx context.Context) (found []Finding, err error) {
	suspects, now, err := a.suspects(ctx)
	if err != nil {
		return nil, err
	}
	err = eachOf(ctx, suspects, func(ctx context.Context, s *suspect) (err error) {
		s.run, err = a.Workflows.Run(ctx, s.key)
		s.read = err == nil
		return err
	})
	suspects = slices.DeleteFunc(suspects, func(s *suspect) bool { return !s.read })
	keys := make([]provision.OrderKey, len(suspects))
	for i, s := range suspects {
		keys[i] = s.key
	}
	rows, rowsErr := a.Reconciliation.OrdersNow(ctx, keys)
	if rowsErr != nil {
		return nil, errors.Join(err, rowsErr)
	}
	err = errors.Join(err, eachOf(ctx, suspects, func(ctx context.Context, s *suspect) (err error) {
		s.row = rows[s.key]
		s.found, err = a.judge(ctx, *s)
		return err
	}))
	for _, s := range suspects {
		if found = append(found, s.found...); len(s.found) > 0 {
			now.doubtful = append(now.doubtful, s.key)
		}
	}
	if err == nil {
		a.sighting = now
	}
	return found, err
}

// suspectsAtOnce is how many suspects are checked in parallel: after an outage there may be thousands.
const suspectsAtOnce = 8

// eachOf calls a function for the suspects in parallel. The first error ends it.
func eachOf(ctx context.Context, suspects []*suspect, do func(context.Context, *suspect) error) error {
	doing, ctx := errgroup.WithContext(ctx)
	doing.SetLimit(suspectsAtOnce)
	for _, s := range suspects {
		doing.Go(func() error { return do(ctx, s) })
	}
	return doing.Wait()
}

// sighting is what Temporal's visibility last showed.
type sighting struct {
	at       time.Time                        // when it was read; zero: never
	recent   time.Time                        // when all open and all recently closed runs were last listed
	all      time.Time                        // when all closed runs were last listed
	open     map[provision.OrderKey]time.Time // the orders with an open run, and when that run started
	doubtful []provision.OrderKey             // the orders about which there were findings
}

const (
	// lag is more than visibility lags behind. A check lists again what started or closed so long before the previous check.
	lag = 15 * time.Minute
	// A deleted run is in no list of what changed, and a restored database lacks orders whose runs did not change. So all open runs and
	// those that closed recently are listed once an hour, and all closed runs at first and then once a day.
	recentEvery = time.Hour
	allEvery    = 24 * time.Hour
)

// look brings the sighting up to date. It lists the runs that started or closed since the last one, so it costs the same however
// many orders wait. closed is the newest run of each order that has no open run, among those that it listed.
func (a *Reconciler) look(ctx context.Context) (now sighting, closed map[provision.OrderKey]Run, err error) {
	now = a.sighting
	now.at, now.doubtful = a.now(), nil
	startedAfter, closedAfter := a.sighting.at.Add(-lag), a.sighting.at.Add(-lag)
	if a.All || now.at.Sub(now.recent) >= recentEvery {
		now.recent, startedAfter, closedAfter = now.at, time.Time{}, now.at.Add(-recently)
	}
	if a.All || now.at.Sub(now.all) >= allEvery {
		now.all, closedAfter = now.at, time.Time{}
	}
	started, err := a.Workflows.Open(ctx, startedAfter)
	if err != nil {
		return now, nil, err
	}
	if closed, err = a.Workflows.Closed(ctx, closedAfter); err != nil {
		return now, nil, err
	}
	if now.open = maps.Clone(a.sighting.open); startedAfter.IsZero() || now.open == nil {
		now.open = map[provision.OrderKey]time.Time{}
	}
	for key, run := range started {
		now.open[key] = run.Started
	}
	for key, run := range closed {
		switch since, runs := now.open[key]; {
		case runs && run.Started.Before(since): // that is an earlier run
			delete(closed, key)
		case runs:
			delete(now.open, key)
		}
	}
	return now, closed, nil
}

// suspects lists the orders about which Temporal's visibility and the rows disagree, and those about which there were findings.
func (a *Reconciler) suspects(ctx context.Context) (suspects []*suspect, now sighting, err error) {
	now, closed, err := a.look(ctx)
	if err != nil {
		return nil, now, err
	}
	rows, err := a.Reconciliation.OrdersInProgress(ctx)
	if err != nil {
		return nil, now, err
	}
	suspected := map[provision.OrderKey]bool{}
	for _, key := range a.sighting.doubtful {
		suspected[key] = true
	}
	inProgress := make(map[provision.OrderKey]bool, len(rows))
	for _, key := range rows {
		inProgress[key] = true
		if _, runs := now.open[key]; !runs {
			suspected[key] = true
		}
	}
	for key := range now.open {
		if !inProgress[key] {
			suspected[key] = true
		}
	}
	var over []provision.OrderKey
	for key := range closed {
		if !inProgress[key] {
			over = append(over, key)
		}
	}
	ended, err := a.Reconciliation.OrdersNow(ctx, over)
	if err != nil {
		return nil, now, err
	}
	for _, key := range over {
		row, hasRow := ended[key]
		if !hasRow || (row.State == provision.Completed) != (closed[key].Status == completed) {
			suspected[key] = true
		}
	}
	for key := range suspected {
		suspects = append(suspects, &suspect{key: key})
	}
	return suspects, now, nil
}

// judge compares an order's row with its workflow. Before it reports that an order's work was lost, it looks for an earlier
// run that completed: an account that was sold once belongs to the customer, whatever ran afterwards.
func (a *Reconciler) judge(ctx context.Context, s suspect) (found []Finding, err error) {
	found = a.compare(s)
	if len(found) > 0 && !s.row.State.Ended() && s.run.ending() != sold {
		earlier, err := a.Workflows.Completed(ctx, s.key)
		if err != nil {
			return nil, err
		}
		if earlier.ID != "" {
			s.run = earlier
			found = a.compare(s)
		}
	}
	for i := range found {
		if found[i].Kind == KindCompletedOnlyInTemporal {
			if err := a.lookAtSold(ctx, &found[i], s); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// compare compares an order's row, if it has one, with a run of its workflow.
func (a *Reconciler) compare(s suspect) []Finding {
	ending := s.run.ending()
	late := func(since time.Time) bool { return a.now().Sub(since) > a.Bounds.Grace }
	switch {
	case ending == sold && s.row.State != provision.Completed:
		if late(s.run.ClosedAt) {
			return []Finding{soldUnknown(s)}
		}
	case !s.hasRow() && ending == vanished: // the run was deleted after it was listed
	case !s.hasRow() && ending == running:
		if a.now().Sub(s.run.Started) > a.Bounds.Accepted {
			return []Finding{a.withoutRow(s)}
		}
	case !s.hasRow():
		if late(s.run.ClosedAt) {
			return []Finding{a.withoutRow(s)}
		}
	case s.row.State.Ended() && ending == running:
		if late(s.row.Since) {
			return []Finding{New(KindWorkflowOfEndedOrder, s.key, "", s.row.Since,
				fmt.Sprintf("the order is %s, but its workflow still runs", s.row.State))}
		}
	case s.row.State == provision.Completed && (ending == decided || ending == ours || ending == stopped):
		if late(s.run.ClosedAt) {
			return []Finding{New(KindWorkflowEndedOtherwise, s.key, s.run.Account, s.run.ClosedAt,
				"the order is completed, but the newest run of its workflow has closed as "+s.run.how())}
		}
	case s.row.State.Ended() || ending == running: // they agree
	case ending == vanished && late(s.row.Active), ending != vanished && late(s.run.ClosedAt):
		return a.deserted(s.row, s.run)
	}
	return nil
}

// withoutRow returns the finding about an order that Temporal knows and the database does not:
//
//	the newest run              why there is no row                     the row is written as              and the work
//	is open, tries to write it  the database does not answer            -                                  goes on without help
//	is open                     it was lost                             the run last was                   goes on without help
//	Completed                   it was lost after the order was sold    completed: see soldUnknown         is over
//	Canceled                    it was lost                             cancelled                          is over
//	Failed, as an order fails   it was lost                             failed, for the same reason        is over
//	Failed, refused by a row    that row was lost                       -: how the order ended is unknown
//	Failed otherwise            an error of our own, at any time        accepted                           begins again
//	  while it had an account   it was lost                             provisioning                       begins again
//	Terminated or TimedOut      it was never written, or lost           accepted                           begins again
//	  while it had an account   it was lost                             the run last was                   goes on where it was
//
// An order that had an account gets it back if the account is Ready, and otherwise continues without it.
func (a *Reconciler) withoutRow(s suspect) Finding {
	run := s.run
	f := New(KindWorkflowWithoutOrder, s.key, "", run.ClosedAt,
		"the order was accepted, but has no row; its workflow has closed as "+run.how())
	if run.working() {
		f.Account = run.Account
	}
	settled := run.ClosedAt.Add(a.Bounds.Settled)
	switch run.ending() {
	case running:
		f.Since, f.What = run.Started, "the order was accepted and its workflow runs, but it has no row"
		if !run.Opening {
			f.repair = &repair{how: rewrite}
		}
	case decided:
		f.repair = &repair{how: rewrite}
	case ours:
		f.repair = &repair{how: restart, notBefore: settled}
	case stopped:
		f.repair = &repair{how: restart, notBefore: settled}
		if run.working() {
			f.repair.how = carryOn
		}
	}
	if f.repair != nil {
		f.Repairable, f.repair.run, f.repair.lost = true, run, true
	}
	return f
}

// soldUnknown returns the finding about an order that completed according to Temporal but not according to its row: the row
// was lost, or comes from an older backup. If the row says that the order failed or was cancelled, an operator must decide.
func soldUnknown(s suspect) Finding {
	what := "Temporal says that the order completed, but the database has no row of it"
	if s.hasRow() {
		what = fmt.Sprintf("Temporal says that the order completed, but its row says that it is %s", s.row.State)
	}
	f := New(KindCompletedOnlyInTemporal, s.key, s.run.Account, s.run.ClosedAt, what)
	if !s.row.State.Ended() && (s.row.Account == "" || s.run.Account == "" || s.row.Account == s.run.Account) {
		f.Repairable, f.repair = true, &repair{how: rewrite, run: s.run, lost: true}
	}
	return f
}

// lookAtSold adds what the database knows about the account that was sold. If the order cannot get the account back, the
// finding cannot be repaired.
func (a *Reconciler) lookAtSold(ctx context.Context, f *Finding, s suspect) error {
	if f.Account == "" {
		return nil // without search attributes, only the history knows the account
	}
	account, err := a.Accounts.Get(ctx, s.key.Provider, f.Account)
	if err != nil && !errors.Is(err, provision.ErrNotFound) {
		return err
	}
	switch account.Status {
	case "":
		f.What += "; its account is in no pool"
	case provision.AccountReady:
		f.What += "; its account is Ready"
		return nil
	default:
		if f.What += "; its account is " + account.Status.Label(); account.OrderID != "" {
			f.What += " (order " + account.OrderID + ")"
		}
		if account.OrderID == s.key.ID &&
			(account.Status == provision.AccountProvisioning || account.Status == provision.AccountAllocated) {
			return nil
		}
	}
	f.Repairable, f.repair = false, nil
	return nil
}

// deserted returns the findings about an order in progress that no workflow works on, and about the account that it holds.
func (a *Reconciler) deserted(row Order, run Run) []Finding {
	since, how := row.Active, "Temporal knows no workflow of it"
	if run.ID != "" {
		since, how = run.ClosedAt, "its workflow has closed as "+run.how()
	}
	f := New(KindOrderWithoutWorkflow, row.OrderKey, row.Account, since, fmt.Sprintf("the order is %s, but %s", row.State, how))
	if f.repair = takeOver(row, run); f.repair != nil {
		f.Repairable = true
		if f.repair.how != rewrite {
			f.repair.notBefore = since.Add(a.Bounds.Settled)
		}
	}
	if row.Account == "" {
		return []Finding{f}
	}
	held := New(KindAccountWithoutWorkflow, row.OrderKey, row.Account, since, "the account is in progress, but no workflow works in it")
	held.Repairable = f.Repairable // together with its order
	return []Finding{held, f}
}
