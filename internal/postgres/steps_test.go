package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

const (
	account1 = "000000000001"
	account2 = "000000000002"
	lease    = 15 * time.Second
)

// refusedAs requires a failure of that code.
func refusedAs(t *testing.T, err error, code provision.Code) {
	t.Helper()
	var failure *provision.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, code, failure.Code, failure.Reason)
	require.NotEmpty(t, failure.Reason)
}

// stepRow is a step as it is in the database.
func stepRow(t *testing.T, db *sqlx.DB, step provision.Step) (row struct {
	State    provision.StepState `db:"state"`
	Attempts int                 `db:"attempts_open"`
	Undos    int                 `db:"undos_open"`
	Ended    *time.Time          `db:"finished_at"`
}) {
	t.Helper()
	require.NoError(t, db.GetContext(t.Context(), &row,
		`SELECT state, attempts_open, undos_open, finished_at FROM order_steps WHERE order_id = 'o' AND step = $1`, step))
	return row
}

var why = provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias",
	Reason: "the alias is taken"}

// An attempt that wakes up late begins only while its order holds the account and is in a state that the attempt needs.
func TestAnAttemptBeginsOnlyWhileItsOrderHoldsTheAccount(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		until            func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error
		step, look, undo bool // may begin
	}{
		"provisioning": {until: func(context.Context, *postgres.DB, provision.OrderKey) error { return nil },
			step: true, look: true, undo: true},
		"action required": {until: func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error {
			return store.Orders.RequireAction(ctx, key, why)
		}, step: true, look: true, undo: true},
		"compensating": {until: func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error {
			return store.Orders.BeginUndo(ctx, key, why)
		}, look: true, undo: true},
		"completed": {until: func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error {
			return store.Orders.Allocate(ctx, key, account1, provision.Result{AccountID: account1})
		}},
		"failed": {until: func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error {
			_, err := store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Failed, Failure: why})
			return err
		}},
		"failed with leftovers": {until: func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error {
			_, err := store.Orders.Close(ctx,
				provision.OrderClosing{Order: key, State: provision.Failed, Failure: why, Leftovers: []string{"a user"}})
			return err
		}},
		"with the next account": {until: func(ctx context.Context, store *postgres.DB, key provision.OrderKey) error {
			if _, err := store.Orders.RejectAccount(ctx, key, account1, why, false); err != nil {
				return err
			}
			_, err := store.Orders.Claim(ctx, key)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, store, db := setup(t)
			createAccounts(t, store, provision.ModelSPAM, 1, 2)
			key := open(t, store, "o", "")
			claim(t, store, key)
			require.NoError(t, test.until(ctx, store, key))
			before, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
			require.NoError(t, err)

			_, _, undoErr := store.Steps.BeginUndo(ctx, key, account1, provision.StepReport, lease)
			attempts := []struct {
				what string
				may  bool
				err  error
			}{
				{"undo", test.undo, undoErr},
				{"look", test.look, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepCompare, 1))},
				{"step", test.step, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1))},
			}
			begun := 0
			for _, attempt := range attempts {
				if attempt.may {
					require.NoError(t, attempt.err, attempt.what)
					begun++
					continue
				}
				refusedAs(t, attempt.err, provision.CodeOrderNotInProgress)
			}
			var rows int
			require.NoError(t, db.GetContext(ctx, &rows, `SELECT count(*) FROM order_steps`))
			require.Equal(t, begun, rows, "what is refused leaves no row")
			after, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
			require.NoError(t, err)
			if !test.step {
				require.Equal(t, before.Step, after.Step)
			}
		})
	}
}

func TestAnAttemptForTheAccountOfAnotherOrderIsRefused(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	claim(t, store, first)
	claim(t, store, second)
	refusedAs(t, pgtest.Err(store.Steps.Begin(ctx, second, account1, provision.StepAlias, 1)), provision.CodeOrderNotInProgress)
	_, _, err := store.Steps.BeginUndo(ctx, second, account1, provision.StepAlias, lease)
	refusedAs(t, err, provision.CodeOrderNotInProgress)

	// An order whose row was lost is not refused for good: the reconciler writes the row back.
	for _, key := range []provision.OrderKey{{Provider: "other", ID: "first"}, {Provider: "acme", ID: "lost"}} {
		require.ErrorIs(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)), provision.ErrNotFound)
		_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
		require.ErrorIs(t, err, provision.ErrNotFound)
	}
}

// A run that was reset to before its claim must learn which account the undo is about.
func TestAnOrderThatIsBeingUndoneStillGetsTheAccountThatItHolds(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "stopped", "")
	held := claim(t, store, key).Account.ID
	require.NoError(t, store.Orders.Stop(ctx, key, "cancel", provision.Failure{Code: provision.CodeOrderCancelled, Reason: "x"},
		provision.Intervention{Actor: "a", ID: "1"}))
	require.Equal(t, held, claim(t, store, key).Account.ID)

	_, err := store.Orders.RejectAccount(ctx, key, held, provision.Failure{Code: provision.CodeAccountSuspended, Reason: "x"}, false)
	require.NoError(t, err)
	_, err = store.Orders.Claim(ctx, key)
	refusedAs(t, err, provision.CodeOrderNotInProgress)
}

func TestAStepWhoseUndoBeganNeverBeginsOrEndsAsDone(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
	_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease) // the order goes on: an operator swaps the account
	require.NoError(t, err)

	late := func() {
		for _, state := range []provision.StepState{
			provision.StepDone, provision.StepRetrying, provision.StepFailed, provision.StepStopped,
		} {
			before := stepRow(t, db, provision.StepAlias)
			require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: state, Problem: "late"}))
			after := stepRow(t, db, provision.StepAlias)
			require.Equal(t, before.State, after.State)
			require.Equal(t, before.Ended, after.Ended)
		}
		refusedAs(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 2)), provision.CodeOrderNotInProgress)
	}
	require.Equal(t, provision.StepUndoing, stepRow(t, db, provision.StepAlias).State)
	late()
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: provision.StepUndoing,
		Problem: "AWSUnavailable"}))
	row := stepRow(t, db, provision.StepAlias)
	require.Equal(t, provision.StepUndoing, row.State)
	require.NotNil(t, row.Ended)
	_, _, err = store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
	require.NoError(t, err)
	require.Nil(t, stepRow(t, db, provision.StepAlias).Ended)
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: provision.StepUndone}))
	require.Equal(t, provision.StepUndone, stepRow(t, db, provision.StepAlias).State)
	late()

	_, _, err = store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
	require.NoError(t, err, "an undo may be repeated")
	require.Equal(t, provision.StepUndoing, stepRow(t, db, provision.StepAlias).State)
}

func TestAnUndoneStepIsUndoneOnlyByAnUndo(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: provision.StepUndone}))
	require.Equal(t, provision.StepRunning, stepRow(t, db, provision.StepAlias).State)
}

// An undo waits one lease for what may still be alive, and for nothing else.
func TestAnUndoWaitsForAttemptsThatHaveNotReportedTheirEnd(t *testing.T) {
	t.Parallel()
	const started, startedAgain, undo = "started", "started again", "undo"
	for name, test := range map[string]struct {
		before []string // a state: the report of an end
		waits  bool
	}{
		"it never began":                                {nil, false},
		"done":                                          {[]string{started, "done"}, false},
		"failed":                                        {[]string{started, "failed"}, false},
		"stopped":                                       {[]string{started, "stopped"}, false},
		"an attempt ended, no other has begun":          {[]string{started, "retrying"}, false},
		"running, or dead":                              {[]string{started}, true},
		"the second attempt is running":                 {[]string{started, "retrying", startedAgain}, true},
		"the first was lost, the second ended":          {[]string{started, startedAgain, "done"}, true},
		"both reported":                                 {[]string{started, startedAgain, "retrying", "done"}, false},
		"a reset run repeats what is done":              {[]string{started, "done", startedAgain}, true},
		"the repeat ended too":                          {[]string{started, "done", startedAgain, "done"}, false},
		"an undo is running, or dead":                   {[]string{started, "done", undo}, true},
		"an undo of another run, for what never began":  {[]string{undo}, true},
		"an undo failed":                                {[]string{started, "done", undo, "undoing"}, false},
		"an undo succeeded":                             {[]string{started, "done", undo, "undone"}, false},
		"an undo succeeded while another one was alive": {[]string{started, "done", undo, undo, "undone"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, store, _ := setup(t)
			createAccounts(t, store, provision.ModelSPAM, 1, 1)
			key := open(t, store, "o", "")
			claim(t, store, key)
			for _, event := range test.before {
				switch event {
				case started, startedAgain:
					require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepUser, 1)))
				case undo:
					_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepUser, lease)
					require.NoError(t, err)
				default:
					require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepUser, provision.AttemptEnd{State: provision.StepState(event)}))
				}
			}
			_, wait, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepUser, lease)
			require.NoError(t, err)
			if !test.waits {
				require.Zero(t, wait)
				return
			}
			require.InDelta(t, lease.Seconds(), wait.Seconds(), 5)
			require.LessOrEqual(t, wait, lease)
		})
	}
}

func TestARepeatedUndoWaitsOnlyForTheRestOfTheLease(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepUser, 1)))
	undo := func() time.Duration {
		_, wait, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepUser, lease)
		require.NoError(t, err)
		require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepUser, provision.AttemptEnd{State: provision.StepUndoing,
			Problem: "throttled"}))
		return wait
	}
	require.InDelta(t, lease.Seconds(), undo().Seconds(), 5)
	db.MustExec(`UPDATE order_steps SET fenced_at = fenced_at - interval '8 seconds'`)
	require.InDelta(t, (lease - 8*time.Second).Seconds(), undo().Seconds(), 5)
	db.MustExec(`UPDATE order_steps SET fenced_at = fenced_at - interval '8 seconds'`)
	require.Zero(t, undo())
}

// Attempts at four steps and an undo of each, all at once, while the order is stopped: an attempt began before the undo, and
// the undo knows of it, or not at all.
func TestStepsAndUndosRace(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	steps := []provision.Step{provision.StepUser, provision.StepContacts, provision.StepAlias, provision.StepReport}
	began := make([]atomic.Int32, len(steps))
	var race errgroup.Group
	for i, step := range steps {
		for range 8 {
			race.Go(func() error {
				err := pgtest.Err(store.Steps.Begin(ctx, key, account1, step, 1))
				if err == nil {
					began[i].Add(1)
					return nil
				}
				return ignoreRefusal(err)
			})
		}
		race.Go(func() error {
			_, wait, err := store.Steps.BeginUndo(ctx, key, account1, step, lease)
			if err == nil && began[i].Load() > 0 && wait == 0 {
				return fmt.Errorf("the undo of %s began without a wait although an attempt is alive", step)
			}
			return err
		})
	}
	race.Go(func() error { return store.Orders.BeginUndo(ctx, key, why) })
	require.NoError(t, race.Wait(), "no deadlock among them")
	for i, step := range steps {
		row := stepRow(t, db, step)
		require.Equal(t, provision.StepUndoing, row.State)
		require.EqualValues(t, began[i].Load(), row.Attempts, "an attempt that was let in after the undo began would be missing")
	}
}

// ignoreRefusal keeps every error but a fence's.
func ignoreRefusal(err error) error {
	if failure, ok := errors.AsType[*provision.Failure](err); ok && failure.Code == provision.CodeOrderNotInProgress {
		return nil
	}
	return err
}

func TestAnOrderThatGetsAnAccountAgainDoesItsStepsAgain(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
	_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
	require.NoError(t, err)
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepAlias, provision.AttemptEnd{State: provision.StepUndone}))
	_, err = store.Orders.RejectAccount(ctx, key, account1,
		provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "x"}, false)
	require.NoError(t, err)
	require.Nil(t, claim(t, store, key).Account)

	_, _, err = store.Accounts.Return(ctx, "operator", "acme", account1, 0, "AWS was ill")
	require.NoError(t, err)
	now := time.Now()
	db.MustExec(`UPDATE accounts SET verify_at = $1`, now)
	woken, err := store.Verifications.Apply(ctx, []provision.VerificationResult{{AccountID: account1, LookedAt: &now}})
	require.NoError(t, err)
	require.Equal(t, []provision.OrderKey{key}, woken)
	again := claim(t, store, key)
	require.Equal(t, account1, again.Account.ID)
	require.False(t, again.Touched)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
	require.Equal(t, provision.StepRunning, stepRow(t, db, provision.StepAlias).State)
}

func TestAClaimSaysWhetherTheAccountIsTouched(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	require.False(t, claim(t, store, key).Touched)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepInspect, 1)))
	require.False(t, claim(t, store, key).Touched, "looking is not touching")
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepContacts, 1)))
	require.True(t, claim(t, store, key).Touched)
	_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepContacts, lease)
	require.NoError(t, err)
	require.True(t, claim(t, store, key).Touched)
	require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepContacts, provision.AttemptEnd{State: provision.StepUndone}))
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepCompare, 1)))
	require.False(t, claim(t, store, key).Touched, "it is as it was")
}

// NoteRefusal returns since when AWS has given the same answer. The time starts again with another answer, with a retry of the
// step by an operator, and once with its undo.
func TestARefusalLastsFromAttemptToAttempt(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	_, err := store.Steps.NoteRefusal(ctx, key, account1, provision.StepUser, provision.CodePermissionMissing)
	require.ErrorIs(t, err, provision.ErrNotFound)
	attempt := func(n int32) {
		t.Helper()
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepUser, n)))
	}
	undo := func() {
		t.Helper()
		_, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepUser, lease)
		require.NoError(t, err)
	}
	// refused reports whether AWS has refused the step with this code for an hour; an hour later it has.
	refused := func(code provision.Code) (forAnHour bool) {
		t.Helper()
		lasting, err := store.Steps.NoteRefusal(ctx, key, account1, provision.StepUser, code)
		require.NoError(t, err)
		_, err = db.ExecContext(ctx, `UPDATE order_steps SET refused_since = refused_since - interval '1 hour'`)
		require.NoError(t, err)
		return lasting >= time.Hour
	}
	attempt(1)
	require.False(t, refused(provision.CodePermissionMissing))
	attempt(2)
	require.True(t, refused(provision.CodePermissionMissing))
	attempt(3)
	require.False(t, refused(provision.CodeAWSRefused), "another answer")
	require.True(t, refused(provision.CodeAWSRefused))
	attempt(1)
	require.False(t, refused(provision.CodeAWSRefused), "an operator retries the step")
	undo()
	require.False(t, refused(provision.CodeAWSRefused), "the undo begins")
	undo()
	require.True(t, refused(provision.CodeAWSRefused), "it was tried before")
}
