package workflows

import (
	"slices"
	"time"

	"quartermaster/internal/provision"
)

// firstDelivery is how long a new report may take until it holds usage. It never holds older usage: AWS does not backfill it.
// Source: AWS Data Exports User Guide, "Creating reports": the first delivery takes up to 24 hours.
const firstDelivery = 24 * time.Hour

// manualSteps are what AWS has no API for.
var manualSteps = []string{
	"Register the account in the provider's AWS Partner Central as a channel account.",
	"Set the payment currency in the account's billing preferences.",
	"Switch on PDF invoices by e-mail in the account's billing preferences, if the customer wants them.",
}

// result returns what the customer gets.
func (r *orderRun) result(now time.Time) provision.Result {
	request, account, report := r.order.Request, r.account.Account, r.account.report
	result := provision.Result{
		AccountID:           account.ID,
		AccountModel:        account.Model,
		AccountAlias:        request.AccountAlias,
		SignInURL:           provision.SignInURL(request.AccountAlias),
		SignInURLByID:       provision.SignInURL(account.ID),
		IAMUserName:         request.IAMUserName,
		Report:              report,
		UsageAvailableFrom:  now,
		OlderUsageAvailable: report.Existing && report.UsageFrom == nil,
		ManualSteps:         manualSteps,
		Warnings:            append(slices.Clone(report.Warnings), r.account.inspected.Warnings...),
		CompletedAt:         now,
	}
	switch {
	case !report.Existing:
		result.UsageAvailableFrom = now.Add(firstDelivery)
	case report.UsageFrom != nil && report.UsageFrom.After(now):
		result.UsageAvailableFrom = *report.UsageFrom
	}
	return r.settings.Instruct(account, result)
}
