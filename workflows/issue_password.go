package workflows

import (
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// IssuePassword sets a new password for the customer of a completed order. Each signal is a request. A request that arrives while the
// password of an earlier one is being set gets that password. One that arrives after a refusal is looked at by itself, because it
// may insist on what the earlier one did not. Every request is recorded, with its reason. IssuePassword returns the last outcome.
func IssuePassword(ctx workflow.Context, key provision.OrderKey) (provision.PasswordOutcome, error) {
	requests := workflow.GetSignalChannel(ctx, SignalPassword)
	var outcome provision.PasswordOutcome
	issued := false
	for {
		asked := activities.AskedPassword{Order: key}
		if !requests.ReceiveAsync(&asked.Request) {
			return outcome, nil
		}
		var err error
		if issued {
			err = execDatabase(ctx, "Record another request", acts.NotePassword, asked)
		} else {
			outcome, err = issuePassword(ctx, asked)
			issued = outcome.Refused == nil
		}
		if err != nil {
			return outcome, err
		}
	}
}

// issuePassword sets a new password for one request.
func issuePassword(ctx workflow.Context, asked activities.AskedPassword) (outcome provision.PasswordOutcome, err error) {
	accountID, err := callDatabase(ctx, "Accept the request", acts.BeginPassword, asked)
	if err == nil {
		_, err = call(ctx, cloud, "Set a new password in account "+accountID, acts.SetPassword, activities.SetPassword{
			Work: activities.Work{Order: asked.Order, AccountID: accountID}, Request: asked.Request})
	}
	if err != nil {
		refusal := failureOf(err)
		if ctx.Err() != nil {
			refusal = provision.Failure{Code: provision.CodeFailedByOperator, Step: provision.StepNewPassword,
				Reason: "an operator cancelled the work on the new password, which may or may not have reached AWS: request it again"}
		}
		outcome.Refused = &refusal
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx) // a cancel must not leave the request open
	return outcome, execDatabase(ctx, "Record the outcome", acts.EndPassword,
		activities.EndedPassword{Order: asked.Order, RequestID: asked.Request.By.ID, Outcome: outcome})
}
