package activities

import (
	"quartermaster/internal/awssim"
)

// foreigner is a thing of somebody else, with the very name that the order gives to a thing of its own.
type foreigner struct {
	name    string
	put     func(w *world, a *awssim.Account)
	changes []func(*scene)
}

var notOurTags = map[string]string{tagOrder: "acme/order-2", tagNonce: "another", tagManagedBy: managedBy}

func foreignUser(_ *world, a *awssim.Account) {
	a.Users = map[string]awssim.User{"alice": {Path: userPath, Tags: notOurTags, AttachedPolicies: []string{readOnly}, AccessKeys: []string{"AKIAIOSFODNN7EXAMPLE"}}}
}

var (
	foreignExport = foreigner{name: "data export", put: func(w *world, a *awssim.Account) {
		e := simExport("HEALTHY")
		e.Tags = notOurTags
		a.Exports = map[string]awssim.Export{w.w.reportName(): e}
	}}
	foreignReport = foreigner{name: "legacy report", changes: []func(*scene){legacyReport}, put: func(w *world, a *awssim.Account) {
		r := simReport("SUCCESS")
		r.Tags = notOurTags
		a.Reports = map[string]awssim.Report{w.w.reportName(): r}
	}}
	foreignBucket = foreigner{name: "bucket", put: func(w *world, a *awssim.Account) {
		a.Buckets = map[string]awssim.Bucket{w.w.bucketName(): {Region: "eu-central-1", Tags: notOurTags}}
	}}
)
