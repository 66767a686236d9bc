package activities

import (
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// foreigner is a thing of somebody else, with the very name that the order gives to a thing of its own.
type foreigner struct {
	name      string
	code      provision.Code                    // the question that the order ends with
	writes    int                               // how many changing calls it makes until then
	put       func(w *world, a *awssim.Account) // into the order's account, after its inspection
	elsewhere func(w *world, a *awssim.Account) // into somebody else's
	after     string                            // race happens right after a call of this operation
	race      func(w *world, a *awssim.Account) // as put
	changes   []func(*scene)
	unproven  int // how much the undo cannot prove to be clean, and says so
}

var notOurTags = map[string]string{tagOrder: "acme/order-2", tagNonce: "another", tagManagedBy: managedBy}

func foreignUser(_ *world, a *awssim.Account) {
	put(&a.Users, "alice", awssim.User{Path: userPath, Tags: notOurTags, AttachedPolicies: []string{readOnly}, AccessKeys: []string{"AKIAI44QH8DHBEXAMPLE"}})
}

// put adds to a map of the account that may not be there yet.
func put[T any](things *map[string]T, name string, thing T) {
	if *things == nil {
		*things = map[string]T{}
	}
	(*things)[name] = thing
}

var (
	foreignExport = foreigner{name: "a data export", code: provision.CodeResourceNotOurs, writes: 11, put: func(w *world, a *awssim.Account) {
		e := simExport("HEALTHY")
		e.Tags = notOurTags
		put(&a.Exports, w.w.reportName(), e)
	}}
	foreignReport = foreigner{name: "a legacy report", code: provision.CodeResourceNotOurs, writes: 11, changes: []func(*scene){legacyReport}, put: func(w *world, a *awssim.Account) {
		r := simReport("SUCCESS")
		r.Tags = notOurTags
		put(&a.Reports, w.w.reportName(), r)
	}}
	foreignBucket = foreigner{name: "a bucket", code: provision.CodeResourceNotOurs, writes: 8, put: func(w *world, a *awssim.Account) {
		put(&a.Buckets, w.w.bucketName(), awssim.Bucket{Region: "eu-central-1", Tags: notOurTags})
	}}
	foreigners = []foreigner{
		{name: "a user", code: provision.CodeUserNameTaken, writes: 1, after: "GetUser", race: foreignUser},
		{name: "an alias elsewhere", code: provision.CodeAliasTaken, writes: 8, elsewhere: func(w *world, a *awssim.Account) { a.Alias = w.w.Request.AccountAlias }},
		{name: "a bucket elsewhere", code: provision.CodeResourceNotOurs, writes: 8, unproven: 1, elsewhere: func(w *world, a *awssim.Account) {
			put(&a.Buckets, w.w.bucketName(), awssim.Bucket{Region: "eu-central-1"})
		}},
		foreignBucket, foreignExport, foreignReport,
	}
)
