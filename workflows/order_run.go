package workflows

import (
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// orderRun is one run of ProvisionOrder: the order as it stands now, and what people may do to it meanwhile.
type orderRun struct {
	ordered   provision.Order     // as the marketplace placed it: the workflow's input
	order     provision.Order     // as it stands, corrections included
	earlier   []provision.Request // the order's request before each correction
	nonce     string
	settings  provision.PoolSettings
	account   *provision.Account // the one that the order holds
	showing   workflow.Mutex
	questions []*question // what somebody must answer before the work goes on
	stopWork  workflow.CancelFunc
	stopped   *stop // somebody stopped the work; nil: nobody did
	leaving   bool  // the account is being undone or given back
	final     bool  // the order completes or ends: too late for everything
}

// stop is why somebody stopped the work on an account.
type stop struct{ failure provision.Failure }

// Error is the failure's.
func (s *stop) Error() string { return s.failure.Error() }

// bare is the error that a workflow may end with: Temporal shows what the order shows.
func bare(err error) error {
	var byHand *stop
	switch {
	case !errors.As(err, &byHand):
		return err
	case byHand.failure.Code == provision.CodeCancelled:
		return temporal.NewCanceledError()
	}
	return failed(byHand.failure)
}

// question is a failure that somebody can mend.
type question struct {
	failure  provision.Failure
	answered bool
}

func (r *orderRun) assignment() activities.Assignment {
	return activities.Assignment{Order: r.order.OrderKey, Nonce: r.nonce, Request: r.order.Request, Settings: r.settings, Account: *r.account}
}

func (r *orderRun) restore(journal provision.Journal) activities.Restore {
	return activities.Restore{Assignment: r.assignment(), Journal: journal, Earlier: r.earlier}
}

func (r *orderRun) reportSummary() string {
	if r.order.Request.UseExistingCUR != "" {
		return "Link existing cost report"
	}
	return "Create cost report"
}

// causeOf is why the work on the account really ended. Whoever stopped it says so, but an account that turned out to be
// unusable meanwhile is rejected first; the order ends after that. A swap is done with either way.
func (r *orderRun) causeOf(err error) error {
	if r.stopped == nil {
		return err
	}
	stopped := r.stopped
	if stopped.failure.Code == provision.CodeSwappedByOperator {
		r.stopped = nil
	}
	if !temporal.IsCanceledError(err) && failureOf(err).Code.Kind() == provision.KindAccount {
		return err
	}
	return stopped
}

func (r *orderRun) settled(step func(workflow.Context) error) func(workflow.Context) error {
	return func(ctx workflow.Context) error { return r.settle(ctx, step) }
}

// settle runs a step until it succeeds. A failure that the customer or an operator can mend becomes a question, and the
// step is repeated when it was answered; steps beside it go on meanwhile. Every other failure is the step's.
func (r *orderRun) settle(ctx workflow.Context, step func(workflow.Context) error) error {
	for {
		err := step(ctx)
		if err == nil || temporal.IsCanceledError(err) {
			return err
		}
		failure := failureOf(err)
		if kind := failure.Code.Kind(); kind != provision.KindInput && kind != provision.KindPermission {
			return err
		}
		if err := r.ask(ctx, failure); err != nil {
			return err
		}
	}
}

// ask sets the order to action_required and returns when the question was answered, or with the failure of a deadline or
// a cancel.
func (r *orderRun) ask(ctx workflow.Context, failure provision.Failure) error {
	q := &question{failure: failure}
	r.questions = append(r.questions, q)
	patience, inTime := r.settings.ActionDeadline, false
	err := r.showQuestion(ctx)
	if err == nil {
		inTime, err = workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: patience, TimerOptions: workflow.TimerOptions{Summary: "Deadline for " + string(failure.Code)}},
			func() bool { return q.answered })
	}
	r.questions = slices.DeleteFunc(r.questions, func(other *question) bool { return other == q })
	switch {
	case err != nil:
		return err
	case !inTime:
		return nobodyAnswered(failure, patience)
	}
	return r.showQuestion(ctx)
}

// showQuestion makes the order's state say what is asked for now, or that the work goes on. One at a time: the last one
// knows best.
func (r *orderRun) showQuestion(ctx workflow.Context) error {
	if err := r.showing.Lock(ctx); err != nil {
		return err
	}
	defer r.showing.Unlock()
	if len(r.questions) == 0 {
		announce(ctx, provision.Provisioning, "", "Provisioning account `"+r.account.ID+"`.")
		return tellLocal(ctx, database, "Resume", acts.Resume, r.order.OrderKey)
	}
	failure := r.questions[0].failure
	field := ""
	if failure.Field != "" {
		field = "\n\n**Field** `" + failure.Field + "`, ordered: `" + failure.Value + "`"
	}
	announce(ctx, provision.ActionRequired, failure.Code, "**Action required** at step `"+string(failure.Step)+"`: "+failure.Reason+field)
	return tellLocal(ctx, database, "Require action", acts.RequireAction, activities.OrderFailed{Order: r.order.OrderKey, Failure: failure})
}

func nobodyAnswered(failure provision.Failure, patience time.Duration) error {
	failure.Reason = "nobody mended this within " + patience.String() + ": " + failure.Reason
	failure.Code = provision.CodeActionDeadline
	return failed(failure)
}
