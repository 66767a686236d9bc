package provision

import "fmt"

// Kind says who can help when something went wrong: spec "Provisioning one order", the table of what goes wrong.
type Kind string

// The kinds of failure.
const (
	KindTransient  Kind = "transient"  // AWS will do it later: retry
	KindInput      Kind = "input"      // the customer's input: somebody must correct it
	KindAccount    Kind = "account"    // the account itself is unusable: take the next one
	KindPermission Kind = "permission" // permission or quota in the account: an operator must help
	KindOrder      Kind = "order"      // the order itself: it ended, or was told to; nothing is left to mend
	KindInternal   Kind = "internal"   // ours: retry, compensate nothing
)

// Code names one thing that can go wrong. Codes are public: they stand in the API, in search attributes and as error
// types in workflow histories, which are not encrypted, so a code never carries data.
type Code string

// What can go wrong. The kind of each is in kindOf.
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

var kindOf = map[Code]Kind{
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

// Kind says who can help.
func (c Code) Kind() Kind {
	if k, ok := kindOf[c]; ok {
		return k
	}
	return KindInternal
}

// Failure is why an order, or a step of it, cannot go on, in words for the person who can help.
//
// Reason never holds the customer's data, so that it may be logged; Value holds the refused value, when there is one,
// and is shown only to those who may read the order.
type Failure struct {
	Code   Code   `json:"code"`
	Step   Step   `json:"step,omitempty"`
	Field  string `json:"field,omitempty"` // of the order, as the API names it
	Value  string `json:"value,omitempty"`
	Reason string `json:"reason"` // what happened and what to do, in one or two sentences
	// AWSCode is the error code on the wire, e.g. EntityAlreadyExists.
	AWSCode string `json:"aws_code,omitempty"`
	// RequestID is AWS's id of the refused call: what AWS Support asks for.
	RequestID string `json:"aws_request_id,omitempty"`
}

// Explained is the error together with AWS's code and request id, where AWS gave them.
func (f *Failure) Explained() string { return f.Error() + f.answered() }

// Cause is the reason together with AWS's code and request id, where AWS gave them.
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

// Error is the failure without the customer's data.
func (f *Failure) Error() string {
	s := string(f.Code)
	if f.Field != "" {
		s += " (" + f.Field + ")"
	}
	return fmt.Sprintf("%s: %s", s, f.Reason)
}
