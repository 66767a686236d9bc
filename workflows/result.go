package workflows

import (
	"slices"
	"time"

	"quartermaster/activities"
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

// resultOf returns what the customer gets. The warnings are those of the inspection; the report has its own.
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
