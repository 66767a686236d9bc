package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"quartermaster/internal/provision"
)

// Steps are the attempts of orders at their steps and undos.
type Steps struct{ db *database }

// Every attempt at a step, and at an undo, asks here before it touches the account. The statement that records the attempt also checks
// that the order holds the account, and returns what the attempt works from. It locks the order, then the account, like every
// transaction that changes which order holds an account: an attempt begins before such a change, or it is refused. Both locks are
// shared, so that parallel steps do not wait for each other. An account from which what an order left is removed (removing_since)
// counts as held by that order, but for undos and looks only. A new password is the one step of a completed order, in the account
// that is allocated to it.

const assignedOrderSQL = `
    SELECT o.provider, o.id, o.state, o.nonce, o.request, o.earlier_requests, o.settings, o.earlier_settings FROM orders o
    WHERE o.provider = $1 AND o.id = $2 FOR SHARE`

const assignmentColumns = `ours.nonce, ours.request, ours.earlier_requests, ours.settings, ours.earlier_settings, held.*`

// $6: the states in which the order may take the step; $7: the status that its account then has.
const stepStartedSQL = `
WITH ours AS (` + assignedOrderSQL + `
), held AS (
    SELECT ` + accountColumns + ` FROM accounts a JOIN ours ON ours.provider = a.provider AND ours.id = a.order_id
    WHERE a.id = $3 AND (a.status = $7 AND ours.state = ANY($6) OR $4 = 'compare_with_journal' AND a.removing_since IS NOT NULL)
    FOR SHARE OF a
), begun AS (
    INSERT INTO order_steps AS s (provider, order_id, account_id, step, state, attempt, attempts_open)
    SELECT $1, $2, held.id, $4, 'running', $5, 1 FROM held
    ON CONFLICT (provider, order_id, account_id, step) DO UPDATE SET
        attempts_open = s.attempts_open + 1,
        state = CASE s.state WHEN 'done' THEN 'done' ELSE 'running' END,
        attempt = CASE s.state WHEN 'done' THEN s.attempt ELSE EXCLUDED.attempt END,
        finished_at = CASE s.state WHEN 'done' THEN s.finished_at END,
        refused = CASE WHEN EXCLUDED.attempt > 1 THEN s.refused ELSE '' END,
        refused_since = CASE WHEN EXCLUDED.attempt > 1 THEN s.refused_since END
    WHERE s.fenced_at IS NULL
    RETURNING account_id
)
SELECT ` + assignmentColumns + ` FROM begun, ours, held`

var (
	forward = []string{string(provision.Provisioning), string(provision.ActionRequired)}
	// an order may give one account back and go on with the next
	back = []string{string(provision.Provisioning), string(provision.ActionRequired), string(provision.Compensating)}
	// after the hand-over, of which there is no undo
	after = []string{string(provision.Completed)}
)

// Begin records that an attempt at a step begins, and returns what it works from. Errors: a *provision.Failure
// OrderNotInProgress when the order does not hold the account, is in a state that does not allow the step, or has
// begun to undo the step.
func (s Steps) Begin(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step,
	attempt int32) (provision.Assignment, error) {
	states, status := forward, provision.AccountProvisioning
	switch step {
	case provision.StepCompare: // it only reads, to see what the undo has done
		states = back
	case provision.StepNewPassword:
		states, status = after, provision.AccountAllocated
	}
	var row assignmentRow
	err := s.db.GetContext(ctx, &row, stepStartedSQL, key.Provider, key.ID, accountID, step, attempt, textArray(states), status)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.whyNotInProgress(ctx, key, accountID, step)
	}
	if err != nil {
		return provision.Assignment{}, err
	}
	return row.assignment(key)
}

// An attempt writes for one lease after its last accepted heartbeat at most. No heartbeat of an attempt at the
// step is accepted after fenced_at: its run waited for its end, or was replaced by the run that undoes the step.
// An earlier attempt at the undo that has not reported its end may have been accepted until this one began,
// because an operator may have reset the run just now.
const undoStartedSQL = `
WITH ours AS (` + assignedOrderSQL + `
), held AS (
    SELECT ` + accountColumns + ` FROM accounts a JOIN ours ON ours.provider = a.provider AND ours.id = a.order_id
    WHERE a.id = $3 AND (a.status = 'provisioning' AND ours.state = ANY($6) OR a.removing_since IS NOT NULL) FOR SHARE OF a
), begun AS (
    INSERT INTO order_steps AS s (provider, order_id, account_id, step, state, attempt, undos_open, fenced_at)
    SELECT $1, $2, held.id, $4, 'undoing', 0, 1, clock_timestamp() FROM held
    ON CONFLICT (provider, order_id, account_id, step) DO UPDATE SET
        undos_open = s.undos_open + 1,
        fenced_at = COALESCE(s.fenced_at, clock_timestamp()),
        state = 'undoing',
        finished_at = NULL,
        refused = CASE WHEN s.fenced_at IS NULL THEN '' ELSE s.refused END,
        refused_since = CASE WHEN s.fenced_at IS NOT NULL THEN s.refused_since END
    RETURNING GREATEST(
        CASE WHEN undos_open > 1 THEN $5::float8 ELSE 0 END,
        CASE WHEN attempts_open > 0 THEN $5::float8 - EXTRACT(EPOCH FROM clock_timestamp() - fenced_at)::float8 ELSE 0 END) AS wait
)
SELECT begun.wait, ` + assignmentColumns + ` FROM begun, ours, held`

// BeginUndo records that an attempt at the undo of a step begins. From then on no attempt at the step can begin,
// or end as done. BeginUndo returns what the undo works from, and how long it must wait until the lease of every
// attempt that has not reported its end is over, at the step or at its undo. Errors: a *provision.Failure
// OrderNotInProgress when the order does not hold the account.
func (s Steps) BeginUndo(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step,
	lease time.Duration) (now provision.Assignment, wait time.Duration, err error) {
	var row struct {
		assignmentRow
		Wait float64 `db:"wait"`
	}
	err = s.db.GetContext(ctx, &row, undoStartedSQL, key.Provider, key.ID, accountID, step, lease.Seconds(), textArray(back))
	if errors.Is(err, sql.ErrNoRows) {
		err = s.whyNotInProgress(ctx, key, accountID, step)
	}
	if err != nil {
		return now, 0, err
	}
	now, err = row.assignment(key)
	return now, time.Duration(row.Wait * float64(time.Second)), err
}

// An attempt may end after the row has moved on, to done or to its undo. Then the row only counts its end. The commit does not wait for
// the disk. If PostgreSQL crashes before the end is on disk, the row still shows the attempt as open: an undo then waits for its
// lease, and Allocate ends what is open. A repeated inspection may see what the order has already set, so what the first one saw counts.
var stepEndedSQL = `
WITH without_waiting AS (SELECT set_config('synchronous_commit', 'off', true))
UPDATE order_steps SET
    attempts_open = GREATEST(attempts_open - 1, 0),
    seen = COALESCE(seen, $9::jsonb),
    state = CASE WHEN state IN ('running', 'retrying', 'stopped') THEN $5 ELSE state END,
    problem = CASE WHEN state IN ('running', 'retrying', 'stopped') THEN $6 ELSE problem END,
    failed_attempts = CASE WHEN state IN ('running', 'retrying', 'stopped') AND $6 <> '' THEN ` + withAttempt + ` ELSE failed_attempts END,
    finished_at = CASE WHEN state NOT IN ('running', 'retrying', 'stopped') THEN finished_at WHEN $5 <> 'retrying' THEN now() END
FROM without_waiting
WHERE provider = $1 AND order_id = $2 AND account_id = $3 AND step = $4`

var undoEndedSQL = `
UPDATE order_steps SET
    undos_open = GREATEST(undos_open - 1, 0),
    state = CASE state WHEN 'undoing' THEN $5 ELSE state END,
    problem = CASE state WHEN 'undoing' THEN $6 ELSE problem END,
    failed_attempts = CASE WHEN state = 'undoing' AND $6 <> '' THEN ` + withAttempt + ` ELSE failed_attempts END,
    finished_at = CASE state WHEN 'undoing' THEN now() ELSE finished_at END
WHERE provider = $1 AND order_id = $2 AND account_id = $3 AND step = $4`

// withAttempt is the failed attempts with one more. $7 has what the caller knows of it, and $8 how many seconds it took. When there are
// as many as are kept, the oldest one behind the first ones makes room.
var withAttempt = fmt.Sprintf(`CASE WHEN jsonb_array_length(failed_attempts) >= %d THEN failed_attempts - %d
        ELSE COALESCE(failed_attempts, '[]') END || jsonb_build_array($7::jsonb || jsonb_build_object(
            'number', COALESCE((failed_attempts -> -1 ->> 'number')::int, 0) + 1,
            'began', now() - $8::float8 * interval '1 second', 'ended', now()))`,
	provision.FirstAttemptsKept+provision.LastAttemptsKept, provision.FirstAttemptsKept)

// End records how an attempt at a step ended (done, retrying, failed, stopped), or an attempt at its undo (undone,
// or undoing when it will be tried again). A step that is being undone or is undone never becomes anything else.
func (s Steps) End(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, end provision.AttemptEnd) error {
	undo := end.State == provision.StepUndoing || end.State == provision.StepUndone
	args := []any{key.Provider, key.ID, accountID, step, end.State, end.Problem,
		asJSON(provision.FailedAttempt{Undo: undo, Problem: end.Problem, AWS: end.AWS}), end.Took.Seconds()}
	if undo {
		_, err := s.db.ExecContext(ctx, undoEndedSQL, args...)
		return err
	}
	var seen *string
	if end.Seen != nil {
		seen = new(asJSON(end.Seen))
	}
	_, err := s.db.ExecContext(ctx, stepEndedSQL, append(args, seen)...)
	return err
}

const stepRefusedSQL = `
UPDATE order_steps SET
    refused = $5,
    refused_since = CASE refused WHEN $5 THEN refused_since ELSE clock_timestamp() END
WHERE provider = $1 AND order_id = $2 AND account_id = $3 AND step = $4
RETURNING EXTRACT(EPOCH FROM clock_timestamp() - refused_since)::float8`

// NoteRefusal records that AWS refuses the step with this code, and returns how long it has done so without
// another code in between. A first attempt starts from zero, because an operator or a workflow asked for it.
// Errors: provision.ErrNotFound when no attempt at the step has begun.
func (s Steps) NoteRefusal(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step,
	code provision.Code) (lasting time.Duration, err error) {
	var seconds float64
	err = s.db.GetContext(ctx, &seconds, stepRefusedSQL, key.Provider, key.ID, accountID, step, code)
	return time.Duration(seconds * float64(time.Second)), notFound(err, "step %s of order %s", step, key)
}

const whyNotInProgressSQL = `
SELECT o.state, COALESCE((SELECT a.id FROM accounts a WHERE a.id = $3 AND a.provider = $1 AND a.order_id = $2
    AND a.status = 'provisioning'), '') AS account_id
FROM orders o WHERE o.provider = $1 AND o.id = $2`

// whyNotInProgress explains why an attempt was refused. It reads after the refusal, so it may see later changes.
func (s Steps) whyNotInProgress(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step) error {
	var now struct {
		State     provision.OrderState `db:"state"`
		AccountID string               `db:"account_id"`
	}
	refused := &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: step}
	switch err := s.db.GetContext(ctx, &now, whyNotInProgressSQL, key.Provider, key.ID, accountID); {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("order %s: %w", key, provision.ErrNotFound) // the row is lost: the caller retries until it is restored
	case err != nil:
		return err
	case now.AccountID == "":
		refused.Reason = fmt.Sprintf("the order is %s and does not hold account %s", now.State, accountID)
	default:
		refused.Reason = fmt.Sprintf("the order is %s, or the undo of the step has begun in account %s", now.State, accountID)
	}
	return refused
}
