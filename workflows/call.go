package workflows

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// Option rows: how long an attempt may take and how it is repeated. Time is the only budget, there is no MaximumAttempts:
// an outage of AWS or of ours parks an order, it does not fail it. What must not be repeated says so itself (activities/errors.go).
var (
	// inventory reads the account.
	inventory = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// cloud changes the account. An attempt waits out AWS's eventual consistency, which takes minutes on a bad day.
	cloud = workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true, // an undo must not run while its step still does
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// cleanup puts the account back.
	cleanup = workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true,
		RetryPolicy:         backOff(time.Second, 5*time.Minute),
	}
	// lastCleanup is cleanup after somebody has ended the undo: AWS gets little time.
	lastCleanup = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 2 * time.Minute,
		StartToCloseTimeout:    time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		WaitForCancellation:    true,
		RetryPolicy:            backOff(time.Second, 10*time.Second),
	}
	// reconciling reads everything of ours. An audit that cannot be finished fails, and the next one of the schedule sees the same.
	reconciling = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 4 * time.Minute,
		StartToCloseTimeout:    2 * time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		RetryPolicy:            backOff(5*time.Second, time.Minute),
	}
	// verification reads an account that no order holds. When AWS cannot say in this time, the next sweep asks again.
	verification = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 3 * time.Minute,
		StartToCloseTimeout:    time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		WaitForCancellation:    true,
		RetryPolicy:            backOff(time.Second, time.Minute),
	}
	// watching looks at the stock of all pools. A look that cannot be finished fails, and the next one of the schedule sees the same.
	watching = workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: 50 * time.Second,
		StartToCloseTimeout:    30 * time.Second,
		RetryPolicy:            backOff(time.Second, 10*time.Second),
	}
	// delivering is one attempt to deliver a webhook, bounded by itself; how attempts follow each other stands in the database.
	delivering = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// sweeping wakes and purges. When it cannot be done in time, the next sweep does the same.
	sweeping = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 5 * time.Minute,
		StartToCloseTimeout:    2 * time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		RetryPolicy:            backOff(time.Second, time.Minute),
	}
	// database is our own PostgreSQL: a local activity, a fifth of the price of the others. Its budget fits into one workflow
	// task; what is not done by then is up to patient.
	database = workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: 5 * time.Second,
		StartToCloseTimeout:    5 * time.Second,
		RetryPolicy:            backOff(100*time.Millisecond, time.Second),
	}
	// patient is our own PostgreSQL when it is slow or away: an ordinary activity, whose attempts add no events to the history.
	// It has no other limit: trouble of ours delays an order and never fails it.
	patient = workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
)

func backOff(first, longest time.Duration) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: first, BackoffCoefficient: 2, MaximumInterval: longest}
}

// call runs an activity; its input and result types are checked when this compiles. The summary is what the Web UI shows.
func call[In, Out any](ctx workflow.Context, opts workflow.ActivityOptions, summary string, activity func(context.Context, In) (Out, error), in In) (out Out, err error) {
	opts.Summary = summary
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), activity, in).Get(ctx, &out)
	return out, err
}

// callWithoutInput is call for an activity without an input.
func callWithoutInput[Out any](ctx workflow.Context, opts workflow.ActivityOptions, summary string, activity func(context.Context) (Out, error)) (out Out, err error) {
	opts.Summary = summary
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), activity).Get(ctx, &out)
	return out, err
}

// callDatabase runs an activity that touches only our own database, until the database has answered. Only a refusal that no
// retry can change, or a cancel, ends it with an error.
func callDatabase[In, Out any](ctx workflow.Context, summary string, activity func(context.Context, In) (Out, error), in In) (out Out, err error) {
	opts := database
	opts.Summary = summary
	err = workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, opts), activity, in).Get(ctx, &out)
	if err == nil || isFinal(err) {
		return out, err
	}
	return call(ctx, patient, summary, activity, in)
}

// execDatabase is callDatabase for an activity without an answer.
func execDatabase[In any](ctx workflow.Context, summary string, activity func(context.Context, In) error, in In) error {
	local, ordinary := database, patient
	local.Summary, ordinary.Summary = summary, summary
	err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, local), activity, in).Get(ctx, nil)
	if err == nil || isFinal(err) {
		return err
	}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, ordinary), activity, in).Get(ctx, nil)
}

// isFinal reports whether an activity's error is its answer: a cancel, or a refusal that is not to be repeated.
func isFinal(err error) bool {
	var app *temporal.ApplicationError
	return temporal.IsCanceledError(err) || errors.As(err, &app) && app.NonRetryable()
}

// callLocal runs a local activity without an input, within the given limits.
func callLocal[Out any](ctx workflow.Context, opts workflow.LocalActivityOptions, summary string, activity func(context.Context) (Out, error)) (out Out, err error) {
	opts.Summary = summary
	err = workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, opts), activity).Get(ctx, &out)
	return out, err
}

// inParallel runs the steps side by side. When one fails the others are cancelled, and it returns only after every one
// has really stopped: with the error of the first that failed.
func inParallel(ctx workflow.Context, steps ...func(workflow.Context) error) error {
	ctx, cancelRest := workflow.WithCancel(ctx)
	defer cancelRest()
	var first error
	running := workflow.NewWaitGroup(ctx)
	for _, step := range steps {
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			if err := step(ctx); err != nil && first == nil {
				first = err
				cancelRest()
			}
		})
	}
	running.Wait(ctx) // a cancel ends the steps, not the wait
	return first
}

// failureOf is what an error of an activity says to people.
func failureOf(err error) provision.Failure {
	var failure provision.Failure
	var app *temporal.ApplicationError
	var byHand *stop
	switch {
	case errors.As(err, &byHand):
		return byHand.failure
	case temporal.IsCanceledError(err):
		return provision.Failure{Code: provision.CodeOrderCancelled, Reason: "the order was cancelled"}
	case errors.As(err, &app) && app.HasDetails() && app.Details(&failure) == nil && failure.Code != "":
		return failure
	}
	return provision.Failure{Code: provision.CodeInternal, Reason: "an unexpected error; the workflow's history has the details"}
}
