package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

const long = reconcile.Settled + time.Minute

// lost makes the newest run of an order that has no row. Its history shows how the order was placed.
func (w *orders) lost(id string, run reconcile.Run, ago time.Duration) reconcile.Story {
	w.t.Helper()
	delete(w.temporal.open, key(id))
	run.ID, run.Started = "run of "+id, time.Now().Add(-2*time.Hour)
	if run.Open = run.Status == "Running"; run.Open {
		w.temporal.open[key(id)] = run.Started
	} else {
		run.ClosedAt = time.Now().Add(-ago)
	}
	w.temporal.runs[key(id)] = run
	placed := order(id, "")
	story := reconcile.Story{Order: placed}
	if run.Status == "Completed" {
		story.Result = &provision.Result{AccountID: run.Account, IAMUserName: "customer"}
	}
	w.temporal.stories[key(id)] = story
	return story
}

// state is the state of an order and the account that it holds or got; none when there is no row.
func (w *orders) state(id string) string {
	w.t.Helper()
	view, err := w.store.Orders.Get(w.t.Context(), key(id).Tenant(), key(id).ID)
	if err != nil {
		require.ErrorIs(w.t, err, provision.ErrNotFound)
		return ""
	}
	return string(view.State) + " " + view.AccountID
}

// An order that Temporal knows and the database does not, for every state in which its run can be open or closed.
func TestAnOrderWithoutARowIsFoundAndWrittenAgain(t *testing.T) {
	t.Parallel()
	const (
		without = "workflow_without_order lost"
		soldTo  = "completed_only_in_temporal lost"
		nothing = "raised"
		writes  = "row"
		begins  = "row, restart"
		goesOn  = "row, continue"
	)
	ready, done := account(5), account(1)
	ours := provision.CodeInternal
	for name, c := range map[string]struct {
		run   reconcile.Run
		found string
		does  string
		state string
	}{
		"it tries to write it": {reconcile.Run{Status: "Running", Opening: true}, without, nothing, ""},
		"its run is open":      {reconcile.Run{Status: "Running", State: "accepted"}, without, writes, "accepted "},
		"its run is open and waits again": {
			reconcile.Run{Status: "Running", State: "waiting_for_account", Account: done},
			without, writes, "waiting_for_account ",
		},
		"its run is open and works": {
			reconcile.Run{Status: "Running", State: "provisioning", Account: ready},
			without, writes, "provisioning " + ready,
		},
		"its run is open and asks": {
			reconcile.Run{Status: "Running", State: "action_required", Reason: "AliasTaken", Account: ready},
			without, writes, "action_required " + ready,
		},
		"its run is open and takes back": {
			reconcile.Run{Status: "Running", State: "compensating", Reason: "OrderCancelled", Account: ready},
			without, writes, "compensating " + ready,
		},
		"its run is open and swaps": {
			reconcile.Run{Status: "Running", State: "compensating", Reason: provision.CodeAccountSwappedByOperator, Account: ready},
			without, writes, "provisioning " + ready,
		},
		"its run is open, its account is sold": {
			reconcile.Run{Status: "Running", State: "provisioning", Account: done},
			without, writes, "accepted ",
		},

		"completed": {
			reconcile.Run{Status: "Completed", State: "completed", Account: ready},
			soldTo, writes, "completed " + ready,
		},
		"completed, the account is another's": {reconcile.Run{Status: "Completed", State: "completed", Account: done}, soldTo, nothing, ""},
		"completed, the account is unknown": {
			reconcile.Run{Status: "Completed", State: "completed", Account: account(9)},
			soldTo, nothing, "",
		},

		"cancelled": {reconcile.Run{Status: "Canceled", State: "cancelled"}, without, writes, "cancelled "},
		"cancelled with an account": {
			reconcile.Run{Status: "Canceled", State: "cancelled", Account: ready},
			without, writes, "cancelled " + ready,
		},
		"cancelled, but the run failed": {
			reconcile.Run{Status: "Failed", State: "cancelled", Reason: "OrderCancelled"},
			without, writes, "cancelled ",
		},
		"failed by an operator": {
			reconcile.Run{Status: "Failed", Code: provision.CodeFailedByOperator, State: "failed", Account: ready},
			without, writes, "failed " + ready,
		},
		"failed, it waited too long": {
			reconcile.Run{Status: "Failed", Code: provision.CodeWaitDeadlinePassed},
			without, writes, "failed ",
		},
		"refused, the id was another's": {reconcile.Run{Status: "Failed", Code: provision.CodeOrderIDReused}, without, nothing, ""},
		"refused, it had ended": {
			reconcile.Run{Status: "Failed", Code: provision.CodeOrderNotInProgress, State: "provisioning", Account: ready},
			without, nothing, "",
		},
		"failed by our database": {
			reconcile.Run{Status: "Failed", Code: provision.CodeDatabaseUnavailable},
			without, begins, "accepted ",
		},
		"failed by our error":   {reconcile.Run{Status: "Failed", Code: ours, State: "accepted"}, without, begins, "accepted "},
		"failed without a code": {reconcile.Run{Status: "Failed"}, without, begins, "accepted "},
		"failed by our error, at work": {
			reconcile.Run{Status: "Failed", Code: ours, State: "action_required", Reason: "AliasTaken", Account: ready},
			without, begins, "provisioning " + ready,
		},
		"failed by our error, swapping": {
			reconcile.Run{
				Status: "Failed", Code: ours,
				State: "compensating", Reason: provision.CodeAccountSwappedByOperator, Account: ready,
			},
			without, begins, "provisioning " + ready,
		},
		"failed by our error, taken back": {
			reconcile.Run{Status: "Failed", Code: ours, State: "compensating", Reason: "OrderCancelled", Account: ready},
			without, writes, "cancelled " + ready,
		},

		"terminated":          {reconcile.Run{Status: "Terminated"}, without, begins, "accepted "},
		"terminated, waiting": {reconcile.Run{Status: "Terminated", State: "waiting_for_account"}, without, begins, "accepted "},
		"terminated, at work": {
			reconcile.Run{Status: "Terminated", State: "provisioning", Account: ready},
			without, goesOn, "provisioning " + ready,
		},
		"terminated, at its end": {
			reconcile.Run{Status: "Terminated", State: "cancelled", Reason: "OrderCancelled"},
			without, writes, "cancelled ",
		},
		"timed out": {reconcile.Run{Status: "TimedOut"}, without, begins, "accepted "},
		"timed out, at work": {
			reconcile.Run{Status: "TimedOut", State: "compensating", Reason: "AliasTaken", Account: ready},
			without, goesOn, "compensating " + ready,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			story := w.lost("lost", c.run, long)
			require.Equal(t, []string{c.found}, w.found())
			require.Empty(t, w.state("lost"), "Find changes nothing")
			report := w.repair()
			require.Equal(t, c.does == nothing, report.Raised == 1, report)
			require.Equal(t, c.state, w.state("lost"))
			require.Equal(t, c.does == goesOn, len(w.temporal.continued) == 1)
			if c.does == begins {
				require.Equal(t, []provision.Order{story.Order}, w.temporal.restarted, "as it was placed")
			} else {
				require.Empty(t, w.temporal.restarted)
			}
			if c.does == nothing {
				require.False(t, report.Findings[0].Repairable)
				return
			}
			noted := []string{"reconciler: restore"}
			if c.does == goesOn {
				noted = append(noted, "reconciler: continue")
			}
			require.Equal(t, noted, w.actions("lost"))
			require.Empty(t, w.repair().Findings, "nothing is left to repair")
		})
	}
}

func TestALostOrderIsJudgedOnlyWhenItHasSettled(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.lost("new", reconcile.Run{Status: "Running"}, 0)
	run := w.temporal.runs[key("new")]
	run.Started = time.Now().Add(-reconcile.DefaultBounds().Accepted + time.Minute)
	w.temporal.runs[key("new")] = run
	for _, status := range []string{"Completed", "Failed", "Canceled", "Terminated", "TimedOut"} {
		w.lost(status, reconcile.Run{Status: status, Account: account(5)}, reconcile.Grace/2)
	}
	require.Empty(t, w.found(), "the row and visibility may lag")

	// Attempts of a run that did not end by itself may still be running.
	w = setup(t)
	w.lost("failed", reconcile.Run{Status: "Failed"}, reconcile.Settled-time.Minute)
	w.lost("terminated", reconcile.Run{Status: "Terminated", State: "provisioning", Account: account(5)}, reconcile.Settled-time.Minute)
	require.Equal(t, 2, w.repair().Raised)
	require.Empty(t, w.state("failed")+w.state("terminated"))
}

func TestOrdersThatWereLostLongAgoAreLookedForOnceADay(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := time.Now()
	w.All, w.Now = false, func() time.Time { return now }
	require.Empty(t, w.found(), "the first check includes everything")
	w.lost("old", reconcile.Run{Status: "Canceled"}, 25*time.Hour)
	require.Empty(t, w.found())
	now = now.Add(25 * time.Hour)
	w.violate(`UPDATE orders SET created_at = created_at + interval '25 hours', state_since = state_since + interval '25 hours'`)
	for k, run := range w.temporal.runs {
		if run.Open {
			run.Started = now
			w.temporal.runs[k] = run
		}
	}
	require.Equal(t, []string{"workflow_without_order old"}, w.found())
}

// An account that was sold once is the customer's, whatever was started afterwards.
func TestALostOrderThatCompletedBeforeIsNotSoldASecondAccount(t *testing.T) {
	t.Parallel()
	for _, newest := range []reconcile.Run{{Status: "Running"}, {Status: "Terminated"}, {Status: "Failed"}, {Status: "Canceled"}} {
		t.Run(newest.Status, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			story := w.lost("lost", reconcile.Run{Status: "Completed", Account: account(5)}, 2*long)
			w.temporal.earlier[key("lost")] = w.temporal.runs[key("lost")]
			w.lost("lost", newest, long)
			w.temporal.stories[key("lost")] = story // of the earlier run, which is the one that is read
			require.Equal(t, []string{"completed_only_in_temporal lost"}, w.found())
			require.Equal(t, 1, w.repair().Repaired)
			require.Equal(t, "completed "+account(5), w.state("lost"))
			require.Empty(t, w.temporal.restarted)
			require.Empty(t, w.temporal.continued)
		})
	}
}

// The database was replaced by a backup that was made while the orders were in progress.
func TestARowFromAnOlderBackupIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.lost("waits", reconcile.Run{Status: "Completed", Account: account(5)}, long)
	w.temporal.stories[key("waits")] = reconcile.Story{
		Order:  order("waits", provision.ModelECAM),
		Result: &provision.Result{AccountID: account(5)},
	}
	w.violate(`UPDATE accounts SET model = 'ECAM' WHERE id = '000000000005'`)
	w.lost("work", reconcile.Run{Status: "Completed", Account: account(2)}, long)
	w.lost("asked", reconcile.Run{Status: "Failed", Code: provision.CodeFailedByOperator, State: "failed", Account: account(3)}, long)
	w.lost("undo", reconcile.Run{Status: "Canceled", State: "cancelled", Account: account(4)}, long)
	w.lost("fresh", reconcile.Run{Status: "Failed", Code: provision.CodeInternal}, long)
	require.Equal(t, []string{
		"account_without_workflow asked", "account_without_workflow undo",
		"completed_only_in_temporal waits", "completed_only_in_temporal work",
		"order_without_workflow asked", "order_without_workflow fresh", "order_without_workflow undo",
	}, w.found())
	report := w.repair()
	require.Zero(t, report.Raised, report)
	require.Equal(t, "completed "+account(5), w.state("waits"))
	require.Equal(t, "completed "+account(2), w.state("work"))
	require.Equal(t, "failed "+account(3), w.state("asked"))
	require.Equal(t, "cancelled "+account(4), w.state("undo"))
	require.Equal(t, "accepted ", w.state("fresh"))
	require.Len(t, w.temporal.restarted, 1, "our own trouble is never the end of an order")
	require.Empty(t, w.repair().Findings)
}

// What one lost order left in an account is not known; but an account that was sold afterwards is sold.
func TestASoldAccountGetsItsOrderBackBeforeAnyOtherOrderTouchesIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"a", "z"} { // one comes before, one after
		w.lost(id, reconcile.Run{Status: "Canceled", State: "cancelled", Account: account(5)}, 3*time.Hour)
	}
	w.lost("sold", reconcile.Run{Status: "Completed", State: "completed", Account: account(5)}, time.Hour)
	require.Equal(t, 3, w.repair().Repaired)
	require.Equal(t, []string{"completed " + account(5), "cancelled ", "cancelled "}, []string{w.state("sold"), w.state("a"), w.state("z")})
}

func TestAnOrderWhoseHistoryIsSealedWaitsForTheKeyAndStopsNoOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.lost("a", reconcile.Run{Status: "Canceled"}, long)
	w.lost("b", reconcile.Run{Status: "Canceled"}, long)
	delete(w.temporal.stories, key("a"))
	report := w.repair()
	require.Equal(t, 1, report.Raised)
	require.Equal(t, 1, report.Repaired)
	require.Contains(t, report.Findings[0].String(), "cannot be opened with the seal keys")
	require.Equal(t, "cancelled ", w.state("b"))
}

func TestARowAndAWorkflowThatEndedDifferentlyAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		order  string
		run    reconcile.Run
		found  []string
		severe reconcile.Severity
	}{
		{
			"done", reconcile.Run{Status: "Failed", Code: provision.CodeInternal},
			[]string{"workflow_ended_otherwise done"}, reconcile.Warning,
		},
		{"done", reconcile.Run{Status: "Canceled"}, []string{"workflow_ended_otherwise done"}, reconcile.Warning},
		{"done", reconcile.Run{Status: "Terminated"}, []string{"workflow_ended_otherwise done"}, reconcile.Warning},
		{"done", reconcile.Run{Status: "Failed", Code: provision.CodeOrderIDReused}, nil, ""}, // another order of the same id
		{"gone", reconcile.Run{Status: "Completed", Account: account(5)}, []string{"completed_only_in_temporal gone"}, reconcile.Broken},
		{"gone", reconcile.Run{Status: "Canceled"}, nil, ""},
		{"gone", reconcile.Run{Status: "Terminated"}, nil, ""},
	} {
		t.Run(c.order+" "+c.run.Status+string(c.run.Code), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.lost(c.order, c.run, reconcile.Grace/2)
			require.Empty(t, w.found(), "too early")
			w.lost(c.order, c.run, long)
			report := w.repair()
			require.Equal(t, c.found, shorten(t, report.Findings))
			require.Zero(t, report.Repaired)
			for _, f := range report.Findings {
				require.Equal(t, c.severe, f.Severity)
				require.False(t, f.Repairable)
			}
		})
	}
}
