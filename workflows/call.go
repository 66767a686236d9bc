package workflows

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
)

// acts names the activities. The worker registers the real ones.
var acts *activities.Activities

// call runs an activity. The compiler checks its input and its result. The Web UI shows the summary.
func call[In, Out any](ctx workflow.Context, opts workflow.ActivityOptions, summary string,
	activity func(context.Context, In) (Out, error), in In,
) (out Out, err error) {
	opts.Summary = summary
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), activity, in).Get(ctx, &out)
	return out, err
}

// callWithoutInput is call for an activity without an input.
func callWithoutInput[Out any](ctx workflow.Context, opts workflow.ActivityOptions, summary string,
	activity func(context.Context) (Out, error),
) (out Out, err error) {
	opts.Summary = summary
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, opts), activity).Get(ctx, &out)
	return out, err
}

// callLocal is callWithoutInput for a local activity.
func callLocal[Out any](ctx workflow.Context, opts workflow.LocalActivityOptions, summary string,
	activity func(context.Context) (Out, error),
) (out Out, err error) {
	opts.Summary = summary
	err = workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, opts), activity).Get(ctx, &out)
	return out, err
}

// callDatabase runs an activity that calls only PostgreSQL, and repeats it until PostgreSQL has answered. It returns an error only for
// a refusal that no retry can change, and for a cancel.
func callDatabase[In, Out any](ctx workflow.Context, summary string, activity func(context.Context, In) (Out, error), in In) (out Out, err error) {
	opts := database
	opts.Summary = summary
	err = workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, opts), activity, in).Get(ctx, &out)
	if err == nil || isFinal(err) {
		return out, err
	}
	return call(ctx, patient, summary, activity, in)
}

// execDatabase is callDatabase for an activity without a result.
func execDatabase[In any](ctx workflow.Context, summary string, activity func(context.Context, In) error, in In) error {
	local, ordinary := database, patient
	local.Summary, ordinary.Summary = summary, summary
	err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, local), activity, in).Get(ctx, nil)
	if err == nil || isFinal(err) {
		return err
	}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, ordinary), activity, in).Get(ctx, nil)
}

// isFinal reports whether an activity's error is its answer: a cancel, or a refusal that must not be repeated.
func isFinal(err error) bool {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	return temporal.IsCanceledError(err) || ok && app.NonRetryable()
}

// inParallel runs functions in parallel. When one fails, inParallel cancels the others; it returns the error of the first that failed,
// and not before all have returned.
func inParallel(ctx workflow.Context, functions ...func(workflow.Context) error) error {
	ctx, cancelRest := workflow.WithCancel(ctx)
	defer cancelRest()
	var first error
	running := workflow.NewWaitGroup(ctx)
	for _, function := range functions {
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			if err := function(ctx); err != nil && first == nil {
				first = err
				cancelRest()
			}
		})
	}
	running.Wait(ctx) // a cancel ends the functions, not this wait
	return first
}

// waitOrSignal returns after the given time, when a signal arrives, or with the error of a cancel. The Web UI shows the summary.
func waitOrSignal(ctx workflow.Context, atMost time.Duration, summary string, signal workflow.ReceiveChannel) error {
	timerCtx, stopTimer := workflow.WithCancel(ctx)
	defer stopTimer()
	timer := workflow.NewTimerWithOptions(timerCtx, atMost, workflow.TimerOptions{Summary: summary})
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(signal, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	selector.AddFuture(timer, func(workflow.Future) {})
	selector.Select(ctx)
	return ctx.Err()
}
