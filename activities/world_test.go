package activities

import (
	"context"
	"log/slog"

	"quartermaster/internal/awssim"
)

// witness reads the log of the simulator: its line is written when a request is decided and before the answer goes out.
type witness struct{ w *world }

func (*witness) Enabled(context.Context, slog.Level) bool { return true }

func (s *witness) WithAttrs([]slog.Attr) slog.Handler { return s }
func (s *witness) WithGroup(string) slog.Handler      { return s }

func (s *witness) Handle(_ context.Context, line slog.Record) error {
	s.w.watching.Lock()
	defer s.w.watching.Unlock()
	if len(s.w.watchers) == 0 {
		return nil
	}
	var operation, fault string
	line.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "operation":
			operation = a.Value.String()
		case "fault":
			fault = a.Value.String()
		}
		return true
	})
	for _, tell := range s.w.watchers {
		tell(operation, fault)
	}
	return nil
}

// onRequest hears of every request before it is answered.
func (w *world) onRequest(tell func(operation, fault string)) {
	w.watching.Lock()
	defer w.watching.Unlock()
	w.watchers = append(w.watchers, tell)
}

// inhabited puts things of others beside those of the order: into its account some with names and marks that are nearly
// the order's, into somebody else's account some with exactly its names.
func inhabited(sc *scene) {
	w := sc.w
	theirs := awssim.User{ID: "AIDASOMEBODYELSE00000", Path: userPath, Tags: notOurTags, AttachedPolicies: []string{readOnly},
		AccessKeys: []string{"AKIAIOSFODNN7EXAMPLE"}, Groups: []string{"admins"}, InlinePolicies: map[string]string{"more": `{"Version":"2012-10-17","Statement":[]}`}}
	plain := theirs
	plain.Path, plain.Tags = "/", nil
	export, report := simExport("HEALTHY"), simReport("SUCCESS")
	export.Tags, report.Tags = notOurTags, notOurTags
	bucket := awssim.Bucket{Region: "eu-central-1", Tags: notOurTags, Objects: map[string]int{"cur/" + testObject: 0, "cur/usage.parquet": 4711}}

	sc.account.Users = map[string]awssim.User{"alice2": theirs, "bob": plain}
	sc.account.Exports = map[string]awssim.Export{w.reportName() + "-2": export}
	sc.account.Reports = map[string]awssim.Report{w.reportName() + "-3": report}
	sc.account.Buckets = map[string]awssim.Bucket{w.bucketName() + "-2": bucket}

	sc.other.Contact = sc.account.Contact
	sc.other.AlternateContacts = sc.account.AlternateContacts
	sc.other.Users = map[string]awssim.User{w.Request.IAMUserName: theirs}
	sc.other.Exports = map[string]awssim.Export{w.reportName(): export}
	sc.other.Reports = map[string]awssim.Report{w.reportName(): report}
	sc.other.Buckets = map[string]awssim.Bucket{w.bucketName() + "-3": bucket}
}
