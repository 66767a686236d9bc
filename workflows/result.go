package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// A new report holds usage a day after it was made, and nothing older: AWS does not fill it up.
// Source: AWS Data Exports User Guide, "Creating reports": the first delivery takes up to 24 hours.
const firstDelivery = 24 * time.Hour

// manualSteps is what AWS has no API for.
var manualSteps = []string{
	"Register the account in the provider's AWS Partner Central as a channel account.",
	"Set the payment currency in the account's billing preferences.",
	"Switch on PDF invoices by e-mail in the account's billing preferences, if the customer wants them.",
}

// resultOf is what the customer gets. The warnings are those of the inspection; the report has some of its own.
func resultOf(w activities.Assignment, report provision.Report, now time.Time, warnings ...string) provision.Result {
	result := provision.Result{
		AccountID:           w.Account.ID,
		AccountModel:        w.Account.Model,
		AccountAlias:        w.Request.AccountAlias,
		SignInURL:           provision.SignInURL(w.Request.AccountAlias),
		SignInURLByID:       provision.SignInURL(w.Account.ID),
		IAMUserName:         w.Request.IAMUserName,
		Report:              report,
		UsageAvailableFrom:  now,
		OlderUsageAvailable: report.Existing && report.UsageFrom == nil,
		ManualSteps:         manualSteps,
		Warnings:            append(slices.Clone(report.Warnings), warnings...),
		CompletedAt:         now,
	}
	switch {
	case !report.Existing:
		result.UsageAvailableFrom = now.Add(firstDelivery)
	case report.UsageFrom != nil && report.UsageFrom.After(now):
		result.UsageAvailableFrom = *report.UsageFrom
	}
	return w.Settings.Instruct(w.Account, result)
}

// The failures that the workflow itself raises.

func failed(failure provision.Failure) error {
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{failure}})
}

func waitedTooLong(patience time.Duration) error {
	return failed(provision.Failure{Code: provision.CodeWaitDeadlinePassed, Step: provision.StepClaim,
		Reason: fmt.Sprintf("no account came within the %s that the pool lets an order wait: add accounts to the pool and place the order again under a new id", patience)})
}

func accountsExhausted(last error) error {
	f := failureOf(last)
	return failed(provision.Failure{Code: provision.CodeAccountsExhausted, Step: provision.StepInspect, AWSCode: f.AWSCode,
		Reason: fmt.Sprintf("%d accounts of the pool in a row were unusable; the last one: %s", maxAccounts, f.Reason)})
}
