package workflows_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// The model: a database and a few AWS accounts as plain values. The database activities are the real ones, over a store in
// memory. The activities of AWS are written for the model and keep the same promises: they ensure, they undo only what is
// ours, and they restore from the journal by comparing values.

// awsContents holds the contents of an AWS account. Two of them are compared byte for byte.
type awsContents struct {
	Alias      string
	Contact    provision.Contact
	Alternates map[string]provision.AlternateContact
	Users      map[string]iamUser
	Reports    map[string]string // by name: the nonce of the order that created it; empty: not ours
	Buckets    map[string]string // by name, as above
}

type iamUser struct {
	ID, Nonce, Password string // no password: no login profile
}

func (a awsContents) clone() awsContents {
	a.Alternates, a.Users = maps.Clone(a.Alternates), maps.Clone(a.Users)
	a.Reports, a.Buckets = maps.Clone(a.Reports), maps.Clone(a.Buckets)
	return a
}

// accountModel is an account of the pool with its contents in AWS.
type accountModel struct {
	row       provision.Account
	before    awsContents // as it was when it came into the pool
	now       awsContents
	changed   map[string]bool // what the customer changed
	bad       bool            // its role cannot be assumed
	setAside  bool            // it is Invalid until its verification passes
	kept      string          // the sealed password that the database keeps
	running   map[string]int  // steps that run in it now
	wrote     map[string]bool // activities that changed something in it
	succeeded map[string]bool // steps whose success the workflow has learned about
}

const modelNonce = "8d6a8c1e-4a51-4f6e-9d0b-2f8c8a2f6b10"

var modelReportName, modelBucketName = "mp-cur-" + modelNonce, "mp-cur-bucket-" + modelNonce

func (w *orderModel) createAccount(bad bool) *accountModel {
	n := len(w.accounts) + 1
	a := &accountModel{
		bad: bad, changed: map[string]bool{}, running: map[string]int{}, succeeded: map[string]bool{}, wrote: map[string]bool{},
	}
	a.row = provision.Account{ID: fmt.Sprintf("%012d", n), Pool: w.ordered.Pool(), Model: provision.ModelECAM, RootAccess: true,
		Status: provision.AccountReady}
	a.before = awsContents{
		Contact: provision.Contact{
			FullName: fmt.Sprintf("Owner %d", n), City: "Seattle", PhoneNumber: "+1 206 555 0100", CountryCode: "US",
		},
		Alternates: map[string]provision.AlternateContact{}, Users: map[string]iamUser{"admin": {ID: "AIDA0"}},
		Reports: map[string]string{}, Buckets: map[string]string{"logs": ""},
	}
	if w.plan.HadAlias {
		a.before.Alias = fmt.Sprintf("before-%d", n)
	}
	if w.plan.HadBilling {
		a.before.Alternates["BILLING"] = provision.AlternateContact{
			Name: "Earlier", Email: "earlier@example.test", Phone: "1", Title: "CFO",
		}
	}
	if w.plan.NameInUse {
		a.before.Users[w.ordered.Request.IAMUserName] = iamUser{ID: "AIDA1"}
	}
	if !w.plan.NoSuchReport {
		a.before.Reports[theirReportName] = ""
	}
	a.now = a.before.clone()
	w.accounts = append(w.accounts, a)
	return a
}

// refuse returns an activity's error in the form that activities.translate gives it.
func (at *activityAttempt) refuse(failure provision.Failure) error {
	kind := failure.Code.Kind()
	final := kind != provision.KindTransient && kind != provision.KindInternal
	if final {
		at.w.refused[failure.Code] = true
		at.w.struck[at.name] = true
	}
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code),
		temporal.ApplicationErrorOptions{NonRetryable: final, Details: []any{failure}})
}

// modelActivities are the activities. Those that are not defined here are the real ones.
type modelActivities struct {
	*activities.Activities
	w *orderModel
}

// assigned is what the database has for the work.
func (w *orderModel) assigned(in activities.Work) provision.Assignment {
	return provision.Assignment{Order: in.Order, Nonce: modelNonce, Request: w.order.request, EarlierRequests: w.order.earlier,
		Settings: w.settings, Account: w.account(in.AccountID).row}
}

// touch writes to AWS: only an order that holds the account and has not ended may do that.
func (at *activityAttempt) touch(in activities.Work, effect func(*accountModel)) error {
	return at.write(func() {
		a := at.w.account(in.AccountID)
		if a.row.Status != provision.AccountProvisioning {
			at.w.violate("%s writes into account %s, which is %s", at.name, a.row.ID, a.row.Status)
		}
		effect(a)
		a.wrote[at.name] = true
	})
}

func (s modelActivities) Inspect(ctx context.Context, in activities.Work) (found activities.Inspection, err error) {
	o := s.w.assigned(in)
	at, a := attemptOf(ctx), s.w.account(in.AccountID)
	at.pause()
	if a.bad {
		return found, at.refuse(provision.Failure{Code: provision.CodeAccountCannotBeEntered, Step: provision.StepInspect,
			Reason: "the role cannot be assumed"})
	}
	if user, taken := a.now.Users[o.Request.IAMUserName]; taken && user.Nonce != o.Nonce {
		return found, at.refuse(userNameInUse)
	}
	if name := o.Request.UseExistingCUR; name != "" {
		if _, there := a.now.Reports[name]; !there {
			return found, at.refuse(provision.Failure{
				Code: provision.CodeReportNotFound, Step: provision.StepInspect, Field: "use_existing_cur",
				Reason: "no report of this name",
			})
		}
		found.ExistingReport = &provision.Report{Name: name, Existing: true}
	}
	found.Journal = provision.Journal{Alias: a.now.Alias, Contact: a.now.Contact, AlternateContacts: maps.Clone(a.now.Alternates)}
	return found, nil
}

var userNameInUse = provision.Failure{Code: provision.CodeUserNameTaken, Step: provision.StepUser, Field: "iam_user_name",
	Reason: "the name is taken"}

func (s modelActivities) CreateUser(ctx context.Context, in activities.Work) (provision.User, error) {
	o := s.w.assigned(in)
	at, a, name := attemptOf(ctx), s.w.account(in.AccountID), o.Request.IAMUserName
	user, there := a.now.Users[name]
	if there && (user.Nonce != o.Nonce || s.w.bug == bugLostAnswer) {
		return provision.User{}, at.refuse(userNameInUse)
	}
	if !there {
		s.w.users++
		user = iamUser{ID: fmt.Sprintf("AIDA-%d", s.w.users), Nonce: o.Nonce}
		if err := at.touch(in, func(a *accountModel) { a.now.Users[name] = user }); err != nil {
			return provision.User{}, err
		}
	}
	return provision.User{Name: name, ID: user.ID}, nil
}

func (s modelActivities) RemoveUser(ctx context.Context, in activities.UserUndo) (activities.Undone, error) {
	o := s.w.assigned(in.Work)
	at, a, name := attemptOf(ctx), s.w.account(in.AccountID), o.Request.IAMUserName
	user, there := a.now.Users[name]
	if !there || user.Nonce != o.Nonce || in.UserID != "" && in.UserID != user.ID {
		return activities.Undone{}, nil
	}
	return activities.Undone{}, at.touch(in.Work, func(a *accountModel) { delete(a.now.Users, name) })
}

func (s modelActivities) EnableSignIn(ctx context.Context, in activities.EnableSignIn) (struct{}, error) {
	at := attemptOf(ctx)
	if err := at.write(func() {
		if a := s.w.account(in.AccountID); a.kept == "" {
			s.w.passwords++
			a.kept = fmt.Sprintf("password %d", s.w.passwords)
		}
	}); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, at.touch(in.Work, func(a *accountModel) {
		user := a.now.Users[in.User.Name]
		if user.ID != in.User.ID {
			s.w.violate("EnableSignIn got user %+v, but the account has %+v", in.User, user)
		}
		user.Password = a.kept
		a.now.Users[in.User.Name] = user
	})
}

func (s modelActivities) DisableSignIn(ctx context.Context, in activities.UserUndo) (activities.Undone, error) {
	o := s.w.assigned(in.Work)
	at, a, name := attemptOf(ctx), s.w.account(in.AccountID), o.Request.IAMUserName
	if user, there := a.now.Users[name]; there && user.Nonce == o.Nonce && user.Password != "" {
		if err := at.touch(in.Work, func(a *accountModel) { user.Password = ""; a.now.Users[name] = user }); err != nil {
			return activities.Undone{}, err
		}
	}
	return activities.Undone{}, at.write(func() { a.kept = "" })
}

func (s modelActivities) SetContacts(ctx context.Context, in activities.SetContacts) (struct{}, error) {
	o := s.w.assigned(in.Work)
	at, a := attemptOf(ctx), s.w.account(in.AccountID)
	if a.now.Contact.FullName != o.Request.ContactName {
		if err := at.touch(in.Work, func(a *accountModel) { a.now.Contact.FullName = o.Request.ContactName }); err != nil {
			return struct{}{}, err
		}
	}
	if o.Request.AlternateContact != nil {
		for _, kind := range o.Settings.AlternateContactTypes {
			if err := at.touch(in.Work, func(a *accountModel) { a.now.Alternates[kind] = *o.Request.AlternateContact }); err != nil {
				return struct{}{}, err
			}
		}
	}
	return struct{}{}, nil
}

// contactsFound returns which contacts are ours, and notes about those that the customer changed.
func (s modelActivities) contactsFound(in activities.RestoreContacts) (primary bool, alternates, notes []string) {
	o := s.w.assigned(in.Work)
	now := s.w.account(in.AccountID).now
	written := []provision.Request{o.Request}
	if s.w.bug != bugForgetsCorrections {
		written = append(written, o.EarlierRequests...)
	}
	switch name := now.Contact.FullName; {
	case name == in.Journal.Contact.FullName:
	case slices.ContainsFunc(written, func(r provision.Request) bool { return r.ContactName == name }):
		primary = true
	default:
		notes = append(notes, "the name in the primary contact was changed by someone else")
	}
	if o.Request.AlternateContact == nil {
		return primary, nil, notes
	}
	for _, kind := range o.Settings.AlternateContactTypes {
		value, there := now.Alternates[kind]
		earlier, had := in.Journal.AlternateContacts[kind]
		switch {
		case there == had && value == earlier:
		case there && slices.ContainsFunc(written, func(r provision.Request) bool {
			return r.AlternateContact != nil &&
				*r.AlternateContact == value
		}):
			alternates = append(alternates, kind)
		default:
			notes = append(notes, "the "+kind+" contact was changed by someone else")
		}
	}
	return primary, alternates, notes
}

func (s modelActivities) RestoreContacts(ctx context.Context, in activities.RestoreContacts) (activities.Undone, error) {
	at := attemptOf(ctx)
	primary, alternates, notes := s.contactsFound(in)
	if primary {
		if err := at.touch(in.Work, func(a *accountModel) { a.now.Contact.FullName = in.Journal.Contact.FullName }); err != nil {
			return activities.Undone{}, err
		}
	}
	for _, kind := range alternates {
		if err := at.touch(in.Work, func(a *accountModel) {
			if earlier, had := in.Journal.AlternateContacts[kind]; had {
				a.now.Alternates[kind] = earlier
			} else {
				delete(a.now.Alternates, kind)
			}
		}); err != nil {
			return activities.Undone{}, err
		}
	}
	return activities.Undone{Notes: notes}, nil
}

func (s modelActivities) SetAlias(ctx context.Context, in activities.Work) (struct{}, error) {
	o := s.w.assigned(in)
	at, a, alias := attemptOf(ctx), s.w.account(in.AccountID), o.Request.AccountAlias
	if a.now.Alias == alias {
		return struct{}{}, nil
	}
	if s.w.aliasTaken[alias] {
		return struct{}{}, at.refuse(provision.Failure{
			Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias",
			Value: alias, Reason: "the alias is taken",
		})
	}
	return struct{}{}, at.touch(in, func(a *accountModel) { a.now.Alias = alias })
}

func (s modelActivities) RestoreAlias(ctx context.Context, in activities.RestoreAlias) (activities.Undone, error) {
	o := s.w.assigned(in.Work)
	at, a := attemptOf(ctx), s.w.account(in.AccountID)
	ordered, earlier := o.Request.AccountAlias, in.Alias
	if ordered == earlier || s.w.bug == bugAliasStays {
		return activities.Undone{}, nil
	}
	if a.now.Alias == ordered {
		if err := at.touch(in.Work, func(a *accountModel) { a.now.Alias = "" }); err != nil {
			return activities.Undone{}, err
		}
	}
	switch a.now.Alias {
	case earlier:
		return activities.Undone{}, nil
	case "":
	default:
		if s.w.bug != bugOverwritesCustomer {
			return activities.Undone{Notes: []string{"the account's alias was changed by someone else"}}, nil
		}
	}
	if s.w.aliasTaken[earlier] {
		return activities.Undone{}, at.refuse(provision.Failure{Code: provision.CodeResourceNotOurs, Step: provision.StepAlias,
			Reason: "another account has taken the earlier alias"})
	}
	return activities.Undone{}, at.touch(in.Work, func(a *accountModel) { a.now.Alias = earlier })
}

func (s modelActivities) SetUpReport(ctx context.Context, in activities.SetUpReport) (provision.Report, error) {
	o := s.w.assigned(in.Work)
	if in.Existing != nil {
		return *in.Existing, nil
	}
	at, a := attemptOf(ctx), s.w.account(in.AccountID)
	if _, there := a.now.Buckets[modelBucketName]; !there {
		if err := at.touch(in.Work, func(a *accountModel) { a.now.Buckets[modelBucketName] = o.Nonce }); err != nil {
			return provision.Report{}, err
		}
	}
	if _, there := a.now.Reports[modelReportName]; !there {
		if err := at.touch(in.Work, func(a *accountModel) { a.now.Reports[modelReportName] = o.Nonce }); err != nil {
			return provision.Report{}, err
		}
	}
	return provision.Report{Name: modelReportName, Bucket: modelBucketName}, nil
}

func (s modelActivities) RemoveReport(ctx context.Context, in activities.RemoveReport) (activities.Undone, error) {
	o := s.w.assigned(in.Work)
	at, a := attemptOf(ctx), s.w.account(in.AccountID)
	if o.Request.UseExistingCUR != "" || in.Report.Existing {
		return activities.Undone{}, nil
	}
	if a.now.Reports[modelReportName] == o.Nonce {
		if err := at.touch(in.Work, func(a *accountModel) { delete(a.now.Reports, modelReportName) }); err != nil {
			return activities.Undone{}, err
		}
	}
	if a.now.Buckets[modelBucketName] == o.Nonce {
		return activities.Undone{}, at.touch(in.Work, func(a *accountModel) { delete(a.now.Buckets, modelBucketName) })
	}
	return activities.Undone{}, nil
}

func (s modelActivities) CompareWithJournal(ctx context.Context, in activities.CompareWithJournal) (compared activities.Comparison,
	err error) {
	o := s.w.assigned(in.Work)
	attemptOf(ctx).pause()
	if s.w.bug == bugVerifiesNothing {
		return compared, nil
	}
	now := s.w.account(in.AccountID).now
	left := func(is bool, what string) {
		if is {
			compared.Leftovers = append(compared.Leftovers, what)
		}
	}
	left(now.Users[o.Request.IAMUserName].Nonce == o.Nonce, "the IAM user of the order still exists")
	left(now.Alias != in.Journal.Alias, "the alias is not the earlier one")
	primary, alternates, notes := s.contactsFound(activities.RestoreContacts(in))
	left(primary, "the primary contact still has the ordered name")
	for _, kind := range alternates {
		left(true, "the "+kind+" contact is still the ordered one")
	}
	compared.Leftovers = append(compared.Leftovers, notes...)
	if o.Request.UseExistingCUR == "" {
		left(now.Reports[modelReportName] == o.Nonce, "the cost report of the order still exists")
		left(now.Buckets[modelBucketName] == o.Nonce, "the bucket of the order still exists")
	}
	return compared, nil
}

// stepOfUndo maps each undo to its step.
var stepOfUndo = map[string]string{"RemoveUser": "CreateUser", "RestoreContacts": "SetContacts", "RestoreAlias": "SetAlias",
	"RemoveReport": "SetUpReport", "DisableSignIn": "EnableSignIn"}

var stepNames = []string{"CreateUser", "SetContacts", "SetAlias", "SetUpReport", "EnableSignIn"}

// begin and end keep count of what runs in the account that the order holds.
func (w *orderModel) begin(name string) {
	a := w.held()
	if a == nil {
		return
	}
	a.running[name]++
	if stepOfUndo[name] == "" && name != "CompareWithJournal" {
		return
	}
	for _, step := range stepNames {
		if a.running[step] > 0 {
			w.violate("%s runs while %s still does", name, step)
		}
	}
}

func (w *orderModel) end(name string, succeeded bool) {
	for _, a := range w.accounts {
		if a.running[name] > 0 {
			a.running[name]--
			a.succeeded[name] = a.succeeded[name] || succeeded
		}
	}
}

func (w *orderModel) note(at time.Time, name string, n int, err error) {
	outcome := "ok"
	if err != nil {
		outcome = err.Error()
	}
	w.trace = append(w.trace, fmt.Sprintf("%s %s #%d: %s", at.Sub(w.ordered.AcceptedAt), name, n, outcome))
}
