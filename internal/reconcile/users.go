package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"quartermaster/internal/provision"
)

// ExpectedUser says that an order's IAM user must exist in an account, or must no longer exist there.
type ExpectedUser struct {
	Account provision.Account
	Order   provision.OrderKey
	Nonce   string   // the order's mark on what it created
	Names   []string // names that the user may have; several when the order was corrected
	Present bool
	Wrote   Written // only if Present
}

// Written is what an order writes to an account and cannot tag. Empty fields are not compared.
type Written struct {
	Alias       string
	ContactName string
	// Alternate contacts by their types.
	Alternates map[string]provision.AlternateContact
}

// differs lists what the account does not contain as it was written. It does not quote the content.
func (w Written) differs(now Written) (kinds []Kind, what []string) {
	if w.Alias != "" && w.Alias != now.Alias {
		kinds, what = append(kinds, KindAliasDiffers), append(what, "the alias of the account is not that of its order")
	}
	if w.ContactName != "" && w.ContactName != now.ContactName {
		kinds, what = append(kinds, KindContactDiffers), append(what, "the name in the primary contact is not that of the account's order")
	}
	for _, kind := range slices.Sorted(maps.Keys(w.Alternates)) {
		if w.Alternates[kind] != now.Alternates[kind] {
			kinds, what = append(kinds, KindContactDiffers), append(what, "the "+kind+" contact is not that of the account's order")
		}
	}
	return kinds, what
}

// Users lists the IAM users that the database expects in AWS.
type Users interface {
	// ExpectedUsers lists at most limit users by account and order, after the given ones.
	ExpectedUsers(ctx context.Context, afterAccount, afterOrder string, limit int) ([]ExpectedUser, error)
}

// Cloud is what FindUsers needs of AWS. It only reads. A problem says, without personal data, why AWS did not allow a read; an
// error ends the whole check.
type Cloud interface {
	// HasUser reports whether the account has an IAM user of that name which the order created.
	HasUser(
		ctx context.Context, account provision.Account, name string, order provision.OrderKey, nonce string,
	) (has bool, problem string, err error)
	// Written reads what orders write to an account. It reads nothing, and returns customers, once the customer may have signed
	// in as the user: from then on the customer may change the account.
	Written(ctx context.Context, account provision.Account, user string) (now Written, customers bool, problem string, err error)
}

const (
	usersPage   = 200
	usersAtOnce = 8 // accounts that are read in parallel; AWS limits requests for each account separately
)

// FindUsers compares with AWS the accounts of customers and the accounts that are Ready again after an order.
func FindUsers(ctx context.Context, users Users, cloud Cloud) (found []Finding, err error) {
	var account, order string
	for {
		page, err := users.ExpectedUsers(ctx, account, order, usersPage)
		if err != nil {
			return found, err
		}
		results := make([][]Finding, len(page))
		looking, ctx := errgroup.WithContext(ctx)
		looking.SetLimit(usersAtOnce)
		var unreadable sync.Map // accounts that were reported already
		for i, expected := range page {
			looking.Go(func() (err error) {
				results[i], err = compareUser(ctx, cloud, expected, &unreadable)
				return err
			})
		}
		err = looking.Wait()
		for _, some := range results {
			found = append(found, some...)
		}
		if err != nil || len(page) < usersPage {
			return found, err
		}
		last := page[len(page)-1]
		account, order = last.Account.ID, last.Order.ID
	}
}

func compareUser(ctx context.Context, cloud Cloud, expected ExpectedUser, unreadable *sync.Map) ([]Finding, error) {
	a := expected.Account
	there := false
	for _, name := range expected.Names {
		has, problem, err := cloud.HasUser(ctx, a, name, expected.Order, expected.Nonce)
		if err != nil {
			return nil, err
		}
		if problem != "" {
			if _, known := unreadable.LoadOrStore(a.ID, true); known {
				return nil, nil
			}
			return []Finding{New(KindAccountUnreadable, expected.Order, a.ID, a.StatusSince, problem)}, nil
		}
		there = there || has
	}
	switch {
	case expected.Present && there:
		return compareWritten(ctx, cloud, expected)
	case expected.Present:
		return []Finding{New(KindUserMissing, expected.Order, a.ID, a.StatusSince,
			"the account is Allocated, but AWS shows no IAM user with the tags of its order")}, nil
	case there:
		return []Finding{New(KindUserLeft, expected.Order, a.ID, a.StatusSince,
			fmt.Sprintf("the account is %s, but the IAM user of an earlier order is still in it", a.Status.Label()))}, nil
	}
	return nil, nil
}

// compareWritten compares what the order wrote with what the account contains, until the customer has signed in. AWS may show
// an earlier value for a while, and the customer may sign in between two calls, so a difference counts only if a second read
// shows it too.
func compareWritten(ctx context.Context, cloud Cloud, expected ExpectedUser) (found []Finding, err error) {
	a := expected.Account
	var kinds []Kind
	var what []string
	for range 2 {
		now, customers, problem, err := cloud.Written(ctx, a, expected.Names[0])
		switch {
		case err != nil:
			return nil, err
		case problem != "":
			return []Finding{New(KindAccountUnreadable, expected.Order, a.ID, a.StatusSince, problem)}, nil
		case customers:
			return nil, nil
		}
		if kinds, what = expected.Wrote.differs(now); len(kinds) == 0 {
			return nil, nil
		}
	}
	for i, kind := range kinds {
		if a.RootAccess {
			what[i] += "; the customer owns the root user and may have changed it"
		}
		found = append(found, New(kind, expected.Order, a.ID, a.StatusSince, what[i]))
	}
	return found, nil
}
