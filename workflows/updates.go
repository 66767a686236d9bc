package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// Correction is the input of UpdateCorrect.
type Correction struct {
	Fields provision.Correction `json:"fields"`
	By     provision.Action     `json:"by"`
}

// listen registers what people may do to a running order. Each is an update with a validator: what the order's state
// forbids is refused at once, and leaves no trace in the history.
func (r *orderRun) listen(ctx workflow.Context) error {
	if err := workflow.SetUpdateHandlerWithOptions(ctx, UpdateCorrect, r.correct, workflow.UpdateHandlerOptions{
		Validator: r.checkCorrection, Description: "Replace the fields that the order asks for; the work goes on in place."}); err != nil {
		return err
	}
	for _, verb := range []struct {
		name, description string
		check             func(provision.Action) error
		do                func(workflow.Context, provision.Action)
	}{
		{UpdateRetry, "Try again what the order waits for.", r.checkRetry, r.retry},
		{UpdateCancel, "Undo everything and end the order as cancelled.", r.checkStop, r.stop(provision.CodeCancelled, "the order was cancelled")},
		{UpdateFail, "Undo everything and end the order as failed.", r.checkStop, r.stop(provision.CodeFailedByOperator, "an operator ended the order")},
		{UpdateSwap, "Undo everything, mark the account Invalid and go on with the next one.", r.checkSwap, r.stop(provision.CodeSwappedByOperator, "an operator swapped the account")},
	} {
		act := func(ctx workflow.Context, by provision.Action) error {
			verb.do(ctx, by)
			return tellLocal(ctx, database, "Note "+verb.name, acts.NoteAction, activities.ActionTaken{Order: r.order.OrderKey, Action: verb.name, By: by})
		}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, verb.name, act, workflow.UpdateHandlerOptions{Validator: verb.check, Description: verb.description}); err != nil {
			return err
		}
	}
	return nil
}

// finishListening waits until every update that was accepted has its answer.
func (r *orderRun) finishListening(ctx workflow.Context) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }) // a disconnected context is never cancelled
}

func (r *orderRun) checkCorrection(c Correction) error {
	if len(r.questions) == 0 {
		return refuse(provision.CodeNotAsked, "", "the order does not wait for a correction")
	}
	asked := map[string]bool{}
	var names []string
	for _, q := range r.questions {
		if top := provision.TopField(q.failure.Field); top != "" && !asked[top] {
			asked[top] = true
			names = append(names, top)
		}
	}
	if len(names) == 0 {
		return refuse(provision.CodeNotAsked, "", "what the order waits for is no field of it: an operator must mend it and retry")
	}
	fields := c.Fields.Fields()
	if len(fields) == 0 {
		return refuse(provision.CodeInputRefused, names[0], "send the corrected value of "+strings.Join(names, ", "))
	}
	for _, name := range fields {
		if !asked[name] {
			return refuse(provision.CodeNotAsked, name, "the order asks for "+strings.Join(names, ", ")+" only")
		}
	}
	if wrong := c.Fields.Apply(r.order.Request).Validate(); len(wrong) > 0 {
		return refuse(provision.CodeInputRefused, wrong[0].Field, wrong[0].Message)
	}
	return nil
}

func (r *orderRun) correct(ctx workflow.Context, c Correction) error {
	r.earlier = append(r.earlier, r.order.Request)
	r.order.Request = c.Fields.Apply(r.order.Request)
	corrected := activities.Corrected{Order: r.order.OrderKey, Request: r.order.Request, By: c.By}
	if err := tellLocal(ctx, database, "Correct order", acts.Correct, corrected); err != nil {
		return err
	}
	for _, q := range r.questions {
		q.answered = q.answered || c.Fields.Answers(q.failure)
	}
	return nil
}

func (r *orderRun) checkRetry(provision.Action) error {
	if len(r.questions) == 0 {
		return refuse(provision.CodeNotAsked, "", "the order waits for nothing that could be tried again")
	}
	return nil
}

func (r *orderRun) retry(workflow.Context, provision.Action) {
	for _, q := range r.questions {
		q.answered = true
	}
}

func (r *orderRun) checkStop(provision.Action) error {
	switch {
	case r.final:
		return refuse(provision.CodeTooLate, "", "the order has ended, or its account is being handed over: there is no way back")
	case r.stopped != nil:
		return refuse(provision.CodeTooLate, "", "the order is being undone already")
	}
	return nil
}

func (r *orderRun) checkSwap(by provision.Action) error {
	if r.account == nil || r.leaving {
		return refuse(provision.CodeNotAsked, "", "the order holds no account that could be swapped")
	}
	if by.AccountID != "" && by.AccountID != r.account.ID {
		return refuse(provision.CodeNotAsked, "account_id", "the order holds account "+r.account.ID+", not account "+by.AccountID+": read the order; if it was swapped already, there is nothing to do")
	}
	return r.checkStop(by)
}

// stop ends the work on the account with a failure of that code; what then becomes of the order is the story's business.
func (r *orderRun) stop(code provision.Code, what string) func(workflow.Context, provision.Action) {
	return func(_ workflow.Context, by provision.Action) {
		failure := provision.Failure{Code: code, Reason: what}
		if by.Reason != "" {
			failure.Reason += ": " + by.Reason
		}
		r.stopped = &stop{failure}
		if r.stopWork != nil {
			r.stopWork()
		}
	}
}

// refuse is the answer of a validator. Its reason may be shown to whoever asked.
func refuse(code provision.Code, field, reason string) error {
	return failed(provision.Failure{Code: code, Field: field, Reason: reason})
}
