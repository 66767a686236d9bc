package console

import (
	"strings"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// stepNames are the steps of an order in the operators' words.
var stepNames = map[provision.Step]string{
	provision.StepClaim: "Claim account", provision.StepInspect: "Inspect account", provision.StepUser: "IAM user",
	provision.StepContacts: "Contacts", provision.StepAlias: "Account alias", provision.StepReport: "Cost report",
	provision.StepSignIn: "Sign-in", provision.StepAllocate: "Allocate", provision.StepCompare: "Compare with the journal",
	provision.StepNewPassword: "New password",
}

// stepName returns the name of a step. A step that this version does not know keeps its own.
func stepName[S ~string](step S) string {
	if known, ok := stepNames[provision.Step(step)]; ok {
		return known
	}
	return string(step)
}

// questionTitles say in a line what an order asks for.
var questionTitles = map[provision.Code]string{
	provision.CodeAliasTaken:               "The alias is taken",
	provision.CodeUserNameTaken:            "The user name is taken",
	provision.CodeReportNotFound:           "The account has no report of this name",
	provision.CodeReportAmbiguous:          "The account has two reports of this name",
	provision.CodeReportBroken:             "The report cannot be linked",
	provision.CodeContactRefused:           "AWS refuses the contact",
	provision.CodePasswordRefused:          "The account's policy refuses every password",
	provision.CodeInputRefused:             "AWS refuses a value",
	provision.CodePermissionMissing:        "A permission is missing",
	provision.CodePoolSettingsRefused:      "AWS refuses a setting of the pool",
	provision.CodeQuotaReached:             "A quota of the account is used up",
	provision.CodeReportQuotaReached:       "The account has as many reports as AWS allows",
	provision.CodeResourceNotOurs:          "The name is in use in the account",
	provision.CodeAWSRefused:               "AWS refuses the call",
	provision.CodeAccountCannotBeReentered: "The account can no longer be entered",
}

// questionTitle returns what a failure is about. A code that this version does not know keeps its name.
func questionTitle(code string) string {
	if known, ok := questionTitles[provision.Code(code)]; ok {
		return known
	}
	return code
}

// requestNames are what people and workflows do to an order, as its history shows it.
var requestNames = map[string]string{
	"correct": "Correction", "retry": "Retry", "swap": "Next account", "cancel": "Cancel", "fail": "Fail", "end-undo": "End of the undo",
	"password": "New password requested", "password_link_ended": "Password link ended", "password_issued": "New password set",
	"tick": "Manual step done", "untick": "Manual step not done",
}

// requestName returns what a code of an order's history means, if it is something that was asked for; else the code.
func requestName(code string) string {
	if known, ok := requestNames[code]; ok {
		return known
	}
	return code
}

// fieldLabels are the fields of an order as the walk-through calls them.
var fieldLabels = map[string]string{
	"order_mode": "Order Mode", "use_existing_cur": "Use Existing CUR", "existing_cur_kind": "Kind of report",
	"iam_user_name": "IAM User Name", "aws_contact_name": "AWS Contact Name", "aws_account_alias": "AWS Account Alias",
	"aws_alternate_contact": "AWS Alternate Contact", "aws_alternate_contact.name": "AWS Alternate Contact Name",
	"aws_alternate_contact.email": "AWS Alternate Contact Email", "aws_alternate_contact.phone": "AWS Alternate Contact Phone",
	"aws_alternate_contact.title": "AWS Alternate Contact Title",
}

// fieldLabel returns the label of a field.
func fieldLabel(field string) string {
	if known, ok := fieldLabels[field]; ok {
		return known
	}
	return field
}

// goingOn says in a line what an order does, or why it ended, for lists.
func goingOn(o openapi.Order) string {
	switch o.State {
	case provision.WaitingForAccount:
		if o.Waiting != nil {
			return "Place " + number(o.Waiting.Place) + ": " + o.Waiting.Why
		}
	case provision.Accepted, provision.Provisioning:
		return stepGoingOn(o)
	case provision.Compensating:
		if stuck := stepGoingOn(o); stuck != "" {
			return stuck
		}
		return endedBecause(o)
	case provision.ActionRequired:
		if o.Failure != nil {
			return sentence(o.Failure.Reason)
		}
	case provision.Failed, provision.Cancelled:
		if n := len(o.Leftovers); n > 0 {
			return plural(n, "leftover", "leftovers") + ". " + endedBecause(o)
		}
		return endedBecause(o)
	case provision.Completed:
		return checklistGoingOn(o)
	}
	return ""
}

// stepGoingOn says which step an order is at, and what it is trying to overcome: the newest step that runs, one with a problem first.
func stepGoingOn(o openapi.Order) string {
	text := ""
	for _, s := range o.Steps {
		name := stepName(s.Step)
		switch provision.StepState(s.State) {
		case provision.StepRunning, provision.StepRetrying:
		case provision.StepUndoing:
			name = "Undo of " + name
		default:
			continue
		}
		if s.Problem != nil {
			return name + ", attempt " + number(s.Attempt) + ": " + *s.Problem
		}
		text = name
	}
	return text
}

// endedBecause says why an order ends or ended: in the words of the person who ended it, or else of the failure.
func endedBecause(o openapi.Order) string {
	switch {
	case o.Failure == nil:
		return ""
	case o.Failure.Comment != nil:
		return sentence(*o.Failure.Comment)
	}
	return sentence(o.Failure.Reason)
}

// checklistGoingOn says how many manual steps a completed order still has.
func checklistGoingOn(o openapi.Order) string {
	if o.Result == nil {
		return ""
	}
	if left := len(o.Result.Checklist) - ticked(o.Result.Checklist); left > 0 {
		return plural(left, "manual step", "manual steps") + " to do"
	}
	return ""
}

// ticked counts the manual steps that are done.
func ticked(checklist []openapi.ManualStep) (n int) {
	for _, step := range checklist {
		if step.DoneAt != nil {
			n++
		}
	}
	return n
}

// requested reports whether an entry of the history is a request that did not change the order's state at once.
func requested(e openapi.OrderHistoryEntry) bool {
	return e.FromState != nil && *e.FromState == e.ToState
}

// reportKind returns what AWS calls a kind of report.
func reportKind(kind provision.ReportKind) string {
	if kind == provision.DataExport {
		return "Data Export"
	}
	return "Cost and Usage Report"
}

// actorName returns who did something, in few words: an order's own workflow is the order.
func actorName(actor string) string {
	if strings.HasPrefix(actor, "order ") {
		return "the order"
	}
	return actor
}
