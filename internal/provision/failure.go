package provision

import (
	"fmt"
	"slices"
	"time"
)

// FailureKind says who can resolve a failure.
type FailureKind string

// The kinds of failure.
const (
	KindTransient  FailureKind = "transient"  // AWS will succeed later: retry
	KindInput      FailureKind = "input"      // the customer's input is wrong: the marketplace or an operator corrects it
	KindAccount    FailureKind = "account"    // the account is unusable: take the next one
	KindPermission FailureKind = "permission" // a permission or quota is missing in the account: an operator provides it
	KindOrder      FailureKind = "order"      // the order has ended, or is ending on request: there is nothing to correct
	KindInternal   FailureKind = "internal"   // Quartermaster's own fault: retry, undo nothing
)

// Code identifies a failure. Codes are public: the API, search attributes and the error types in workflow histories contain
// them, and none of these is encrypted, so a code never carries data.
type Code string

// The codes of failures. kindOf gives the kind of each.
const (
	CodeAliasTaken               Code = "AliasTaken"
	CodeUserNameTaken            Code = "UserNameTaken"
	CodeReportNotFound           Code = "ReportNotFound"
	CodeReportAmbiguous          Code = "ReportAmbiguous"
	CodeReportBroken             Code = "ReportBroken"
	CodeContactRefused           Code = "ContactRefused"
	CodePasswordRefused          Code = "PasswordRefused"
	CodeInputRefused             Code = "InputRefused"
	CodeAccountCannotBeEntered   Code = "AccountCannotBeEntered"
	CodeWrongAccount             Code = "WrongAccount"
	CodeAccountSuspended         Code = "AccountSuspended"
	CodeAccountContactInvalid    Code = "AccountContactInvalid"
	CodeExternalIDNotDemanded    Code = "ExternalIDNotDemanded"
	CodeAccountNotClean          Code = "AccountNotClean"
	CodeAccountProtected         Code = "AccountProtected"
	CodePermissionMissing        Code = "PermissionMissing"
	CodePoolSettingsRefused      Code = "PoolSettingsRefused"
	CodeQuotaReached             Code = "QuotaReached"
	CodeReportQuotaReached       Code = "ReportQuotaReached"
	CodeResourceNotOurs          Code = "ResourceNotOurs"
	CodeSignInInUse              Code = "SignInInUse"
	CodeSignInRemoved            Code = "SignInRemoved"
	CodeThrottled                Code = "Throttled"
	CodeAWSUnavailable           Code = "AWSUnavailable"
	CodeNotYetVisible            Code = "NotYetVisible"
	CodeAWSNotReady              Code = "AWSNotReady"
	CodeAWSRefused               Code = "AWSRefused"
	CodeAccountCannotBeReentered Code = "AccountCannotBeReentered"
	CodeNoAccountReady           Code = "NoAccountReady"
	CodeWaitDeadlinePassed       Code = "WaitDeadlinePassed"
	CodeAccountsExhausted        Code = "AccountsExhausted"
	CodeOrderNotInProgress       Code = "OrderNotInProgress"
	CodeOrderCancelled           Code = "OrderCancelled"
	CodeActionDeadlinePassed     Code = "ActionDeadlinePassed"
	CodeFailedByOperator         Code = "FailedByOperator"
	CodeAccountSwappedByOperator Code = "AccountSwappedByOperator"
	CodeNotAsked                 Code = "NotAsked"
	CodeTooLate                  Code = "TooLate"
	CodeOrderIDReused            Code = "OrderIDReused"
	CodeDatabaseUnavailable      Code = "DatabaseUnavailable"
	CodeAttemptEnded             Code = "AttemptEnded"
	CodeInternal                 Code = "Internal"
)

// CodeConflict says that the state of something does not allow what was asked. No failure has it.
const CodeConflict Code = "Conflict"

// Codes of what was asked of an order or account that no failure, and no request for a password, has.
const (
	CodeNotFound    = Code("NotFound")    // it does not exist, or belongs to another provider or marketplace
	CodeUnavailable = Code("Unavailable") // it is not known whether it received what was asked
)

var kindOf = map[Code]FailureKind{
	CodeAliasTaken:               KindInput,
	CodeUserNameTaken:            KindInput,
	CodeReportNotFound:           KindInput,
	CodeReportAmbiguous:          KindInput,
	CodeReportBroken:             KindInput,
	CodeContactRefused:           KindInput,
	CodePasswordRefused:          KindInput,
	CodeInputRefused:             KindInput,
	CodeAccountCannotBeEntered:   KindAccount,
	CodeWrongAccount:             KindAccount,
	CodeAccountSuspended:         KindAccount,
	CodeAccountContactInvalid:    KindAccount,
	CodeExternalIDNotDemanded:    KindAccount,
	CodeAccountNotClean:          KindAccount,
	CodeAccountProtected:         KindAccount,
	CodePermissionMissing:        KindPermission,
	CodePoolSettingsRefused:      KindPermission,
	CodeQuotaReached:             KindPermission,
	CodeReportQuotaReached:       KindPermission,
	CodeResourceNotOurs:          KindPermission,
	CodeSignInInUse:              KindOrder,
	CodeSignInRemoved:            KindOrder,
	CodeThrottled:                KindTransient,
	CodeAWSUnavailable:           KindTransient,
	CodeNotYetVisible:            KindTransient,
	CodeAWSNotReady:              KindTransient,
	CodeAWSRefused:               KindPermission,
	CodeAccountCannotBeReentered: KindPermission,
	CodeNoAccountReady:           KindTransient,
	CodeWaitDeadlinePassed:       KindOrder,
	CodeAccountsExhausted:        KindOrder,
	CodeOrderNotInProgress:       KindOrder,
	CodeOrderCancelled:           KindOrder,
	CodeActionDeadlinePassed:     KindOrder,
	CodeFailedByOperator:         KindOrder,
	CodeAccountSwappedByOperator: KindAccount,
	CodeNotAsked:                 KindOrder,
	CodeTooLate:                  KindOrder,
	CodeOrderIDReused:            KindOrder,
	CodeDatabaseUnavailable:      KindInternal,
	CodeAttemptEnded:             KindInternal,
	CodeInternal:                 KindInternal,
}

// Addressee is whom the question of an order is for.
type Addressee string

// The addressees.
const (
	AsksCustomer Addressee = "customer" // the marketplace, for its customer: a correction of the order answers the question
	AsksOperator Addressee = "operator" // of the provider: retries, swaps or fails the order
)

// CustomerCodes are the codes of questions to the customer. Every other question is for an operator, and so is one of these that names
// no field, because the customer has nothing to correct then.
var CustomerCodes = []Code{
	CodeAliasTaken, CodeUserNameTaken, CodeReportNotFound, CodeReportAmbiguous, CodeReportBroken, CodeContactRefused, CodeInputRefused,
}

// Kind returns who can resolve a failure of that code.
func (c Code) Kind() FailureKind {
	if k, ok := kindOf[c]; ok {
		return k
	}
	return KindInternal
}

// Failure says why an order, or one of its steps, cannot go on, in words for the person who can resolve it.
//
// Reason never contains the customer's data, so that it may be logged. Value contains the refused value, if there is one;
// only readers of the order see it.
type Failure struct {
	Code   Code   `json:"code"`
	Step   Step   `json:"step,omitempty"`
	Field  string `json:"field,omitempty"` // of the order, as the API names it
	Value  string `json:"value,omitempty"`
	Reason string `json:"reason"` // what happened and what to do, in one or two sentences
	// Comment is what the person wrote who stopped the order or swapped its account. It is free text and may name people, so
	// only readers of the order, its account and their histories see it: no event, no log.
	Comment string `json:"comment,omitempty"`
	// AWSCode is AWS's error code, e.g. EntityAlreadyExists.
	AWSCode string `json:"aws_code,omitempty"`
	// AWSOperation is the call to which AWS gave that answer, in the form of a policy's action, e.g. iam:CreateAccountAlias.
	AWSOperation string `json:"aws_operation,omitempty"`
	// RequestID is AWS's id of the refused request. AWS Support asks for it.
	RequestID string `json:"aws_request_id,omitempty"`
	// AnswerBy is when the question that an order asks about the failure expires. It is nil if the order asks none.
	AnswerBy *time.Time `json:"answer_by,omitempty"`
}

// AWSAnswer is what AWS answered to a call that failed.
type AWSAnswer struct {
	Code      string `json:"code,omitempty"`
	Operation string `json:"operation,omitempty"` // e.g. iam:CreateAccountAlias; empty in failures that version 0.1.0 wrote
	RequestID string `json:"request_id,omitempty"`
}

// AWS returns what AWS answered. It is nil if the failure does not come from an answer of AWS.
func (f *Failure) AWS() *AWSAnswer {
	if f.AWSCode == "" && f.RequestID == "" {
		return nil
	}
	return &AWSAnswer{Code: f.AWSCode, Operation: f.AWSOperation, RequestID: f.RequestID}
}

// Asks returns whom an order asks that waits for an answer because of the failure.
func (f *Failure) Asks() Addressee {
	if f.Field != "" && slices.Contains(CustomerCodes, f.Code) {
		return AsksCustomer
	}
	return AsksOperator
}

// Explained returns the error with AWS's code and request id, if AWS gave them.
func (f *Failure) Explained() string { return f.Error() + f.answered() }

// Cause returns the reason with AWS's code and request id, if AWS gave them.
func (f *Failure) Cause() string { return f.Reason + f.answered() }

func (f *Failure) answered() string {
	switch {
	case f.AWSCode == "":
		return ""
	case f.RequestID == "":
		return fmt.Sprintf(" (AWS answered %s)", f.AWSCode)
	}
	return fmt.Sprintf(" (AWS answered %s, request id %s)", f.AWSCode, f.RequestID)
}

// Commented returns Explained with the comment, for readers of the order, its account and their histories.
func (f *Failure) Commented() string {
	if f.Comment == "" {
		return f.Explained()
	}
	return f.Explained() + ": " + f.Comment
}

// Error returns the code and the reason, without the customer's data.
func (f *Failure) Error() string {
	s := string(f.Code)
	if f.Field != "" {
		s += " (" + f.Field + ")"
	}
	return fmt.Sprintf("%s: %s", s, f.Reason)
}
