package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// listen registers what people may do to a running order. Each is an update with a validator: what the order's state
// forbids is refused at once, and leaves no trace in the history.
func (r *orderRun) listen(ctx workflow.Context) error {
	if err := workflow.SetUpdateHandlerWithOptions(ctx, UpdateCorrect, r.correct, workflow.UpdateHandlerOptions{
		Validator: r.checkCorrection, Description: "Replace the fields that the order asks for; the work goes on in place."}); err != nil {
		return err
	}
	for _, verb := range []struct {
		name, description string
		check             func(provision.Intervention) error
		act               func(workflow.Context, provision.Intervention) error
	}{
		{UpdateRetry, "Try again what the order waits for.", r.checkRetry, r.retry},
		{UpdateCancel, "Undo everything and end the order as cancelled.", r.checkStop, r.stop(UpdateCancel, provision.CodeOrderCancelled, "the order was cancelled")},
		{UpdateFail, "Undo everything and end the order as failed.", r.checkStop, r.stop(UpdateFail, provision.CodeFailedByOperator, "an operator ended the order")},
		{UpdateSwap, "Undo everything, mark the account Invalid and go on with the next one.", r.checkSwap, r.swap},
		{UpdateEndUndo, "End the undo now; what is not taken back by then is left.", r.checkEndUndo, r.endUndoNow},
	} {
		act := func(ctx workflow.Context, by provision.Intervention) error {
			if err := r.awaitOpened(ctx); err != nil {
				return err
			}
			by.ID = workflow.GetCurrentUpdateInfo(ctx).ID
			return verb.act(ctx, by)
		}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, verb.name, act, workflow.UpdateHandlerOptions{Validator: verb.check, Description: verb.description}); err != nil {
			return err
		}
	}
	return nil
}

// awaitOpened returns when the order's row is there: what people do is written down with it.
func (r *orderRun) awaitOpened(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return r.opened })
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
		for _, field := range provision.AskedFields(q.failure) {
			if !asked[field] {
				asked[field] = true
				names = append(names, field)
			}
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
	c.By.ID = workflow.GetCurrentUpdateInfo(ctx).ID
	corrected := activities.Corrected{Order: r.order.OrderKey, Request: r.order.Request, By: c.By}
	if err := execDatabase(ctx, "Correct order", acts.Correct, corrected); err != nil {
		return err
	}
	for _, q := range r.questions {
		q.answered = q.answered || c.Fields.Answers(q.failure)
	}
	return nil
}

func (r *orderRun) checkRetry(provision.Intervention) error {
	if len(r.questions) == 0 {
		return refuse(provision.CodeNotAsked, "", "the order waits for nothing that could be tried again")
	}
	return nil
}

func (r *orderRun) retry(ctx workflow.Context, by provision.Intervention) error {
	if err := r.note(ctx, UpdateRetry, by); err != nil {
		return err
	}
	if err := r.readSettings(ctx); err != nil {
		return err
	}
	for _, q := range r.questions {
		q.answered = true
	}
	return nil
}

// readSettings reads the settings of the pool anew: what is tried again is tried with what somebody has mended.
func (r *orderRun) readSettings(ctx workflow.Context) error {
	now, err := callDatabase(ctx, "Read the pool's settings", acts.RereadSettings, activities.SettingsHad{Order: r.order.OrderKey, Had: r.settings})
	if err == nil && now.Changed {
		r.replaced, r.settings = append(r.replaced, r.settings), now.Settings
	}
	return err
}

// note writes down an action that changes no state by itself.
func (r *orderRun) note(ctx workflow.Context, verb string, by provision.Intervention) error {
	return execDatabase(ctx, "Note "+verb, acts.NoteAction, activities.ActionTaken{Order: r.order.OrderKey, Action: verb, By: by})
}

func (r *orderRun) checkStop(provision.Intervention) error {
	switch {
	case r.final:
		return refuse(provision.CodeTooLate, "", "the order has ended, or its account is being handed over: there is no way back")
	case r.stopped != nil:
		return refuse(provision.CodeTooLate, "", "the order is being undone already")
	}
	return nil
}

func (r *orderRun) checkSwap(by provision.Intervention) error {
	if r.account == nil || r.leaving {
		return refuse(provision.CodeNotAsked, "", "the order holds no account that could be swapped")
	}
	if by.AccountID != "" && by.AccountID != r.account.ID {
		return refuse(provision.CodeNotAsked, "account_id", "the order holds account "+r.account.ID+", not account "+by.AccountID+": read the order; if it was swapped already, there is nothing to do")
	}
	return r.checkStop(by)
}

// stop ends the order. The database decides, in the transaction that changes the order's state and writes down who did that
// and why: an account that is being handed over at this moment is the customer's. The story then takes back what was done.
func (r *orderRun) stop(verb string, code provision.Code, what string) func(workflow.Context, provision.Intervention) error {
	return func(ctx workflow.Context, by provision.Intervention) error {
		failure := stopFailure(code, what, by)
		err := execDatabase(ctx, "Stop order: "+verb, acts.StopOrder, activities.StoppedOrder{Order: r.order.OrderKey, Action: verb, Failure: failure, By: by})
		switch {
		case err == nil:
			r.stopBecause(failure)
		case failureOf(err).Code == provision.CodeTooLate:
			if behind := r.catchUp(ctx); behind != nil {
				return behind
			}
		}
		return err
	}
}

// swap gives the account back as Invalid; the story then goes on with the next one.
func (r *orderRun) swap(ctx workflow.Context, by provision.Intervention) error {
	if err := r.note(ctx, UpdateSwap, by); err != nil {
		return err
	}
	if err := r.readSettings(ctx); err != nil {
		return err
	}
	if err := r.checkSwap(by); err != nil {
		return err
	}
	r.stopBecause(stopFailure(provision.CodeAccountSwappedByOperator, "an operator swapped the account", by))
	return nil
}

func (r *orderRun) checkEndUndo(provision.Intervention) error {
	if r.endUndo == nil {
		return refuse(provision.CodeNotAsked, "", "the order is not being undone: there is nothing to end")
	}
	return nil
}

// endUndoNow ends the undo that runs, after it has been written down who wanted that.
func (r *orderRun) endUndoNow(ctx workflow.Context, by provision.Intervention) error {
	if err := r.note(ctx, UpdateEndUndo, by); err != nil {
		return err
	}
	if r.endUndo != nil { // else it has ended by itself meanwhile
		r.endUndo()
	}
	return nil
}

func stopFailure(code provision.Code, what string, by provision.Intervention) provision.Failure {
	if by.Reason != "" {
		what += ": " + by.Reason
	}
	return provision.Failure{Code: code, Reason: what}
}

// stopBecause ends the work on the account.
func (r *orderRun) stopBecause(failure provision.Failure) {
	if r.stopped == nil {
		r.stopped = &stop{failure}
	}
	if r.stopWork != nil {
		r.stopWork()
	}
}

// catchUp stops the work when the order's row says that the order is being undone and this run does not know it: the worker
// that was told to stop died after it had written the row.
func (r *orderRun) catchUp(ctx workflow.Context) error {
	if knows := r.leaving || r.final || r.stopped != nil; knows {
		return nil
	}
	now, err := callDatabase(ctx, "Read order", acts.OrderStatus, r.order.OrderKey)
	if err == nil && now.State == provision.Compensating && now.Failure != nil {
		r.stopBecause(*now.Failure)
	}
	return err
}

// refuse is the answer of a validator. Its reason may be shown to whoever asked.
func refuse(code provision.Code, field, reason string) error {
	return failed(provision.Failure{Code: code, Field: field, Reason: reason})
}
