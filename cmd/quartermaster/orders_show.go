package main

import (
	"cmp"
	"fmt"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// showOrder prints an order for a person.
func showOrder(e *env, o openapi.Order) error {
	f := newFacts(e.out)
	f.add("order", o.ID)
	f.add("state", fmt.Sprintf("%s since %s", o.State, e.when(o.Since)))
	f.add("why", why(o))
	if o.Failure != nil {
		f.add("asks", or(o.Failure.Asks, ""))
		f.add("AWS answered", answered(o.Failure.AWS))
		f.add("comment", or(o.Failure.Comment, ""))
	}
	f.add("what to do", whatToDo(o))
	if o.ActionDeadline != nil {
		f.add("or it fails at", e.when(*o.ActionDeadline))
	}
	f.add("marketplace", o.Marketplace+"/"+string(o.Environment))
	if o.Customer != nil {
		f.add("customer", o.Customer.ID+" "+o.Customer.Name)
	}
	f.add("created", e.when(o.CreatedAt))
	f.add("account", or(o.AccountID, ""))
	f.add("model", or(o.AccountModel, ""))
	f.add("IAM user", o.IAMUserName)
	f.add("contact", o.AWSContactName)
	f.add("alias", o.AWSAccountAlias)
	f.add("existing report", or(o.UseExistingCUR, ""))
	if r := o.Result; r != nil {
		f.add("sign-in", r.SignInURL)
		f.add("sign-in by id", r.SignInURLByID)
		if p := r.Password; p != nil {
			f.add("password", password(e, *p))
		}
		f.add("report", fmt.Sprintf("%s (%s) in s3://%s/%s, %s", r.Report.Name, r.Report.Kind, r.Report.Bucket, r.Report.Prefix, r.Report.Region))
		f.add("usage from", e.when(r.UsageAvailableFrom))
		for _, step := range r.Checklist {
			f.add("by hand", byHand(e, step))
		}
		if r.Warnings != nil {
			for _, warning := range *r.Warnings {
				f.add("warning", warning)
			}
		}
	}
	for _, leftover := range o.Leftovers {
		f.add("left over", leftover)
	}
	for _, note := range o.Notes {
		f.add("note", note)
	}
	f.add("workflow", or(o.WorkflowURL, ""))
	if err := f.out.Flush(); err != nil {
		return err
	}
	if o.Result != nil {
		for _, text := range []string{or(o.Result.RootAccess, ""), or(o.Result.Instructions, "")} {
			if text != "" {
				fmt.Fprintf(e.out, "\n%s\n", printable(text))
			}
		}
	}
	return showSteps(e, o.Steps)
}

// showSteps prints the steps of an order, and then the attempts at them that failed.
func showSteps(e *env, all []openapi.Step) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(e.out)
	steps := newTable(e.out, "STEP", "STATE", "ACCOUNT", "ATTEMPT", "STARTED", "ENDED", "PROBLEM")
	failed := newTable(e.out, "FAILED", "ACCOUNT", "NUMBER", "BEGAN", "TOOK", "AWS", "PROBLEM")
	attempts := 0
	for _, s := range all {
		steps.row(s.Step, s.State, cmp.Or(s.AccountID, "-"), s.Attempt, e.when(s.StartedAt), e.whenOr(s.FinishedAt, "-"), orDash(s.Problem))
		if s.FailedAttempts == nil {
			continue
		}
		for _, a := range *s.FailedAttempts {
			attempts++
			step := s.Step
			if a.Undo != nil {
				step = "undo of " + s.Step
			}
			failed.row(step, cmp.Or(s.AccountID, "-"), a.Number, e.when(a.Began), a.Ended.Sub(a.Began).Round(100*time.Millisecond),
				cmp.Or(answered(a.AWS), "-"), a.Problem)
		}
	}
	if err := steps.flush(); err != nil || attempts == 0 {
		return err
	}
	fmt.Fprintln(e.out)
	return failed.flush()
}

// answered says what AWS answered; empty: nothing.
func answered(a *openapi.AWSAnswer) string {
	if a == nil {
		return ""
	}
	text := cmp.Or(a.Code, "an error without a code")
	if a.Operation != "" {
		text += " to " + a.Operation
	}
	if a.RequestID != "" {
		text += ", request " + a.RequestID
	}
	return text
}

// byHand describes a manual step.
func byHand(e *env, step openapi.ManualStep) string {
	text := fmt.Sprintf("%d. %s", step.Number, step.Step)
	if step.DoneAt != nil {
		text += fmt.Sprintf(" (done at %s by %s)", e.when(*step.DoneAt), or(step.DoneBy, ""))
	}
	return text
}

// password describes the link to a password.
func password(e *env, p openapi.Password) string {
	switch {
	case p.SettingSince != nil:
		return "a new one is being set since " + e.when(*p.SettingSince)
	case p.URL != nil:
		return fmt.Sprintf("%s (once, until %s)", *p.URL, e.whenOr(p.ExpiresAt, "it is read"))
	case p.RevealedAt != nil:
		return "read at " + e.when(*p.RevealedAt)
	case p.Refused != nil:
		return "no new one was set at " + e.when(p.Refused.At) + ": " + p.Refused.Reason
	}
	return "no link is shown to this key, or it expired: it was valid until " + e.whenOr(p.ExpiresAt, "the last request for a new one")
}

// whatToDo says which command helps an order that needs a person.
func whatToDo(o openapi.Order) string {
	switch {
	case o.State == provision.ActionRequired && o.Failure != nil && o.Failure.Field != nil:
		return "correct the field: quartermaster orders correct " + o.ID + " " + correctionOption(*o.Failure.Field)
	case o.State == provision.ActionRequired:
		return "fix the cause, then: quartermaster orders retry " + o.ID + " --reason …; or swap the account, or fail the order"
	case o.State == provision.WaitingForAccount:
		return "add accounts to the pool: quartermaster accounts create, or accounts import"
	case o.State == provision.Failed && len(o.Leftovers) > 0 && o.AccountID != nil:
		return "fix what AWS refused, then: quartermaster accounts clean " + *o.AccountID + " --reason …"
	}
	return ""
}
