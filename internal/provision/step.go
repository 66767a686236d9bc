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
	// AWS is what AWS answered to the attempt that had the problem, and FailedAttempts are those that failed. Lists leave both out.
	AWS            *AWSAnswer
	FailedAttempts []FailedAttempt
}

// AttemptEnd says how an attempt at a step, or at its undo, ended.
type AttemptEnd struct {
	State   StepState
	Problem string        // why it failed, without data of the customer; empty: it did not fail
	AWS     *AWSAnswer    // what AWS answered when it failed; nil: the problem is not an answer of AWS
	Took    time.Duration // since it began
	Seen    *AccountSeen  // what an inspection saw of what the order is about to replace; nil: it saw nothing, or it is another step
}

// A step keeps its first failed attempts, which show how the trouble began, and its last ones, which show what it is now.
const (
	FirstAttemptsKept = 3
	LastAttemptsKept  = 20
)

// FailedAttempt is an attempt at a step, or at its undo, that failed.
type FailedAttempt struct {
	Number  int        `json:"number"` // among the failed attempts of the step, from 1
	Began   time.Time  `json:"began"`
	Ended   time.Time  `json:"ended"`
	Undo    bool       `json:"undo,omitempty"`
	Problem string     `json:"problem"`
	AWS     *AWSAnswer `json:"aws,omitempty"`
}
