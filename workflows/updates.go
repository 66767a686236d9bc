package workflows

import (
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// handleUpdates registers what people may do to a running order. Each is an update with a validator: the order refuses at once what its
// state forbids, and a refused update leaves no trace in the history.
func (r *orderRun) handleUpdates(ctx workflow.Context) error {
	correct := workflow.UpdateHandlerOptions{
		Validator: r.checkCorrection, Description: "Replace the fields that the order asks for; the work goes on in the same account.",
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, UpdateCorrect, r.correct, correct); err != nil {
		return err
	}
	for _, u := range []struct {
		name, description string
		check             func(provision.Intervention) error
		handle            func(workflow.Context, provision.Intervention) error
	}{
		{UpdateRetry, "Repeat what the order waits for.", r.checkRetry, r.retry},
		{UpdateCancel, "Undo everything and end the order as cancelled.", r.checkStop, r.cancelOrder},
		{UpdateFail, "Undo everything and end the order as failed.", r.checkStop, r.failOrder},
		{UpdateSwap, "Undo everything, mark the account Invalid and go on with the next one.", r.checkSwap, r.swap},
		{UpdateEndUndo, "End the undo now; what is not undone by then is left.", r.checkEndUndo, r.endUndo},
	} {
		handle := func(ctx workflow.Context, by provision.Intervention) error {
			// The database records an update with the order's row, so the row must be there.
			if err := workflow.Await(ctx, func() bool { return r.phase != opening }); err != nil {
				return err
			}
			by.ID = workflow.GetCurrentUpdateInfo(ctx).ID
			return u.handle(ctx, by)
		}
		if err := workflow.SetUpdateHandlerWithOptions(ctx, u.name, handle, workflow.UpdateHandlerOptions{Validator: u.check,
			Description: u.description}); err != nil {
			return err
		}
	}
	return nil
}

// awaitHandlers waits until every update that was accepted has its answer.
func (r *orderRun) awaitHandlers(ctx workflow.Context) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }) // a disconnected context is never cancelled
}

func (r *orderRun) checkCorrection(c Correction) error {
	open := slices.DeleteFunc(slices.Clone(r.questions), func(q *question) bool { return q.answered })
	if len(open) == 0 {
		return refuse(provision.CodeNotAsked, "", "the order does not wait for a correction")
	}
	asked := map[string]bool{}
	var names []string
	for _, q := range open {
		for _, field := range provision.AskedFields(q.failure) {
			if !asked[field] {
				asked[field] = true
				names = append(names, field)
			}
		}
	}
	if len(names) == 0 {
		return refuse(provision.CodeNotAsked, "", "no field of the order can mend this: an operator must mend it and retry")
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

// correct replaces fields of the request and answers the questions that asked for them. One correction at a time: the steps read the
// request from the order's row, which must have what the last correction said.
func (r *orderRun) correct(ctx workflow.Context, c Correction) error {
	if err := r.correcting.Lock(ctx); err != nil {
		return err
	}
	defer r.correcting.Unlock()
	if err := r.checkCorrection(c); err != nil { // another one was recorded since
		return err
	}
	c.By.ID = workflow.GetCurrentUpdateInfo(ctx).ID
	corrected := activities.Corrected{Order: r.order.OrderKey, Request: c.Fields.Apply(r.order.Request), By: c.By}
	if err := execDatabase(ctx, "Correct order", acts.Correct, corrected); err != nil {
		return err
	}
	r.order.Request = corrected.Request
	for _, q := range r.questions {
		q.answered = q.answered || c.Fields.Answers(q.failure)
	}
	return nil
}

func (r *orderRun) checkRetry(provision.Intervention) error {
	if len(r.questions) == 0 {
		return refuse(provision.CodeNotAsked, "", "the order waits for nothing that a retry could repeat")
	}
	return nil
}

// retry answers every question: the steps run again, with what someone has mended.
func (r *orderRun) retry(ctx workflow.Context, by provision.Intervention) error {
	if err := r.record(ctx, UpdateRetry, by); err != nil {
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

// readSettings reads the pool's settings again, because someone may have mended them.
func (r *orderRun) readSettings(ctx workflow.Context) error {
	settings, err := callDatabase(ctx, "Read the pool's settings", acts.RereadSettings, r.order.OrderKey)
	if err == nil {
		r.settings = settings
	}
	return err
}

// record writes an update that changes no state of its own to the order's history.
func (r *orderRun) record(ctx workflow.Context, update string, by provision.Intervention) error {
	return execDatabase(ctx, "Record "+update, acts.NoteAction, activities.ActionTaken{Order: r.order.OrderKey, Action: update, By: by})
}

func (r *orderRun) checkStop(provision.Intervention) error {
	switch {
	case r.phase == completing || r.phase == closing:
		return refuse(provision.CodeTooLate, "",
			"the order has ended or is ending, or its account is being handed over: there is no way back")
	case r.stopped != nil:
		return refuse(provision.CodeTooLate, "", "the order is already being undone")
	}
	return nil
}

func (r *orderRun) cancelOrder(ctx workflow.Context, by provision.Intervention) error {
	return r.stopOrder(ctx, UpdateCancel, by, failureBy(by, provision.CodeOrderCancelled, "the order was cancelled"))
}

func (r *orderRun) failOrder(ctx workflow.Context, by provision.Intervention) error {
	return r.stopOrder(ctx, UpdateFail, by, failureBy(by, provision.CodeFailedByOperator, "an operator ended the order"))
}

// stopOrder stops the work for good. The database decides, in the transaction that changes the order's state and records who did that
// and why: an account that is being handed over at this moment is the customer's. Then the story undoes the account.
func (r *orderRun) stopOrder(ctx workflow.Context, update string, by provision.Intervention, why provision.Failure) error {
	err := execDatabase(ctx, "Stop order: "+update, acts.StopOrder,
		activities.StoppedOrder{Order: r.order.OrderKey, Action: update, Failure: why, By: by})
	if err == nil {
		r.stop(why)
		return nil
	}
	if failureOf(err).Code == provision.CodeTooLate {
		if behind := r.catchUp(ctx); behind != nil {
			return behind
		}
	}
	return err
}

func (r *orderRun) checkSwap(by provision.Intervention) error {
	if r.phase != working && r.phase != completing {
		return refuse(provision.CodeNotAsked, "", "the order holds no account that could be swapped")
	}
	if by.AccountID != "" && by.AccountID != r.account.ID {
		return refuse(provision.CodeNotAsked, "account_id", "the order holds account "+r.account.ID+", not account "+by.AccountID+
			": read the order; if its account was swapped already, there is nothing to do")
	}
	return r.checkStop(by)
}

// swap stops the work in the account. The story gives the account back as Invalid and goes on with the next one.
func (r *orderRun) swap(ctx workflow.Context, by provision.Intervention) error {
	if err := r.record(ctx, UpdateSwap, by); err != nil {
		return err
	}
	if err := r.readSettings(ctx); err != nil {
		return err
	}
	if err := r.checkSwap(by); err != nil { // the order went on while this was recorded
		return err
	}
	r.stop(failureBy(by, provision.CodeAccountSwappedByOperator, "an operator swapped the account"))
	return nil
}

func (r *orderRun) checkEndUndo(provision.Intervention) error {
	if r.undoing == nil {
		return refuse(provision.CodeNotAsked, "", "the order is not being undone: there is nothing to end")
	}
	return nil
}

// endUndo ends the undo that runs, after the database has recorded who wanted that.
func (r *orderRun) endUndo(ctx workflow.Context, by provision.Intervention) error {
	if err := r.record(ctx, UpdateEndUndo, by); err != nil {
		return err
	}
	if r.undoing != nil { // else it has ended since
		r.undoing.end()
	}
	return nil
}

// failureBy returns the failure of an order that someone stopped.
func failureBy(by provision.Intervention, code provision.Code, what string) provision.Failure {
	return provision.Failure{Code: code, Reason: what, Comment: by.Reason}
}
