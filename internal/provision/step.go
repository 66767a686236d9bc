package provision

import "time"

// Step is a part of an order's work as operators see it.
type Step string

// The steps, in the order in which they begin.
const (
	StepClaim    Step = "claim_account"
	StepInspect  Step = "inspect_account"
	StepUser     Step = "iam_user"
	StepContacts Step = "contacts"
	StepAlias    Step = "account_alias"
	StepReport   Step = "cost_report"
	StepSignIn   Step = "sign_in"
	StepAllocate Step = "allocate"
	StepCompare  Step = "compare_with_journal"
)

// StepNewPassword sets a new password in the account of a completed order. It has no undo.
const StepNewPassword Step = "new_password"

// Changes reports whether the step and its undo change an account that has not been handed over.
func (s Step) Changes() bool {
	switch s {
	case StepUser, StepContacts, StepAlias, StepReport, StepSignIn:
		return true
	}
	return false
}

// StepState says how far a step is.
type StepState string

// The states of a step.
const (
	StepRunning  StepState = "running"
	StepRetrying StepState = "retrying"
	StepStopped  StepState = "stopped" // a cancel ended the attempt
	StepDone     StepState = "done"
	StepFailed   StepState = "failed"
	StepUndoing  StepState = "undoing"
	StepUndone   StepState = "undone"
)

// StepView is one step of an order as readers of the API see it.
type StepView struct {
	Step       Step       `db:"step"`
	AccountID  string     `db:"account_id"`
	State      string     `db:"state"` // a StepState
	Attempt    int        `db:"attempt"`
	StartedAt  time.Time  `db:"started_at"`
	FinishedAt *time.Time `db:"finished_at"`
	Problem    string     `db:"problem"`
}
