package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The simulated worker. It is an interceptor instead of registered activities, for two reasons. The SDK's test
// environment reports a cancelled activity as stopped at once and lets it run on, whatever WaitForCancellation says, so no
// test could see an undo that overtakes its step. And it runs activities on goroutines of their own, so four steps side by
// side end in an order that no run repeats, and a failing order could not be made smaller. Here an activity is a
// coroutine on the workflow's clock: the same plan gives the same run, to the nanosecond.

type modelWorker struct {
	interceptor.WorkerInterceptorBase
	w *orderModel
}

func (s *modelWorker) InterceptWorkflow(_ workflow.Context,
	next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &modelInbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, s.w}
}

type modelInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	w *orderModel
}

func (i *modelInbound) Init(out interceptor.WorkflowOutboundInterceptor) error {
	return i.Next.Init(&modelOutbound{interceptor.WorkflowOutboundInterceptorBase{Next: out}, i.w})
}

func (i *modelInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		ctx.Done().Receive(ctx, nil)
		i.w.cancelHeard = i.w.seen["Allocate"] == 0 // later it is too late, and the order may complete
	})
	return i.Next.ExecuteWorkflow(ctx, in)
}

type modelOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	w *orderModel
}

func (o *modelOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	opts := workflow.GetActivityOptions(ctx)
	return o.w.execute(ctx, activityCall{name: name, in: args[0], retry: opts.RetryPolicy, waits: opts.WaitForCancellation &&
		o.w.bug != bugUndoOvertakes})
}

func (o *modelOutbound) ExecuteLocalActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	return o.w.execute(ctx, activityCall{name: name, in: args[0], retry: workflow.GetLocalActivityOptions(ctx).RetryPolicy, local: true})
}

// SignalExternalWorkflow reaches no workflow: the model has only one order.
func (o *modelOutbound) SignalExternalWorkflow(ctx workflow.Context, _, _, _ string, _ any) workflow.Future {
	future, answer := workflow.NewFuture(ctx)
	answer.SetValue(nil)
	return future
}

// activityCall is one activity that the workflow asked for.
type activityCall struct {
	name  string
	in    any
	retry *temporal.RetryPolicy
	local bool
	waits bool // WaitForCancellation: the workflow learns about the end when the activity has really ended

	abandon func() // without waits: the workflow does not wait any longer, whatever still runs
}

// execute runs an activity as Temporal does: attempt after attempt until one succeeds or must not be repeated. A cancel
// ends the pause between two attempts at once; a running attempt stops at its next call, if it listens.
func (w *orderModel) execute(ctx workflow.Context, c activityCall) workflow.Future {
	future, answer := workflow.NewFuture(ctx)
	if ctx.Err() != nil {
		answer.SetError(temporal.NewCanceledError())
		return future
	}
	if step := stepOfUndo[c.name]; w.bug == bugRegisteredLate && step != "" && !w.held().succeeded[step] {
		answer.SetValue(nil) // the saga would not know of it
		return future
	}
	answered := false
	set := func(result *commonpb.Payloads, err error) {
		if !answered {
			answered = true
			answer.Set(result, wire(err, c))
		}
	}
	if !c.waits {
		c.abandon = func() { set(nil, temporal.NewCanceledError()) }
	}
	workflow.Go(ctx, func(ctx workflow.Context) { set(w.attempts(ctx, c)) })
	return future
}

// maxAttempts is more than any plan makes a step fail in a row, so a step that gets there would be repeated forever.
const maxAttempts = 25

func (w *orderModel) attempts(ctx workflow.Context, c activityCall) (*commonpb.Payloads, error) {
	delay := c.retry.InitialInterval
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return nil, temporal.NewCanceledError()
		}
		result, err := w.attempt(ctx, c)
		app, isApp := errors.AsType[*temporal.ApplicationError](err)
		switch {
		case err == nil || temporal.IsCanceledError(err):
			return result, err
		case !isApp:
			panic(fmt.Sprintf("%s returned an error that is not translated: %v", c.name, err))
		case app.NonRetryable():
			return nil, err
		case n == maxAttempts:
			w.violate("%s is repeated forever: %v", c.name, err)
			return nil, temporal.NewNonRetryableApplicationError("given up by the simulation", "Simulation", nil)
		}
		_ = workflow.Sleep(ctx, delay) // a cancel shows in ctx
		delay = min(time.Duration(float64(delay)*c.retry.BackoffCoefficient), c.retry.MaximumInterval)
	}
}

// activityAttempt is one attempt at an activity. The context of the activity carries it.
type activityAttempt struct {
	w        *orderModel
	name     string
	ctx      workflow.Context // cancelled with the call
	detached workflow.Context // the clock of the attempt itself
	local    bool
	fault    *plannedFault // nil: nothing goes wrong
	writes   int
	listens  bool
	abandon  func()
	lost     error // of the database: what the attempt ends with, whatever the activity says
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *activityAttempt {
	attempt, ok := ctx.Value(attemptKey{}).(*activityAttempt)
	if !ok {
		panic("an activity of the simulated world runs outside of it")
	}
	return attempt
}

func (w *orderModel) attempt(ctx workflow.Context, c activityCall) (*commonpb.Payloads, error) {
	w.seen[c.name]++
	n := w.seen[c.name]
	detached, _ := workflow.NewDisconnectedContext(ctx)
	at := &activityAttempt{w: w, name: c.name, ctx: ctx, detached: detached, local: c.local, fault: w.fault(c.name, n), listens: c.local ||
		!w.plan.Deaf, abandon: c.abandon}
	w.moment(c.name, n, false)
	w.begin(c.name)
	result, err := w.invoke(context.WithValue(context.Background(), attemptKey{}, at), c)
	if at.lost != nil {
		err = at.lost
	}
	if err == nil {
		err = at.answer()
	}
	if err != nil {
		result = nil
	}
	w.end(c.name, err == nil)
	w.note(workflow.Now(detached), c.name, n, err)
	w.moment(c.name, n, true)
	return result, err
}

// invoke calls the activity of that name. Input and result take the way over the wire.
func (w *orderModel) invoke(ctx context.Context, c activityCall) (*commonpb.Payloads, error) {
	method := reflect.ValueOf(w.acts).MethodByName(c.name)
	if !method.IsValid() {
		panic("the workflow calls an activity that the simulation does not know: " + c.name)
	}
	in := reflect.New(method.Type().In(1))
	sent, err := converter.GetDefaultDataConverter().ToPayloads(c.in)
	if err == nil {
		err = converter.GetDefaultDataConverter().FromPayloads(sent, in.Interface())
	}
	if err != nil {
		panic(err)
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(ctx), in.Elem()})
	if err, failed := out[len(out)-1].Interface().(error); failed {
		return nil, err
	}
	if len(out) == 1 {
		return nil, nil
	}
	return converter.GetDefaultDataConverter().ToPayloads(out[0].Interface())
}

// wire is what becomes of an activity's error on its way to the workflow.
func wire(err error, c activityCall) error {
	if err == nil {
		return nil
	}
	failures := temporal.GetDefaultFailureConverter()
	failure := failures.ErrorToFailure(err)
	if !c.local {
		failure = &failurepb.Failure{Message: "activity error", Cause: failure, FailureInfo: &failurepb.Failure_ActivityFailureInfo{
			ActivityFailureInfo: &failurepb.ActivityFailureInfo{ActivityType: &commonpb.ActivityType{Name: c.name}}}}
	}
	return failures.FailureToError(failure)
}

// pause is the time that a call takes. The microseconds make every moment of a run a different one.
func (at *activityAttempt) pause() {
	at.w.pauses++
	d := time.Second
	if len(at.w.plan.Pace) > 0 {
		d += time.Duration(at.w.plan.Pace[at.w.pauses%len(at.w.plan.Pace)]) * 700 * time.Millisecond
	}
	d += time.Duration(at.w.pauses) * time.Microsecond
	if at.abandon != nil && workflow.Sleep(at.ctx, d) != nil {
		at.abandon()
	}
	if at.abandon == nil || at.ctx.Err() != nil {
		_ = workflow.Sleep(at.detached, d) // a detached sleep ends only by itself
	}
}

// write is one call that changes something. It may fail before its effect, or after it, which looks the same.
func (at *activityAttempt) write(effect func()) error {
	at.pause()
	if at.listens && at.ctx.Err() != nil {
		return temporal.NewCanceledError()
	}
	fails := at.fault != nil && at.fault.Write == at.writes
	at.writes++
	if fails && !at.fault.Took {
		return at.strike()
	}
	effect()
	if fails {
		return at.strike()
	}
	return nil
}

// answer is the way back of a success. What should have failed at a write that never came fails here.
func (at *activityAttempt) answer() error {
	if !at.local {
		at.pause()
	}
	if at.listens && at.ctx.Err() != nil {
		return temporal.NewCanceledError()
	}
	if at.fault != nil && at.fault.Write >= at.writes {
		return at.strike()
	}
	return nil
}

func (at *activityAttempt) strike() error { return at.refuse(at.fault.failure()) }
